package moo

import "math"

// dualproj: w = argmin over v ≥ u of vᵀG v: the mean gradient is projected onto
// the dual cone {d : ⟨g_m, d⟩ ≥ 0 for every m}.
//
// Paper: Lopez-Paz and Ranzato, Gradient Episodic Memory, NeurIPS 2017
// (arXiv:1706.08840), which projects the newest task's gradient. Solved exactly
// by non-negative least squares on the cosines; no hyper-parameters. Equal
// gradients give back that gradient.
// Guarantees: non-conflicting; invariant to permutation; d = 0 only where some
// v > 0 has Jᵀv = 0; the smallest change of the mean that harms no objective.
type dualproj struct{}

func dualprojEntry() entry {
	return entry{
		Info: Info{
			Name: "dualproj", Needs: NeedsGram, UsesPreference: true, Rule: "w = argmin over v ≥ u of vᵀG v",
			Paper:      "Lopez-Paz and Ranzato 2017, arXiv:1706.08840",
			Guarantees: "non-conflicting; the non-conflicting vector nearest to the mean gradient; d = 0 only at strongly stationary points",
		},
		build: func(values) (Method, error) { return dualproj{}, nil },
	}
}

func (dualproj) Name() string { return "dualproj" }

func (dualproj) Weights(in Input) (Result, error) {
	w, iterations := ontoDualCone(in.G, in.Preference)
	worst := 0.0 // violation of ⟨g_m, d⟩ ≥ 0, relative to the norms
	for i, x := range mulVec(dense(in.G), w) {
		worst = math.Max(worst, -x/math.Sqrt(in.G.At(i, i)))
	}
	return Result{Weights: w, Diagnostics: map[string]float64{"iterations": float64(iterations), "kkt_residual": worst}}, nil
}
