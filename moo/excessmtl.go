package moo

import "math"

// excessmtl: w ← w exp(η E_m/E_m(first)), scaled to sum to 1. E_m = |g_m|²/√(Σ|g_m|² over
// the steps so far) estimates how far objective m's loss is above the least it can reach,
// so that a noisy or finished objective gains no weight by a large loss alone.
//
// Paper: He et al., Robust Multi-Task Learning with Excess Risks, ICML 2024
// (arXiv:2402.02009). Departure: the paper divides each value of the gradient by the root
// of its own sum of squares (diagonal AdaGrad), which would take M copies of the
// parameters; here one sum stands for all values of a bucket (AdaGrad-Norm), which the
// Gram's diagonal has. Option eta η (default 0.01). The preference is the start. Equal
// gradients give back that gradient.
// Guarantees: weights are positive; may oppose single objectives.
type excessmtl struct{ eta float64 }

func excessmtlEntry() entry {
	return entry{
		Info: Info{
			Name: "excessmtl", Needs: NeedsGram, UsesPreference: true, Rule: "w ∝ w exp(η E_m/E_m(first)), E_m = |g_m|²/√(Σ|g_m|² so far)",
			Paper:      "He et al. 2024, arXiv:2402.02009, with one sum of squares for a bucket",
			Guarantees: "weights are positive and follow the estimated excess risks; may oppose single objectives",
			Options:    []Option{{Name: "eta", Default: 0.01, Min: 0, Max: 100, Doc: "step size η of the weights"}},
		},
		build: func(v values) (Method, error) { return excessmtl{v.number("eta")}, nil },
	}
}

func (excessmtl) Name() string { return "excessmtl" }

// Weights keeps true norms in the state, not those that Solve has scaled.
func (m excessmtl) Weights(in Input) (Result, error) {
	n := len(in.Preference)
	s := in.State.clone()
	length := s.objective("excessmtl.norm", n, 0) // √ of the sum of squares
	first := s.objective("excessmtl.first", n, 0)
	logs := s.objective("excessmtl.log", n, 0) // of the weight over the preference
	for i := range n {
		own := math.Sqrt(in.G.At(i, i))
		if now := own * in.root; now > 0 && finite(now) {
			own = now
		}
		length[i] = clampTop(math.Hypot(length[i], own))
		excess := own * (own / length[i])
		if first[i] == 0 {
			first[i] = excess
		}
		if first[i] > 0 {
			logs[i] += m.eta * min(excess/first[i], 1e6)
		}
	}
	x, top := make([]float64, n), math.Inf(-1)
	for i, u := range in.Preference {
		top = max(top, logs[i])
		x[i] = math.Log(u) + logs[i]
	}
	for i := range logs {
		logs[i] -= top // the weights do not change, and the sums stay finite
	}
	s.Objective["excessmtl.norm"], s.Objective["excessmtl.first"], s.Objective["excessmtl.log"] = length, first, logs
	return Result{Weights: softmax(x), State: s}, nil
}
