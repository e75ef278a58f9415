package moo

// sum: w = M u, so that d is the sum of the gradients for equal preferences.
//
// Plain training on the sum of the losses; mean with another learning rate, which
// matters where an optimizer clips. Option rescale: "mean" is mean.
// Guarantees descent of the weighted loss and nothing about single objectives.
type sum struct{ mean bool }

func sumEntry() entry {
	return entry{
		Info: Info{
			Name: "sum", Needs: NeedsNothing, UsesPreference: true, Rule: "w = M u",
			Guarantees: "descends the summed loss; may oppose single objectives",
			Options:    []Option{rescaleOption("divides by M")},
		},
		build: func(v values) (Method, error) { return sum{v.word(rescaleName) == rescaleMean}, nil },
	}
}

func (sum) Name() string  { return "sum" }
func (sum) gradientFree() {}

func (s sum) Weights(in Input) (Result, error) {
	w := append([]float64{}, in.Preference...)
	for i := range w {
		if !s.mean {
			w[i] *= float64(len(w))
		}
	}
	return Result{Weights: w}, nil
}
