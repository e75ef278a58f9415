package objective

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"

	"concord/bucket"
	"concord/moo"
)

// Unknown is NaN for every language.
func Unknown(n int) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = math.NaN()
	}
	return out
}

// Begin starts a step with so many supervised tokens by language, and by
// half-language where there are halves. losses gives the step's losses by language; it
// is called when a method asks for them.
func (o *Objective) Begin(step int64, supervised, halves []int, losses func() ([]float64, error)) {
	if o.shared {
		o.remember(step)
	}
	o.step, o.supervised, o.halves, o.now = step, supervised, halves, losses
}

// Halves are the step's supervised tokens by half-language, nil without halves.
func (o *Objective) Halves() []int { return o.halves }

// Mean is the weights by language of a plain mean over the step's languages.
func (o *Objective) Mean() []float64 { return o.spread(o.normalised(o.preference)) }

// spread moves the weights of languages without tokens in this step to the
// others, in proportion: the sum stays.
func (o *Objective) spread(w []float64) []float64 {
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

// StaticWeights implements bucket.Solver: a group's static weights in the step.
func (o *Objective) StaticWeights(group int) []float64 {
	r, u := o.rule(o.groups[group].Rule), &o.byGroup[group]
	switch {
	case r.static():
		w, err := o.staticWeightsOf(r, u, group)
		if err != nil {
			return nil // Solve will say it
		}
		return o.spread(w)
	case o.step < int64(o.opt.Warmup):
		return o.Mean()
	case o.step%int64(o.opt.Every) != 0 && u.Weights != nil:
		return u.Weights // languages without tokens in this step have no gradient to weigh
	}
	return nil
}

// staticWeightsOf asks a rule for weights that need no gradients.
func (o *Objective) staticWeightsOf(r rule, u *groupState, group int) ([]float64, error) {
	losses := o.losses
	if r.same {
		losses = o.batch.now
	}
	res, err := moo.Solve(r.method, moo.Input{Losses: losses, Before: o.batch.before, After: o.batch.after, Tokens: o.tokens,
		StepTokens: floats(o.supervised), Preference: o.preference,
		Seed: o.opt.Seed, Step: o.step, Bucket: group, State: u.State})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.name, err)
	}
	u.State = res.State
	return res.Weights, nil
}

func floats(n []int) []float64 {
	out := make([]float64, len(n))
	for i, x := range n {
		out[i] = float64(x)
	}
	return out
}

// normalised scales weights to sum to one.
func (*Objective) normalised(w []float64) []float64 {
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
func (o *Objective) Solve(p bucket.Problem) (bucket.Solution, error) {
	r, u := o.rule(o.groups[p.Group].Rule), &o.byGroup[p.Group]
	if r.static() { // StaticWeights failed
		_, err := o.staticWeightsOf(r, u, p.Group)
		return bucket.Solution{}, err
	}
	if e, ok := r.method.(moo.Elementwise); ok {
		return bucket.Solution{Elements: &bucket.Elementwise{Rule: e.Rule(), Used: active(p.G),
			Key: moo.ElementKey(o.opt.Seed, o.step, p.Group)}}, nil
	}
	losses, err := o.now()
	if err != nil {
		return bucket.Solution{}, err
	}
	g := p.G
	if o.opt.Noise.Debias {
		g = o.debias(p, u)
	}
	res, err := moo.Solve(r.method, moo.Input{G: g, Losses: losses, Tokens: o.tokens, StepTokens: floats(o.supervised),
		Preference: o.preference,
		Seed:       o.opt.Seed, Step: o.step, Bucket: p.Group, State: u.State})
	if err != nil {
		return bucket.Solution{}, fmt.Errorf("%s: %w", r.name, err)
	}
	u.State = res.State
	if o.opt.Every > 1 {
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

// Scales is ∂objective/∂loss of a token, by language: 1/n for rows, whose
// combination comes later, and weight/n where the weights are part of the loss;
// they keep their sum over the languages that have tokens in the step.
func (o *Objective) Scales(supervised []int) ([]float32, error) {
	out := make([]float32, len(supervised))
	var weights []float64
	if o.Static() {
		var err error
		if weights, err = o.staticWeightsOf(o.rules[0], &o.byGroup[0], 0); err != nil {
			return nil, err
		}
	}
	o.applied = nil
	if weights != nil {
		weights = o.spread(weights)
		if o.rules[0].name != moo.Mean {
			o.applied = weights
		}
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

// RecordLosses remembers a step's losses for the weights of later steps.
func (o *Objective) RecordLosses(losses []float64) {
	for m, l := range losses {
		if !math.IsNaN(l) && !math.IsInf(l, 0) {
			o.losses[m] = l
		}
	}
}
