package moo

import "math"

// rlw: w ∝ u ⊙ exp(z), z standard normal, drawn anew for every step and the same
// in all buckets.
//
// Paper: Lin et al., Reasonable Effectiveness of Random Weighting, TMLR 2022
// (arXiv:2111.10603): a litmus test, as a method that cannot beat random weights
// has little to say. No hyper-parameters; weights sum to one.
// Guarantees: descends the mean loss in expectation; nothing in a single step.
type rlw struct{}

func rlwEntry() entry {
	return entry{
		Info: Info{
			Name: "rlw", Needs: NeedsNothing, UsesPreference: true, Rule: "w ∝ u ⊙ exp(z), z ~ N(0, I) for every step",
			Paper:      "Lin et al. 2022, arXiv:2111.10603",
			Guarantees: "descends the mean loss in expectation; may oppose single objectives",
		},
		build: func(values) (Method, error) { return rlw{}, nil },
	}
}

func (rlw) Name() string  { return "rlw" }
func (rlw) gradientFree() {}

func (rlw) Weights(in Input) (Result, error) {
	z := make([]float64, len(in.Preference))
	for i := range z {
		z[i] = normal(mix(mix(mix(in.Seed)+uint64(in.Step)) + uint64(i)))
	}
	w := softmax(z)
	for i := range w {
		w[i] *= in.Preference[i]
	}
	return Result{Weights: unitSum(w)}, nil
}

// normal is a standard normal draw from a key, by Box and Muller.
func normal(key uint64) float64 {
	u := (float64(mix(key)>>11) + 0.5) * 0x1p-53 // in (0, 1)
	v := float64(mix(key+1)>>11) * 0x1p-53
	return math.Sqrt(-2*math.Log(u)) * math.Cos(2*math.Pi*v)
}
