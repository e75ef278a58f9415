package moo

import (
	"math"
	"slices"
)

// aligned: w = √s V Λ^(−1/2) Vᵀ u over the eigenpairs (Λ, V) of G: the gradients
// are rotated and scaled to an orthogonal system of one length, √s, and then
// averaged.
//
// Paper: Senushkin et al., Independent Component Alignment for Multi-Task
// Learning, CVPR 2023 (arXiv:2305.19000). Option scale: s is the "min" (default),
// "median" or "mean" of the eigenvalues above rounding (float32's). Equal
// gradients give back that gradient.
// Guarantees: condition number 1 of the aligned system, so no objective
// dominates by its length; d may oppose objectives; its size hangs on the
// smallest eigenvalue kept, a decision about rank.
type aligned struct{ scale string }

func alignedEntry() entry {
	return entry{
		Info: Info{
			Name: "aligned-mtl", Needs: NeedsGram, UsesPreference: true, Rule: "w = √s V Λ^(−1/2) Vᵀ u, G = V Λ Vᵀ",
			Paper:      "Senushkin et al. 2023, arXiv:2305.19000",
			Guarantees: "no objective dominates by the length of its gradient; may oppose single objectives",
			Options: []Option{{Name: "scale", Default: "min", Choices: []string{"min", "median", "mean"},
				Doc: "which eigenvalue the aligned gradients' squared length is"}},
		},
		build: func(v values) (Method, error) { return aligned{v.word("scale")}, nil },
	}
}

func (aligned) Name() string { return "aligned-mtl" }

func (a aligned) Weights(in Input) (Result, error) {
	s, err := newSpectrum(dense(in.G))
	if err != nil {
		return Result{}, err
	}
	if len(s.values) == 0 {
		return Result{Weights: slices.Clone(in.Preference)}, nil
	}
	size := s.values[0] // ascending
	switch n := len(s.values); a.scale {
	case "median":
		size = (s.values[(n-1)/2] + s.values[n/2]) / 2
	case "mean":
		size = 0
		for _, l := range s.values {
			size += l / float64(n)
		}
	}
	w := s.apply(func(l float64) float64 { return math.Sqrt(size / l) }, in.Preference)
	return Result{Weights: w, Diagnostics: map[string]float64{"rank": float64(len(s.values))}}, nil
}
