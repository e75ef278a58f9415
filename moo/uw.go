package moo

import "math"

// uw: w = 1/(2 exp s), s learnt with the model: the objective is
// Σ L_m/(2 exp s_m) + s_m/2, whose derivative by s_m moves s_m.
// imtlL: w = exp s, from Σ exp(s_m) L_m − s_m. IMTL-L at s is twice UW at −s.
//
// Papers: Kendall et al., CVPR 2018 (arXiv:1705.07115); Liu et al., Towards
// Impartial Multi-task Learning, ICLR 2021 (IMTL-L).
// Options: lr of s (default 0.025, plain gradient steps on the latest losses),
// init (default 0), rescale. s is kept within ±20.
// Guarantees: none about single objectives. At the optimum of s, w ∝ 1/L: every
// objective counts by its relative change.
type uw struct {
	imtl     bool
	lr, init float64
	mean     bool
}

func uwEntry() entry {
	return scaleEntry("uw", false, "w = 1/(2 exp s), s ← s − lr ∂(L/(2 exp s) + s/2)/∂s", "Kendall et al. 2018, arXiv:1705.07115")
}

func imtlLEntry() entry {
	return scaleEntry("imtl-l", true, "w = exp s, s ← s − lr ∂(exp(s) L − s)/∂s", "Liu et al. 2021 (IMTL, ICLR)")
}

func scaleEntry(name string, imtl bool, rule, paper string) entry {
	return entry{
		Info: Info{
			Name: name, Needs: NeedsLosses, UsesLosses: true, UsesPreference: true, Rule: rule, Paper: paper,
			Guarantees: "descends a weighted mean loss, in the end of relative changes (w ∝ 1/L); may oppose single objectives",
			Options: []Option{
				{Name: "lr", Default: 0.025, Min: 0, Max: 10, Doc: "learning rate of s"},
				{Name: "init", Default: 0.0, Min: -20, Max: 20, Doc: "s at the start"},
				rescaleOption("scales the weights to sum to one"),
			},
		},
		build: func(v values) (Method, error) {
			return uw{imtl, v.number("lr"), v.number("init"), v.word(rescaleName) == rescaleMean}, nil
		},
	}
}

func (m uw) Name() string {
	if m.imtl {
		return "imtl-l"
	}
	return "uw"
}
func (uw) gradientFree() {}

func (m uw) Weights(in Input) (Result, error) {
	n := len(in.Preference)
	state := in.State.clone()
	s := state.objective(m.Name()+".s", n, m.init)
	if l, ok := in.knownLosses(); ok {
		for i := range s {
			s[i] = min(20, max(-20, s[i]-m.lr*m.slope(s[i], l[i])))
		}
	}
	state.Objective[m.Name()+".s"] = s
	w := make([]float64, n)
	for i := range w {
		w[i] = math.Exp(s[i])
		if !m.imtl {
			w[i] = 0.5 * math.Exp(-s[i])
		}
		w[i] *= in.Preference[i] * float64(n)
	}
	if m.mean {
		w = unitSum(w)
	}
	return Result{Weights: w, State: state}, nil
}

// slope is the derivative of the objective by s, bounded so that one absurd loss
// does not end the method.
func (m uw) slope(s, loss float64) float64 {
	d := 0.5 - loss/(2*math.Exp(s))
	if m.imtl {
		d = math.Exp(s)*loss - 1
	}
	return min(100, max(-100, d))
}
