package moo

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"
)

// negligible is the squared norm, as a share of the trace, below which a row is
// treated as zero: its square would soon underflow, and its part of d is
// below 10⁻¹⁵⁰ of the other gradients.
const negligible = 1e-300

// Solve applies m to in, taking care of the things that no method should have to:
//
//   - A row whose Gram holds NaN or Inf is masked: weight 0, counted in the
//     diagnostic "masked". The other objectives go on without it.
//   - A row that is exactly zero (or below 10⁻¹⁵⁰ of the others' norm) is
//     dropped: weight 0, counted in "zero". It has no say: MGDA would
//     otherwise freeze the bucket.
//   - The preference is renormalised over the rows that remain ("active").
//   - With no row left all weights are 0; with one left its weight is 1, so
//     that d is that gradient at any scale of the method (a plain formula
//     would give (1+c)·g for cagrad).
//   - G is divided by its trace, so that thresholds are relative and no
//     gradient is too small or too large: 10⁻³⁰ and 10³⁰ give the same weights.
//   - Rounding that makes G indefinite is repaired (diagnostic "repaired": the
//     largest change relative to the two norms; beyond 10⁻⁶ or so G was not a
//     Gram in the first place).
//
// The weights are finite or there is an error that says why not. in is not
// changed. Further diagnostics, all finite: "norm" |d|, "pairs", "negative" and
// "min_cosine" as in Conflicts, "min_alignment" the smallest cosine between d
// and an active gradient (0 where d is 0), and the method's own.
//
// The State that the method returned the last time goes in and a new one comes
// out, reduced to the active objectives on the way in and put back on the way
// out: an objective that is masked or dropped keeps its state.
//
// Without a Gram (in.G nil) Solve serves the methods that need none, from the
// losses, sizes or preference given.
func Solve(m Method, in Input) (Result, error) {
	if in.G == nil {
		return solveWithoutGram(m, in)
	}
	p, err := prepare(m, in)
	if err != nil {
		return Result{}, err
	}
	total := in.G.SymmetricDim()
	out := Result{Weights: make([]float64, total), Diagnostics: map[string]float64{}, State: in.State}
	switch len(p.active) {
	case 0:
	case 1:
		if p.in.Preference[0] > 0 {
			out.Weights[p.active[0]] = 1
		}
	default:
		if err := p.solve(m, &out); err != nil {
			return Result{}, err
		}
	}
	out.Diagnostics["active"] = float64(len(p.active))
	out.Diagnostics["masked"] = float64(p.masked)
	out.Diagnostics["zero"] = float64(total - p.masked - len(p.active))
	p.describe(out)
	return out, nil
}

// problem is the rest of an Input: the active objectives, normalised.
type problem struct {
	in       Input
	active   []int   // indices into the original
	masked   int     // objectives with non-finite entries
	root     float64 // √ of the trace that was divided out
	repaired float64
	state    State // of all objectives
}

// preferring is a method that brings its own preference, or nil to use the
// Input's; zeros are allowed in it.
type preferring interface {
	preference(m int) ([]float64, error)
}

// prepare checks in and reduces it to the active objectives.
func prepare(m Method, in Input) (problem, error) {
	if in.G == nil || in.G.IsEmpty() {
		return problem{}, errors.New("moo: the Gram is empty")
	}
	n := in.G.SymmetricDim()
	if err := in.checkLengths(n); err != nil {
		return problem{}, err
	}
	u, err := preferenceOf(m, in.Preference, n)
	if err != nil {
		return problem{}, err
	}
	active, masked, err := activeRows(in.G)
	if err != nil {
		return problem{}, err
	}
	p := problem{in: in, active: active, masked: masked, state: in.State}
	p.in.Before, p.in.After = pick(in.Before, active), pick(in.After, active)
	p.in.Losses, p.in.Tokens, p.in.StepTokens, p.in.Preference = pick(in.Losses, active), pick(in.Tokens, active),
		pick(in.StepTokens, active), unitSum(pick(u, active))
	p.in.State = in.State.pick(active, n)
	if len(active) > 0 {
		p.normalise(in.G)
	}
	return p, nil
}

// preferenceOf is the preference to use, not yet normalised but such that its
// sum does not overflow.
func preferenceOf(m Method, given []float64, n int) ([]float64, error) {
	for w, ok := m.(wrapper); ok; w, ok = m.(wrapper) {
		m = w.inner()
	}
	if own, ok := m.(preferring); ok {
		if u, err := own.preference(n); u != nil || err != nil {
			return u, err
		}
	}
	if given == nil {
		return slices.Repeat([]float64{1}, n), nil
	}
	if len(given) != n {
		return nil, fmt.Errorf("moo: a preference of %d values for %d objectives", len(given), n)
	}
	for i, u := range given {
		if !(u > 0) || !finite(u) {
			return nil, fmt.Errorf("moo: preference %v of objective %d: want a number above 0", u, i)
		}
	}
	largest := slices.Max(given)
	u := slices.Clone(given)
	for i := range u {
		u[i] /= largest
	}
	return u, nil
}

// activeRows lists the objectives with a finite gradient that is not zero, and
// counts those with a non-finite one, which shows in their diagonal.
func activeRows(g *mat.SymDense) (active []int, masked int, err error) {
	n := g.SymmetricDim()
	for i := range n {
		d := g.At(i, i)
		switch {
		case !finite(d):
		case d < 0:
			return nil, 0, fmt.Errorf("moo: squared norm %v of objective %d: not a Gram matrix", d, i)
		default:
			active = append(active, i)
		}
	}
	active = maskEntries(g, active)
	masked = n - len(active)
	largest := 0.0
	for _, i := range active {
		largest = max(largest, g.At(i, i))
	}
	active = slices.DeleteFunc(active, func(i int) bool { return !(g.At(i, i)/largest > negligible) })
	return active, masked, nil
}

// maskEntries removes objectives until no inner product between two of the rest
// is NaN or Inf. A damaged row shows in every row's entry for it, so the rows
// with the most such entries go first.
func maskEntries(g *mat.SymDense, active []int) []int {
	for {
		counts, most := make([]int, len(active)), 0
		for a, i := range active {
			for _, j := range active {
				if !finite(g.At(i, j)) {
					counts[a]++
				}
			}
			most = max(most, counts[a])
		}
		if most == 0 {
			return active
		}
		var rest []int
		for a, i := range active {
			if counts[a] < most {
				rest = append(rest, i)
			}
		}
		active = rest
	}
}

// pick selects values by index; nil stays nil.
func pick(values []float64, indices []int) []float64 {
	if values == nil {
		return nil
	}
	out := make([]float64, len(indices))
	for k, i := range indices {
		out[k] = values[i]
	}
	return out
}

// solve runs the method on the reduced problem and puts its weights back.
func (p *problem) solve(m Method, out *Result) error {
	if !slices.ContainsFunc(p.in.Preference, func(u float64) bool { return u > 0 }) {
		return nil // static weights of zero for all that have a gradient
	}
	r, err := m.Weights(p.in)
	if err != nil {
		return fmt.Errorf("moo: %s: %w", m.Name(), err)
	}
	if len(r.Weights) != len(p.active) {
		return fmt.Errorf("moo: %s returned %d weights for %d objectives", m.Name(), len(r.Weights), len(p.active))
	}
	for k, i := range p.active {
		if !finite(r.Weights[k]) {
			return fmt.Errorf("moo: %s returned weight %v for objective %d", m.Name(), r.Weights[k], i)
		}
		out.Weights[i] = r.Weights[k]
	}
	out.State = p.state.put(r.State, p.active, len(out.Weights))
	for name, x := range r.Diagnostics {
		if finite(x) {
			out.Diagnostics[name] = x
		}
	}
	return nil
}

// describe adds the diagnostics that every method has in common.
func (p *problem) describe(out Result) {
	d := out.Diagnostics
	if p.repaired > 0 {
		d["repaired"] = p.repaired
	}
	if len(p.active) == 0 {
		d["norm"], d["pairs"], d["negative"], d["min_cosine"], d["min_alignment"] = 0, 0, 0, 0, 0
		return
	}
	stats := Conflicts(p.in.G)
	d["pairs"], d["negative"], d["min_cosine"] = float64(stats.Pairs), float64(stats.Negative), stats.MinCosine
	w := pick(out.Weights, p.active)
	gw := symMulVec(p.in.G, w)
	norm := math.Sqrt(max(0, dot(w, gw)))
	d["norm"] = min(norm*p.root, math.MaxFloat64)
	worst := 0.0
	for k := range w {
		if norm == 0 {
			break
		}
		cosine := gw[k] / math.Sqrt(p.in.G.At(k, k)) / norm
		if k == 0 || cosine < worst {
			worst = cosine
		}
	}
	d["min_alignment"] = min(1, max(-1, worst))
}
