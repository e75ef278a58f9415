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
			Name: "dwa", Needs: NeedsLosses, UsesPreference: true, Rule: "w = M² u ⊙ softmax(r/τ), r = mean loss of the last window over that of the one before",
			Paper:      "Liu et al. 2019, arXiv:1803.10704",
			Guarantees: "descends a weighted mean loss; may oppose single objectives",
			Options: []Option{
				{Name: "window", Default: 20.0, Min: 1, Max: 1e9, Doc: "steps per window"},
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
	if l, ok := in.knownLosses(); ok {
		m.count(&s, l)
	}
	w := append([]float64{}, in.Preference...)
	if last, before := s.Objective["dwa.last"], s.Objective["dwa.before"]; len(last) == n && len(before) == n {
		r := make([]float64, n)
		for i := range r {
			r[i] = min(last[i]/max(before[i], 1e-300), 1e6) / m.tau
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

// count adds a step's losses to the window and closes it when it is full.
func (m dwa) count(s *State, losses []float64) {
	sum := s.objective("dwa.sum", len(losses), 0)
	for i, l := range losses {
		sum[i] += min(l, 1e300) / m.window // the mean, without overflow
	}
	s.Objective["dwa.sum"] = sum
	if s.Scalar["dwa.steps"]++; s.Scalar["dwa.steps"] < m.window {
		return
	}
	if last := s.Objective["dwa.last"]; last != nil {
		s.Objective["dwa.before"] = last
	}
	s.Objective["dwa.last"] = sum
	delete(s.Objective, "dwa.sum")
	s.Scalar["dwa.steps"] = 0
}
