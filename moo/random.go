package moo

import "math"

// random: w uniform on the simplex, drawn anew for every step and every bucket.
//
// A control for methods that resolve bucket by bucket, where rlw draws once for all
// buckets: an effect that random weights have too is not one of resolving conflicts.
// Keyed by seed, step, bucket and objective. The preference is not used; weights sum to
// one.
// Guarantees: descends the mean loss in expectation; nothing in a single step.
type random struct{}

func randomEntry() entry {
	return entry{
		Info: Info{
			Name: "random", Needs: NeedsGram, Rule: "w uniform on the simplex, for every step and bucket",
			Guarantees: "a control: descends the mean loss in expectation; may oppose single objectives; ignores the preference",
		},
		build: func(values) (Method, error) { return random{}, nil },
	}
}

func (random) Name() string { return "random" }

func (random) Weights(in Input) (Result, error) {
	w := make([]float64, in.G.SymmetricDim())
	key := mix(mix(mix(in.Seed)+uint64(in.Step)) + uint64(in.Bucket))
	for i := range w { // exponential draws over their sum
		u := (float64(mix(key+uint64(i))>>11) + 0.5) * 0x1p-53
		w[i] = -math.Log(u)
	}
	return Result{Weights: unitSum(w)}, nil
}
