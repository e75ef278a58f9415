package objective

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
)

// Counted implements bucket.SharedSolver: the tokens and losses that a group's
// rows are really of take the place of the batch's. A step that is done again
// starts from the state before it.
func (o *Objective) Counted(unit int, tokens []int, losses []float64) {
	o.supervised = o.byLang(tokens)
	sums := make([]float64, len(o.langs))
	per := len(tokens) / len(o.langs)
	for row, l := range losses {
		if tokens[row] > 0 {
			sums[row/per] += l
		}
	}
	for m, n := range o.supervised {
		if sums[m] /= float64(n); n == 0 {
			sums[m] = math.NaN()
		}
	}
	o.now = func() ([]float64, error) { return sums, nil }
	if o.opt.Noise.Halves {
		o.halves = tokens
	}
	o.byGroup[unit] = o.saved[unit].clone()
}

// byLang adds up the rows of each language: one, or two halves.
func (o *Objective) byLang(rows []int) []int {
	out := make([]int, len(o.langs))
	per := len(rows) / len(o.langs)
	for row, n := range rows {
		out[row/per] += n
	}
	return out
}

// Restart begins the step again for a machine that resolves the languages of its own
// rows by itself: supervised are their tokens, losses their losses.
func (o *Objective) Restart(supervised []int, losses func() ([]float64, error)) {
	copy(o.byGroup, cloneAll(o.saved))
	o.supervised, o.now = supervised, losses
}

// Undo takes back the changes of step, if it was begun.
func (o *Objective) Undo(step int64) {
	if o.step == step {
		copy(o.byGroup, cloneAll(o.saved))
	}
}

// remember keeps the groups' states before a step, once.
func (o *Objective) remember(step int64) {
	if o.saved == nil || o.step != step {
		o.saved = cloneAll(o.byGroup)
	}
}

// Export implements bucket.SharedSolver.
func (o *Objective) Export(unit int) ([]byte, error) { return json.Marshal(o.byGroup[unit]) }

// Import implements bucket.SharedSolver.
func (o *Objective) Import(unit int, b []byte) error {
	u, err := o.parse(b)
	if err == nil {
		o.byGroup[unit] = u
	}
	return err
}

// Check refuses the states that Import refuses, and changes nothing. Safe for concurrent use.
func (o *Objective) Check(b []byte) error {
	_, err := o.parse(b)
	return err
}

// parse reads a group's state.
func (o *Objective) parse(b []byte) (u groupState, err error) {
	if err := json.Unmarshal(b, &u); err != nil {
		return u, err
	}
	if err := u.check(len(o.langs)); err != nil {
		return u, fmt.Errorf("the method's state: %w", err)
	}
	return u, nil
}

// check refuses states of another number of languages.
func (u groupState) check(m int) error {
	fits := func(n, want int) error {
		if n != 0 && n != want {
			return fmt.Errorf("%d values; %d are needed for %d languages", n, want, m)
		}
		return nil
	}
	err := errors.Join(fits(len(u.Weights), m), fits(len(u.Signal), m))
	for _, x := range u.State.Objective {
		err = errors.Join(err, fits(len(x), m))
	}
	for _, x := range u.State.Pair {
		err = errors.Join(err, fits(len(x), m*m))
	}
	return err
}
