package moo

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
)

// gradientFree marks the methods whose weights do not depend on the gradients,
// only on losses, sizes or nothing. Their Weights gets an Input whose G may be
// nil.
type gradientFree interface{ gradientFree() }

// isGradientFree looks through wrappers.
func isGradientFree(m Method) bool {
	if w, ok := m.(wrapper); ok {
		return isGradientFree(w.inner())
	}
	_, ok := m.(gradientFree)
	return ok
}

// solveWithoutGram is Solve for an Input without a Gram: every objective is
// active, and a run asks for the weights before the step.
func solveWithoutGram(m Method, in Input) (Result, error) {
	if !isGradientFree(m) {
		return Result{}, errors.New("moo: the Gram is empty")
	}
	n := max(len(in.Losses), len(in.Tokens), len(in.StepTokens), len(in.Preference))
	if n == 0 {
		return Result{}, errors.New("moo: neither a Gram nor losses, sizes or a preference: how many objectives are there?")
	}
	if err := in.checkLengths(n); err != nil {
		return Result{}, err
	}
	u, err := preferenceOf(m, in.Preference, n)
	if err != nil {
		return Result{}, err
	}
	in.Preference = unitSum(u)
	r, err := m.Weights(in)
	if err != nil {
		return Result{}, fmt.Errorf("moo: %s: %w", m.Name(), err)
	}
	for i, w := range r.Weights {
		if !finite(w) {
			return Result{}, fmt.Errorf("moo: %s returned weight %v for objective %d", m.Name(), w, i)
		}
	}
	if r.Diagnostics == nil {
		r.Diagnostics = map[string]float64{}
	}
	return r, nil
}

// checkLengths refuses losses and sizes that are not one per objective.
func (in Input) checkLengths(n int) error {
	switch {
	case in.Losses != nil && len(in.Losses) != n:
		return fmt.Errorf("moo: %d losses for %d objectives", len(in.Losses), n)
	case in.Before != nil && len(in.Before) != n, in.After != nil && len(in.After) != n:
		return fmt.Errorf("moo: losses of %d and %d objectives around the last update for %d", len(in.Before), len(in.After), n)
	case in.Tokens != nil && len(in.Tokens) != n:
		return fmt.Errorf("moo: %d sizes for %d objectives", len(in.Tokens), n)
	case in.StepTokens != nil && len(in.StepTokens) != n:
		return fmt.Errorf("moo: the step's tokens of %d objectives for %d", len(in.StepTokens), n)
	}
	return nil
}

// unitSum scales weights to sum to one; all zeros stay. The largest is divided
// out first, so that the sum does not overflow.
func unitSum(w []float64) []float64 {
	out := slices.Clone(w)
	largest, sum := 0.0, 0.0
	for _, x := range w {
		largest = max(largest, math.Abs(x))
	}
	if largest == 0 {
		return out
	}
	for i := range out {
		out[i] /= largest
		sum += out[i]
	}
	for i := range out {
		out[i] /= sum
	}
	return out
}

// knownLosses returns the losses with those that are not known (NaN, infinite,
// not positive) replaced by the geometric mean of the others, which takes no
// side; false when none is known.
func (in Input) knownLosses() ([]float64, bool) {
	sum, n := 0.0, 0
	for _, l := range in.Losses {
		if l > 0 && finite(l) {
			sum += math.Log(l)
			n++
		}
	}
	if n == 0 {
		return nil, false
	}
	out := slices.Clone(in.Losses)
	for i := range out {
		if !in.knows(i) {
			out[i] = math.Exp(sum / float64(n))
		}
	}
	return out, true
}

// knows says that objective i's loss is known.
func (in Input) knows(i int) bool {
	return i < len(in.Losses) && in.Losses[i] > 0 && finite(in.Losses[i])
}

// softmax of x, which may hold large values.
func softmax(x []float64) []float64 {
	top := slices.Max(x)
	out, sum := make([]float64, len(x)), 0.0
	for i, v := range x {
		out[i] = math.Exp(v - top)
		sum += out[i]
	}
	for i := range out {
		out[i] /= sum
	}
	return out
}

// clone copies the maps, not the slices, which are never changed in place.
func (s State) clone() State {
	out := State{Scalar: maps.Clone(s.Scalar), Objective: maps.Clone(s.Objective), Pair: maps.Clone(s.Pair)}
	if out.Scalar == nil {
		out.Scalar = map[string]float64{}
	}
	if out.Objective == nil {
		out.Objective = map[string][]float64{}
	}
	if out.Pair == nil {
		out.Pair = map[string][]float64{}
	}
	return out
}

// objective is a state's values by objective, init for each where there are none.
func (s State) objective(name string, n int, init float64) []float64 {
	if v := s.Objective[name]; len(v) == n {
		return slices.Clone(v)
	}
	return slices.Repeat([]float64{init}, n)
}
