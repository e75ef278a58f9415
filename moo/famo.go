package moo

import "math"

// famo: z = softmax(ξ), w_m = c u'_m z_m/L_m with c such that Σ w = 1; then ξ
// moves, by Adam, so that the objectives whose log loss fell least gain weight:
// its gradient is (∂z/∂ξ)ᵀ δ, δ = log L(before) − log L(after).
//
// Paper: Liu et al., FAMO: Fast Adaptive Multitask Optimization, NeurIPS 2023
// (arXiv:2306.03792), Algorithm 1. famo is the paper's: Losses are those of the step's own
// batch, and Before and After those of the last step's batch around its update. That
// costs two forward passes a step. famo-lagged costs none: the next step's losses, of another batch,
// stand in for those after the update, and the weights come from the last step's losses.
// Options: lr of ξ (default 0.025), weight_decay
// (default 1e-3), min_loss b that is subtracted from every loss (default 0).
// Guarantees: balances the objectives' rates of improvement over time; may
// oppose single objectives.
type famo struct {
	lr, decay, floor float64
	lagged           bool
}

func famoEntry() entry {
	return entry{
		Info: Info{
			Name: "famo", Needs: NeedsLosses, UsesLosses: true, SameBatch: true, UsesPreference: true,
			Rule:  "w ∝ u ⊙ softmax(ξ)/(L − b); ξ ← Adam(ξ, (∂softmax/∂ξ)ᵀ (log L_before − log L_after)), both of one batch",
			Paper: "Liu et al. 2023, arXiv:2306.03792",
			Guarantees: "evens out the objectives' rates of improvement over time; may oppose single objectives in a step; two more " +
				"forward passes a step",
			Options: famoOptions(),
		},
		build: func(v values) (Method, error) { return newFAMO(v, false), nil },
	}
}

func famoLaggedEntry() entry {
	return entry{
		Info: Info{
			Name: "famo-lagged", Needs: NeedsLosses, UsesLosses: true, UsesPreference: true,
			Rule:       "as famo, with the losses of the last step and its batch in place of this one's",
			Paper:      "Liu et al. 2023, arXiv:2306.03792, with the losses of successive batches, which the authors name for speed",
			Guarantees: "as famo, with the noise between batches in ξ; no price",
			Options:    famoOptions(),
		},
		build: func(v values) (Method, error) { return newFAMO(v, true), nil },
	}
}

func famoOptions() []Option {
	return []Option{
		{Name: "lr", Default: 0.025, Min: 0, Max: 10, Doc: "learning rate of ξ"},
		{Name: "weight_decay", Default: 1e-3, Min: 0, Max: 10, Doc: "L2 term of ξ"},
		{Name: "min_loss", Default: 0.0, Min: 0, Max: 1e9, Doc: "b, the least loss that can be reached"},
	}
}

func newFAMO(v values, lagged bool) famo {
	return famo{v.number("lr"), v.number("weight_decay"), v.number("min_loss"), lagged}
}

func (m famo) Name() string {
	if m.lagged {
		return "famo-lagged"
	}
	return "famo"
}
func (famo) gradientFree() {}

func (m famo) Weights(in Input) (Result, error) {
	n, s := len(in.Preference), in.State.clone()
	xi := s.objective("famo.xi", n, 0)
	if !m.lagged {
		m.learn(&s, xi, in.Before, in.After)
	}
	l, ok := in.knownLosses()
	if !ok {
		s.Objective["famo.xi"] = xi
		return Result{Weights: append([]float64{}, in.Preference...), State: s}, nil
	}
	logs := make([]float64, n)
	for i := range l {
		logs[i] = m.log(l[i])
	}
	if m.lagged {
		m.lag(&s, xi, logs, in)
	}
	s.Objective["famo.xi"] = xi
	x := make([]float64, n)
	for i, z := range softmax(xi) {
		x[i] = math.Log(z) - logs[i] // in logarithms, as losses may differ by many orders
	}
	w := softmax(x)
	for i := range w {
		w[i] *= in.Preference[i]
	}
	return Result{Weights: unitSum(w), State: s}, nil
}

// log is that of a positive loss above the floor.
func (m famo) log(loss float64) float64 {
	return math.Log(max(loss-m.floor, 1e-8*loss, math.SmallestNonzeroFloat64))
}

// learn moves ξ by the losses of one batch before and after its update; an objective
// whose losses are not known did not change.
func (m famo) learn(s *State, xi, before, after []float64) {
	if before == nil || after == nil {
		return
	}
	fall := make([]float64, len(xi))
	for i := range fall {
		if before[i] > 0 && after[i] > 0 && finite(before[i]) && finite(after[i]) {
			fall[i] = m.log(before[i]) - m.log(after[i])
		}
	}
	m.move(s, xi, fall)
}

// lag moves ξ by the change since the last step's losses, and keeps these.
func (m famo) lag(s *State, xi, logs []float64, in Input) {
	n := len(xi)
	seen := s.objective("famo.seen", n, 0)
	if before := s.Objective["famo.log"]; len(before) == n {
		change := make([]float64, n)
		for i := range change {
			if seen[i] == 1 && in.knows(i) { // both are its own losses, no stand-ins
				change[i] = before[i] - logs[i]
			}
		}
		m.move(s, xi, change)
	}
	kept := s.objective("famo.log", n, 0)
	for i := range kept {
		if in.knows(i) {
			kept[i], seen[i] = logs[i], 1
		}
	}
	s.Objective["famo.log"], s.Objective["famo.seen"] = kept, seen
}

// Adam's constants, as in the paper's code.
const (
	famoBeta1, famoBeta2 = 0.9, 0.999
	famoEps              = 1e-8
)

// move makes one Adam step of ξ for the fall δ of the log losses.
func (m famo) move(s *State, xi, fall []float64) {
	n := len(xi)
	z := softmax(xi)
	mean := 0.0 // Σ z δ
	for i := range z {
		mean += z[i] * fall[i]
	}
	first, second := s.objective("famo.m", n, 0), s.objective("famo.v", n, 0)
	t := s.Scalar["famo.steps"] + 1
	for i := range xi {
		g := z[i]*(fall[i]-mean) + m.decay*xi[i]
		first[i] = famoBeta1*first[i] + (1-famoBeta1)*g
		second[i] = famoBeta2*second[i] + (1-famoBeta2)*g*g
		rate := m.lr / (1 - math.Pow(famoBeta1, t))
		xi[i] -= rate * first[i] / (math.Sqrt(second[i]/(1-math.Pow(famoBeta2, t))) + famoEps)
	}
	s.Scalar["famo.steps"], s.Objective["famo.m"], s.Objective["famo.v"] = t, first, second
}
