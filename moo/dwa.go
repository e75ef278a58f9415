package moo

// dwa: w = M u ⊙ M softmax(r/τ)/M, r_m = L_m(last window)/L_m(the one before):
// objectives whose loss falls slowly get more weight.
//
// Paper: Liu et al., End-to-End Multi-Task Learning with Attention, CVPR 2019
// (arXiv:1803.10704), where the windows are epochs; here they are steps.
// Options: window (default 20 steps), tau (default 2), rescale. Until two windows
// are full the weights are the preference's.
// Guarantees: none about single objectives; weights stay within a factor
// exp(max r/τ) of each other.
type dwa struct {
	window, tau float64
	sum         bool
}

func dwaEntry() entry {
	return entry{
		Info: Info{
			Name: "dwa", Needs: NeedsLosses, UsesLosses: true, UsesPreference: true,
			Rule:       "w = M² u ⊙ softmax(r/τ), r = mean loss of the last window over that of the one before",
			Paper:      "Liu et al. 2019, arXiv:1803.10704",
			Guarantees: "descends a weighted mean loss; may oppose single objectives",
			Options: []Option{
				{Name: "window", Default: 20.0, Integer: true, Min: 1, Max: 1e9, Doc: "steps per window"},
				{Name: "tau", Default: 2.0, Min: 1e-3, Max: 1e9, Doc: "temperature; large values even the weights out"},
				rescaleOption("divides by M"),
			},
		},
		build: func(v values) (Method, error) {
			return dwa{v.number("window"), v.number("tau"), v.word(rescaleName) == rescaleNone}, nil
		},
	}
}

func (dwa) Name() string  { return "dwa" }
func (dwa) gradientFree() {}

func (m dwa) Weights(in Input) (Result, error) {
	n := len(in.Preference)
	s := in.State.clone()
	if _, ok := in.knownLosses(); ok {
		m.count(&s, in, n)
	}
	w := append([]float64{}, in.Preference...)
	if last, before := s.Objective["dwa.last"], s.Objective["dwa.before"]; len(last) == n && len(before) == n {
		r := make([]float64, n)
		for i := range r {
			r[i] = 1 / m.tau
			if last[i] > 0 && before[i] > 0 {
				r[i] = min(last[i]/before[i], 1e6) / m.tau
			}
		}
		for i, x := range softmax(r) {
			w[i] *= x * float64(n)
		}
	}
	w = unitSum(w)
	if m.sum {
		for i := range w {
			w[i] *= float64(n)
		}
	}
	return Result{Weights: w, State: s}, nil
}

// count adds a step's losses to the window, those that are known, and closes it
// when it is full. A loss that was known in no step of a window has the mean 0,
// which Weights takes as no change.
func (m dwa) count(s *State, in Input, n int) {
	mean, seen := s.objective("dwa.mean", n, 0), s.objective("dwa.seen", n, 0)
	for i := range mean {
		if in.knows(i) {
			seen[i]++
			mean[i] += (min(in.Losses[i], 1e300) - mean[i]) / seen[i]
		}
	}
	s.Objective["dwa.mean"], s.Objective["dwa.seen"] = mean, seen
	if s.Scalar["dwa.steps"]++; s.Scalar["dwa.steps"] < m.window {
		return
	}
	if last := s.Objective["dwa.last"]; last != nil {
		s.Objective["dwa.before"] = last
	}
	s.Objective["dwa.last"] = mean
	delete(s.Objective, "dwa.mean")
	delete(s.Objective, "dwa.seen")
	s.Scalar["dwa.steps"] = 0
}
