package moo

import (
	"math"
	"slices"
)

// gradvac: as pcgrad, but towards a target: for i and each j ≠ i in order, with
// φ the cosine of g_i^PC and g_j and φ̂_ij the target, where φ < φ̂_ij add
// a g_j, a = |g_i^PC| (φ̂ √(1−φ²) − φ √(1−φ̂²)) / (|g_j| √(1−φ̂²)), after which the
// cosine is φ̂; then φ̂_ij ← (1−β) φ̂_ij + β φ.
//
// Paper: Wang et al., Gradient Vaccine, ICLR 2021 (arXiv:2010.05874), made for
// multilingual models. The targets are state, one per pair and bucket, 0 at
// first: the first call is pcgrad. The reference's absolute ε on norms, under
// which small gradients are left alone, is not used.
// Options: beta (default 0.5), order as in pcgrad, rescale.
// Guarantees: none in general; not invariant to permutation; not linear under
// scaling, but scale-equivariant.
type gradvac struct {
	pcgrad
	beta float64
}

func gradvacEntry() entry {
	return entry{
		Info: Info{
			Name: "gradvac", Needs: NeedsGram, UsesPreference: true,
			Rule:       "pcgrad towards cosines φ̂ that follow their averages: where φ < φ̂, add a g_j such that the cosine is φ̂",
			Paper:      "Wang et al. 2021, arXiv:2010.05874",
			Guarantees: "none about single objectives; the first call is pcgrad; depends on the order",
			Options: []Option{
				{Name: "beta", Default: 0.5, Min: 0, Max: 1, Doc: "how fast the targets follow the cosines"},
				{Name: "order", Default: "random", Choices: []string{"random", "ascending", "descending"},
					Doc: "in which the others are visited, as for pcgrad"},
				rescaleOption("divides by M"),
			},
		},
		build: func(v values) (Method, error) {
			return gradvac{pcgrad{v.word("order"), v.word(rescaleName) == rescaleMean}, v.number("beta")}, nil
		},
	}
}

func (gradvac) Name() string { return "gradvac" }

// targetLimit keeps the target below 1, where a would be infinite.
const targetLimit = 1 - 1e-6

func (g gradvac) Weights(in Input) (Result, error) {
	m := in.G.SymmetricDim()
	target := slices.Clone(in.State.Pair["gradvac.target"])
	if len(target) != m*m {
		target = make([]float64, m*m)
	}
	k := dense(in.G)
	w, order := make([]float64, m), make([]int, m)
	moved := 0
	for i := range m {
		c := make([]float64, m)
		c[i] = 1
		for j := range order {
			order[j] = j
		}
		g.arrange(order, in, i)
		for _, j := range order {
			if j == i {
				continue
			}
			gc := mulVec(k, c)
			norm := math.Sqrt(math.Max(0, dot(c, gc)))
			phi := 0.0
			if norm > 0 {
				phi = min(1, max(-1, gc[j]/norm/math.Sqrt(k[j][j])))
			}
			t := &target[i*m+j]
			if p := min(targetLimit, max(-targetLimit, *t)); phi < p && norm > 0 {
				root := math.Sqrt(1 - p*p)
				c[j] += norm * (p*math.Sqrt(1-phi*phi) - phi*root) / (math.Sqrt(k[j][j]) * root)
				moved++
			}
			*t = (1-g.beta)**t + g.beta*phi
		}
		scale := in.Preference[i]
		if !g.scale {
			scale *= float64(m)
		}
		for j := range w {
			w[j] += scale * c[j]
		}
	}
	return Result{Weights: w, Diagnostics: map[string]float64{"moved": float64(moved)},
		State: State{Pair: map[string][]float64{"gradvac.target": target}}}, nil
}
