package moo

import (
	"fmt"
	"math"
)

// Project moves a method's combined gradient to the nearest one that opposes no
// objective: kind "dual-cone" is d' = argmin |d' − d| with ⟨g_m, d'⟩ ≥ 0 for every m. By
// duality d' = d + Jᵀv with v = argmin over v ≥ 0 of ½ vᵀG v + vᵀG w (as in Lopez-Paz and
// Ranzato, arXiv:1706.08840), solved exactly by non-negative least squares on the cosines.
// A direction that opposes nobody is left as it is, and dualproj is Project(mean). "" is
// m itself.
func Project(m Method, kind string) (Method, error) {
	switch kind {
	case "":
		return m, nil
	case "dual-cone":
	default:
		return nil, fmt.Errorf("moo: project: want \"dual-cone\", got %q", kind)
	}
	if isGradientFree(m) {
		return nil, fmt.Errorf("moo: %s looks at no gradients: a projection would need a Gram that it does not compute", m.Name())
	}
	if err := hasWeights(m); err != nil {
		return nil, err
	}
	return project{m}, nil
}

type project struct{ m Method }

func (p project) Name() string  { return p.m.Name() }
func (p project) inner() Method { return p.m }

func (p project) Weights(in Input) (Result, error) {
	r, err := p.m.Weights(in)
	if err != nil {
		return Result{}, err
	}
	k, norm := cosines(in.G)
	size := 0.0 // of Σ |w||g|, so that the linear term is at most 1
	for i, w := range r.Weights {
		size += math.Abs(w) * norm[i]
	}
	if size == 0 {
		return r, nil
	}
	c := make([]float64, len(norm))
	for i := range c {
		for j, w := range r.Weights {
			c[i] += k[i][j] * (w * norm[j] / size)
		}
	}
	w := make([]float64, len(norm))
	for i, y := range newNNLS(k, c).solve() {
		w[i] = r.Weights[i] + y*(size/norm[i])
	}
	return Result{Weights: w, Diagnostics: r.Diagnostics, State: r.State}, nil
}
