package moo

import (
	"errors"
	"math"
)

// temperature: w ∝ u ⊙ tokens^(1/T): the weights that sampling the languages with
// temperature T does to their weights, without its effect on how often their
// data is seen. T = 1 weighs by size, T → ∞ is mean.
//
// Paper: Aharoni et al., Massively Multilingual Neural Machine Translation,
// NAACL 2019 (arXiv:1903.00089); Arivazhagan et al. 2019 (arXiv:1907.05019).
// Option t (default 5). Weights sum to one.
// Guarantees: descends the weighted mean loss and nothing about any single
// objective.
type temperature struct{ t float64 }

func temperatureEntry() entry {
	return entry{
		Info: Info{
			Name: "temperature", Needs: NeedsNothing, UsesPreference: true, Rule: "w ∝ u ⊙ tokens^(1/T)",
			Paper:      "Aharoni et al. 2019, arXiv:1903.00089 (as sampling)",
			Guarantees: "descends the weighted mean loss; may oppose single objectives",
			Options: []Option{{Name: "t", Default: 5.0, Min: 1e-3, Max: 1e9,
				Doc: "temperature; 1 weighs languages by their tokens, large values evenly"}},
		},
		build: func(v values) (Method, error) { return temperature{v.number("t")}, nil },
	}
}

func (temperature) Name() string  { return "temperature" }
func (temperature) gradientFree() {}

func (m temperature) Weights(in Input) (Result, error) {
	if in.Tokens == nil {
		return Result{}, errors.New("the sizes of the objectives' data are not given (tokens)")
	}
	x := make([]float64, len(in.Tokens))
	for i, n := range in.Tokens {
		if !(n > 0) || !finite(n) {
			return Result{}, errors.New("an objective has no data: every size must be above 0")
		}
		x[i] = math.Log(n) / m.t
	}
	w := softmax(x)
	for i := range w {
		w[i] *= in.Preference[i]
	}
	return Result{Weights: unitSum(w)}, nil
}
