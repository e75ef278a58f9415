package moo

// mean: w = u.
//
// The baseline that every other method must beat: plain training on the mean
// of the objectives' losses, weighted by the preference. No hyper-parameters.
// Guarantees descent of the weighted mean loss and nothing about any single
// objective: d may oppose one or more of them.
type mean struct{}

// Mean is the name of the plain mean of the objectives' losses.
const Mean = "mean"

func meanEntry() entry {
	return entry{
		Info: Info{
			Name: Mean, Needs: NeedsNothing, UsesPreference: true, Rule: "w = u (the preference, 1/M by default)",
			Guarantees: "descends the mean loss; may oppose single objectives",
		},
		build: func(values) (Method, error) { return mean{}, nil },
	}
}

func (mean) Name() string  { return Mean }
func (mean) gradientFree() {}

func (mean) Weights(in Input) (Result, error) {
	return Result{Weights: append([]float64(nil), in.Preference...)}, nil
}
