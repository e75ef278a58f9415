package moo

import "errors"

// tokenMean: w ∝ u ⊙ n, n the step's supervised tokens: the loss is the mean over all
// tokens of the batch, in every language.
//
// This is plain supervised fine-tuning as other trainers do it, the baseline to compare
// with: a language counts as its tokens in the batch do. Given no tokens of the step, the
// sizes of the training data stand in for them. No hyper-parameters; weights sum to one.
// Guarantees: descends the mean loss of a token and nothing about any single objective.
type tokenMean struct{}

func tokenMeanEntry() entry {
	return entry{
		Info: Info{
			Name: "token-mean", Needs: NeedsNothing, UsesPreference: true,
			Rule:       "w ∝ u ⊙ n, n the step's supervised tokens: plain fine-tuning, the mean over the batch's tokens",
			Guarantees: "descends the mean loss of a token; may oppose single objectives",
		},
		build: func(values) (Method, error) { return tokenMean{}, nil },
	}
}

func (tokenMean) Name() string  { return "token-mean" }
func (tokenMean) gradientFree() {}

var errNeedsTokens = errors.New("needs the supervised tokens of each objective (tokens)")

func (tokenMean) Weights(in Input) (Result, error) {
	n := in.StepTokens
	if n == nil {
		n = in.Tokens
	}
	if n == nil {
		return Result{}, errNeedsTokens
	}
	w := make([]float64, len(n))
	for i, x := range n {
		w[i] = in.Preference[i] * x
	}
	return Result{Weights: unitSum(w)}, nil
}
