package moo

import (
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"
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
	w, _ := ontoDualCone(in.G, r.Weights)
	return Result{Weights: w, Diagnostics: r.Diagnostics, State: r.State}, nil
}

// ontoDualCone is weights of the vector nearest to Jᵀw that opposes no objective, and the
// iterations that it took.
func ontoDualCone(g *mat.SymDense, w []float64) ([]float64, int) {
	k, norm := cosines(g)
	size := 0.0 // of Σ |w||g|, so that the linear term is at most 1
	for i, x := range w {
		size += math.Abs(x) * norm[i]
	}
	out := slices.Clone(w)
	if size == 0 {
		return out, 0
	}
	c := make([]float64, len(norm))
	for i := range c {
		for j, x := range w {
			c[i] += k[i][j] * (x * norm[j] / size)
		}
	}
	q := newNNLS(k, c)
	for i, y := range q.solve() {
		out[i] += y * (size / norm[i])
	}
	return out, q.iterations
}
