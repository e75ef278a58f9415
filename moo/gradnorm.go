package moo

import "math"

// gradnorm: weights w with Σ w = M that learn to make w_m|g_m| equal to
// Ḡ r_m^α, Ḡ the mean of the w|g|, r_m = (L_m/L_m(0)) over its mean: objectives
// that have fallen less are to pull more. One step a call of
// w ← w − lr sign(w_m|g_m| − Ḡ r_m^α)|g_m|/Ḡ, at least 10⁻³, and scaled to the
// sum again.
//
// Paper: Chen et al., GradNorm, ICML 2018 (arXiv:1711.02257), which takes the
// gradient of the last shared layer; here every bucket has its own weights.
// Options: alpha (default 1.5), lr (default 0.025), rescale. State: weights and
// the first losses.
// Guarantees: pulls of balanced length in time; may oppose single objectives.
type gradnorm struct {
	alpha, lr float64
	mean      bool
}

func gradnormEntry() entry {
	return entry{
		Info: Info{
			Name: "gradnorm", Needs: NeedsGram, UsesLosses: true, UsesPreference: true,
			Rule:       "w ← w − lr sign(w_m|g_m| − Ḡ r_m^α)|g_m|/Ḡ, Σ w = M, r = relative inverse training rate",
			Paper:      "Chen et al. 2018, arXiv:1711.02257",
			Guarantees: "balances the lengths of the objectives' pulls over time; may oppose single objectives",
			Options: []Option{
				{Name: "alpha", Default: 1.5, Min: 0, Max: 100, Doc: "how strongly slow objectives are helped"},
				{Name: "lr", Default: 0.025, Min: 0, Max: 1, Doc: "step of the weights"},
				rescaleOption("divides by M"),
			},
		},
		build: func(v values) (Method, error) {
			return gradnorm{v.number("alpha"), v.number("lr"), v.word(rescaleName) == rescaleMean}, nil
		},
	}
}

func (gradnorm) Name() string { return "gradnorm" }

func (m gradnorm) Weights(in Input) (Result, error) {
	l, ok := in.knownLosses()
	if !ok {
		return Result{}, errNeedsLosses
	}
	n := len(l)
	s := in.State.clone()
	w, first := s.objective("gradnorm.weights", n, 1), s.objective("gradnorm.first", n, 0)
	rate, pull := make([]float64, n), make([]float64, n)
	meanRate, meanPull := 0.0, 0.0
	for i := range w {
		if w[i] == 0 { // seen for the first time
			w[i] = 1
		}
		if first[i] == 0 {
			first[i] = l[i]
		}
		rate[i] = min(1e6, l[i]/first[i])
		pull[i] = w[i] * root(in.G.At(i, i))
		meanRate += rate[i] / float64(n)
		meanPull += pull[i] / float64(n)
	}
	for i := range w {
		target := meanPull * math.Pow(rate[i]/meanRate, m.alpha)
		step := m.lr * min(10, root(in.G.At(i, i))/meanPull)
		switch {
		case pull[i] > target:
			w[i] = max(1e-3, w[i]-step)
		case pull[i] < target:
			w[i] += step
		}
	}
	w = scale(unitSum(w), float64(n))
	s.Objective["gradnorm.weights"], s.Objective["gradnorm.first"] = w, first
	out := make([]float64, n)
	for i := range out {
		out[i] = w[i] * in.Preference[i] * float64(n)
	}
	out = scale(unitSum(out), float64(n))
	if m.mean {
		out = scale(out, 1/float64(n))
	}
	return Result{Weights: out, State: s}, nil
}
