package model

import (
	"slices"
)

// Merged returns the weights of the model without an adapter that computes the same as c's model
// does with its own. base reads its base model's parameters by name, values are the
// adapter's as ReadAdapter returns them. The result reads a parameter of the merged
// model, in float64 inside and rounded once.
func Merged(c Config, base func(name string) ([]float32, error), values map[string][]float32) func(name string) ([]float32, error) {
	space := newNetwork(c).adapters
	return func(name string) ([]float32, error) {
		if whole, ok := values[name]; ok {
			return whole, nil
		}
		w, err := base(name)
		if err != nil {
			return nil, err
		}
		if a := space.of[name]; a != nil {
			w = slices.Clone(w)
			a.merge(w, values)
		}
		if t := space.table; t != nil && name == TokenTable(c) {
			w = slices.Clone(w)
			t.merge(w, values)
		}
		return w, nil
	}
}
