package moo

import (
	"math"
	"slices"
)

// upgrad: w = Σ_i argmin over v ≥ u_i e_i of vᵀG v: every u_i g_i is projected
// onto the dual cone {d : ⟨g_m, d⟩ ≥ 0 for every m}, and the projections are
// added up.
//
// Paper: Quinton and Rey, Jacobian Descent for Multi-Objective Optimization
// (2024, arXiv:2406.16232). Solved exactly by non-negative least squares in Gram
// space (Lawson and Hanson 1974, chapter 23) on the cosines, with neither of the
// two absolute ε of the reference implementation, under which a bucket with
// small gradients becomes the plain mean. No hyper-parameters; u is the
// preference. Equal gradients give back that gradient.
// Guarantees: d is non-conflicting; linear under scaling of single gradients;
// invariant to permutation; d = 0 only where some v > 0 has Jᵀv = 0.
type upgrad struct{}

func upgradEntry() entry {
	return entry{
		Info: Info{
			Name: "upgrad", Needs: NeedsGram, UsesPreference: true, Rule: "w = Σ_i argmin over v ≥ u_i e_i of vᵀG v",
			Paper:      "Quinton and Rey 2024, arXiv:2406.16232",
			Guarantees: "non-conflicting; linear under scaling of single gradients; d = 0 only at strongly stationary points",
		},
		build: func(values) (Method, error) { return upgrad{}, nil },
	}
}

func (upgrad) Name() string { return "upgrad" }

func (upgrad) Weights(in Input) (Result, error) {
	g := dense(in.G)
	m := len(g)
	norm, k := make([]float64, m), make([][]float64, m)
	for i := range m {
		norm[i], k[i] = math.Sqrt(g[i][i]), make([]float64, m)
	}
	for i := range m {
		for j := range m {
			k[i][j] = g[i][j] / norm[i] / norm[j]
		}
		k[i][i] = 1
	}
	w := slices.Clone(in.Preference)
	iterations := 0
	for i, u := range in.Preference {
		if u == 0 {
			continue
		}
		q := newNNLS(k, k[i])
		for j, y := range q.solve() {
			w[j] += u * y * (norm[i] / norm[j])
		}
		iterations += q.iterations
	}
	worst := 0.0 // violation of ⟨g_m, d⟩ ≥ 0, relative to the norms
	for j, x := range mulVec(g, w) {
		worst = math.Max(worst, -x/norm[j])
	}
	return Result{Weights: w, Diagnostics: map[string]float64{"iterations": float64(iterations), "kkt_residual": worst}}, nil
}
