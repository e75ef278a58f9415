package moo

import "math"

// stch: w_m = M u_m s_m/L_m, s = softmax(log(L/nadir)/μ): the derivative of the
// smooth Tchebycheff scalarisation M μ log Σ exp(log(L_m/nadir_m)/μ) of the log
// losses.
//
// Paper: Lin et al., Smooth Tchebycheff Scalarization, ICML 2024
// (arXiv:2402.19078). Options: mu (default 1; small values follow the worst
// objective alone), warmup (default 20 steps: the preference's weights, while the
// mean of the losses becomes the nadir), rescale.
// Guarantees: descends a smooth maximum of relative losses; may oppose the
// objectives that are well off.
type stch struct {
	mu, warmup float64
	mean       bool
}

func stchEntry() entry {
	return entry{
		Info: Info{
			Name: "stch", Needs: NeedsLosses, UsesLosses: true, UsesPreference: true, Rule: "w_m = M u_m s_m/L_m, s = softmax(log(L/nadir)/μ)",
			Paper:      "Lin et al. 2024, arXiv:2402.19078",
			Guarantees: "descends a smooth maximum of the losses relative to their start; may oppose the objectives that are well off",
			Options: []Option{
				{Name: "mu", Default: 1.0, Min: 1e-6, Max: 1e6, Doc: "smoothness; towards 0 only the worst objective counts"},
				{Name: "warmup", Default: 20.0, Integer: true, Min: 1, Max: 1e9, Doc: "steps whose mean loss is the nadir"},
				rescaleOption("scales the weights to sum to one"),
			},
		},
		build: func(v values) (Method, error) {
			return stch{v.number("mu"), v.number("warmup"), v.word(rescaleName) == rescaleMean}, nil
		},
	}
}

func (stch) Name() string  { return "stch" }
func (stch) gradientFree() {}

func (m stch) Weights(in Input) (Result, error) {
	w := append([]float64{}, in.Preference...)
	l, ok := in.knownLosses()
	if !ok {
		return Result{Weights: w, State: in.State}, nil
	}
	n, s := len(l), in.State.clone()
	nadir, count := s.objective("stch.nadir", n, 0), s.objective("stch.count", n, 0)
	if s.Scalar["stch.steps"] < m.warmup {
		s.Scalar["stch.steps"]++
		for i := range nadir { // running mean of the known losses
			if in.knows(i) {
				count[i]++
				nadir[i] += (min(l[i], 1e300) - nadir[i]) / count[i]
			}
		}
		s.Objective["stch.nadir"], s.Objective["stch.count"] = nadir, count
		return Result{Weights: w, State: s}, nil
	}
	x := make([]float64, n)
	for i := range x {
		if nadir[i] > 0 { // else it was never known: as at its start
			x[i] = (math.Log(l[i]) - math.Log(nadir[i])) / m.mu
		}
	}
	for i, v := range softmax(x) {
		w[i] *= float64(n) * v / max(l[i], 1e-290)
		if m.mean && w[i] > 1e280 {
			w[i] = 1e280
		}
	}
	if m.mean {
		w = unitSum(w)
	}
	return Result{Weights: w, State: s}, nil
}
