package moo

import "math"

// gls: w_m = u_m GLS/L_m, the derivative of the geometric mean
// GLS = Π L_m^{u_m} by L_m.
//
// Paper: Chennupati et al., MultiNet++, CVPR workshops 2019 (arXiv:1904.08325).
// Option: rescale. Losses are those of the latest step.
// Guarantees: descends the geometric mean loss in any units of the losses; may
// oppose single objectives.
type gls struct{ mean bool }

func glsEntry() entry {
	return entry{
		Info: Info{
			Name: "gls", Needs: NeedsLosses, UsesLosses: true, UsesPreference: true, Rule: "w_m = u_m GLS/L_m, GLS = Π L_m^{u_m}",
			Paper:      "Chennupati et al. 2019, arXiv:1904.08325",
			Guarantees: "descends the geometric mean of the losses; may oppose single objectives",
			Options:    []Option{rescaleOption("scales the weights to sum to one")},
		},
		build: func(v values) (Method, error) { return gls{v.word(rescaleName) == rescaleMean}, nil },
	}
}

func (gls) Name() string  { return "gls" }
func (gls) gradientFree() {}

func (m gls) Weights(in Input) (Result, error) {
	l, ok := in.knownLosses()
	if !ok {
		return Result{Weights: append([]float64{}, in.Preference...)}, nil
	}
	mean := 0.0
	for i, u := range in.Preference {
		mean += u * math.Log(l[i])
	}
	w := make([]float64, len(l))
	for i, u := range in.Preference {
		w[i] = u * math.Exp(min(700, mean-math.Log(l[i])))
	}
	if m.mean {
		w = unitSum(w)
	}
	return Result{Weights: w}, nil
}
