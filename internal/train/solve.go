package train

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"

	"concord/bucket"
	"concord/moo"
)

// unknown is NaN for every language.
func unknown(n int) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = math.NaN()
	}
	return out
}

// begin starts a step with so many supervised tokens by language.
func (o *objective) begin(step int64, supervised []int) {
	if o.shared {
		o.remember(step)
	}
	o.step, o.supervised = step, supervised
}

// spread moves the weights of languages without tokens in this step to the
// others, in proportion: the sum stays.
func (o *objective) spread(w []float64) []float64 {
	all, present := 0.0, 0.0
	for m, x := range w {
		all += x
		if o.supervised[m] > 0 {
			present += x
		}
	}
	out := make([]float64, len(w))
	for m, x := range w {
		if o.supervised[m] > 0 && present > 0 {
			out[m] = x * (all / present)
		}
	}
	return out
}

// Fixed implements bucket.Solver: a unit's weights where they are known before
// the step.
func (o *objective) Fixed(unit int) []float64 {
	r, u := o.rule(o.units[unit].Group), &o.byUnit[unit]
	switch {
	case known(r):
		w, err := o.before(r, u, unit)
		if err != nil {
			return nil // Solve will say it
		}
		return o.spread(w)
	case o.step < int64(o.cfg.Warmup):
		return o.spread(o.normalised(o.preference))
	case o.step%int64(o.cfg.Every) != 0 && u.Weights != nil:
		return u.Weights // languages without tokens in this step have no gradient to weigh
	}
	return nil
}

// before asks a rule for weights that need no gradients.
func (o *objective) before(r rule, u *unitState, unit int) ([]float64, error) {
	res, err := moo.Solve(r.method, moo.Input{Losses: o.losses, Tokens: o.tokens, Preference: o.preference,
		Seed: o.seed, Step: o.step, Bucket: unit, State: u.State})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.name, err)
	}
	u.State = res.State
	return res.Weights, nil
}

// normalised scales weights to sum to one.
func (*objective) normalised(w []float64) []float64 {
	sum := 0.0
	for _, x := range w {
		sum += x
	}
	out := make([]float64, len(w))
	for i, x := range w {
		out[i] = x / sum
	}
	return out
}

// Solve implements bucket.Solver.
func (o *objective) Solve(p bucket.Problem) (bucket.Solution, error) {
	r, u := o.rule(o.units[p.Unit].Group), &o.byUnit[p.Unit]
	if known(r) { // Fixed failed
		_, err := o.before(r, u, p.Unit)
		return bucket.Solution{}, err
	}
	if e, ok := r.method.(moo.Elementwise); ok {
		return bucket.Solution{Elements: &bucket.Elementwise{Rule: e.Rule(), Used: active(p.G), Key: moo.ElementKey(o.seed, o.step, p.Unit)}}, nil
	}
	losses, err := o.now()
	if err != nil {
		return bucket.Solution{}, err
	}
	g := p.G
	if o.cfg.Noise.Debias {
		g = o.debias(p, u)
	}
	res, err := moo.Solve(r.method, moo.Input{G: g, Losses: losses, Tokens: o.tokens, Preference: o.preference,
		Seed: o.seed, Step: o.step, Bucket: p.Unit, State: u.State})
	if err != nil {
		return bucket.Solution{}, fmt.Errorf("%s: %w", r.name, err)
	}
	u.State = res.State
	if o.cfg.Every > 1 {
		u.Weights = res.Weights
	}
	return bucket.Solution{Weights: res.Weights}, nil
}

// active lists the languages with a finite gradient that is not zero.
func active(g *mat.SymDense) []int {
	var out []int
	for i := range g.SymmetricDim() {
		if d := g.At(i, i); d > 0 && !math.IsInf(d, 0) {
			out = append(out, i)
		}
	}
	return out
}

// folds is the weights by language of a step whose weights are folded into the
// loss.
func (o *objective) folds() ([]float64, error) { return o.before(o.rules[0], &o.byUnit[0], 0) }

// scales is ∂objective/∂loss of a token, by language: 1/n for rows, whose
// combination comes later, and weight/n where the weights are folded into the
// loss; they keep their sum over the languages that have tokens in the step.
func (o *objective) scales(supervised []int) ([]float32, error) {
	out := make([]float32, len(supervised))
	var weights []float64
	if o.folded() {
		var err error
		if weights, err = o.folds(); err != nil {
			return nil, err
		}
	}
	if weights != nil {
		weights = o.spread(weights)
	}
	for m, n := range supervised {
		switch {
		case n == 0:
		case weights == nil:
			out[m] = float32(1 / float64(n))
		default:
			out[m] = float32(weights[m] / float64(n))
		}
	}
	return out, nil
}

// learned remembers a step's losses for the weights of later steps.
func (o *objective) learned(losses []float64) {
	for m, l := range losses {
		if !math.IsNaN(l) && !math.IsInf(l, 0) {
			o.losses[m] = l
		}
	}
}
