package moo

import (
	"fmt"
	"slices"
)

// Static is the name of the method with given weights.
const Static = "static"

// static: w = given weights, scaled to sum to one over the active objectives.
//
// Tuned static weights are the baseline that Kurin et al. (2022,
// arXiv:2201.04122) and Xin et al. (NeurIPS 2022) found hard to beat. Option
// weights: one value ≥ 0 per objective, not all zero; without it the preference
// is used, which makes it the same as mean. Guarantees descent of the weighted
// mean loss and nothing about any single objective.
type static struct{ weights []float64 }

func staticEntry() entry {
	return entry{
		Info: Info{
			Name: Static, Needs: NeedsNothing, UsesPreference: true,
			Rule:       "w = the given weights, scaled to sum to 1 over the objectives that have a gradient",
			Paper:      "Kurin et al. 2022, arXiv:2201.04122 (as a baseline)",
			Guarantees: "descends the weighted mean loss; may oppose single objectives",
			Options: []Option{{Name: "weights", List: true, Min: 0, Max: 1e9,
				Doc: "one weight per objective, not all zero; without it the preference is used"}},
		},
		build: func(v values) (Method, error) {
			w := v.list("weights")
			if w != nil && slices.Max(w) == 0 {
				return nil, fmt.Errorf(`moo: static: option "weights": all are zero`)
			}
			return static{w}, nil
		},
	}
}

func (static) Name() string  { return Static }
func (static) gradientFree() {}

// preference lets Solve drop and renormalise the given weights like any
// preference.
func (s static) preference(m int) ([]float64, error) {
	if s.weights != nil && len(s.weights) != m {
		return nil, fmt.Errorf("moo: static: %d weights for %d objectives", len(s.weights), m)
	}
	return s.weights, nil
}

func (static) Weights(in Input) (Result, error) {
	return Result{Weights: slices.Clone(in.Preference)}, nil
}
