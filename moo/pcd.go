package moo

import (
	"math"
	"slices"
)

// pcd: d follows the primary objective as closely as every other objective's share of
// progress allows: d̃ = argmin |d − g̃_1| such that ⟨g̃_j, d⟩ ≥ τ|g̃_j|² for j ≠ 1, then
// d = |g_1| d̃/|d̃|. g̃_i = g_i/√v_i, v_i the bias-corrected moving average of |g_i|².
//
// Paper: Priority-Constrained Descent, TMLR 2026 (arXiv:2606.29521). The primary
// objective is the one with the largest preference, the first where several have it.
// Solved exactly by the dual active-set method of Goldfarb and Idnani (Mathematical
// Programming 27, 1983) on the cosines. Options: tau τ (default 0.02), beta of the moving
// average (default 0.999). Equal gradients give back that gradient. Where the constraints
// contradict each other, as with two opposed secondary gradients, they are dropped and
// d = g_1. A primary objective without a gradient in a bucket passes its place on.
// Guarantees: where the constraints can be met, no secondary objective is opposed and each
// gets the share τ of the progress of its own direction; the primary may be opposed for
// τ > 0. |d| = |g_1|.
type pcd struct{ tau, beta float64 }

func pcdEntry() entry {
	return entry{
		Info: Info{
			Name: "pcd", Needs: NeedsGram, UsesPreference: true,
			Rule:       "d ∝ argmin |d − g̃_1| with ⟨g̃_j, d⟩ ≥ τ|g̃_j|² for j ≠ 1, |d| = |g_1|; 1 is the objective with the largest preference",
			Paper:      "Priority-Constrained Descent 2026, arXiv:2606.29521",
			Guarantees: "opposes no secondary objective where the constraints can be met; follows the primary one otherwise",
			Options: []Option{
				{Name: "tau", Default: 0.02, Min: 0, Max: 1, Doc: "share of the progress of its own direction that each secondary objective gets"},
				{Name: "beta", Default: 0.999, Min: 0, Max: 0.999999, Doc: "share of the earlier steps in the moving average of the squared norms"},
			},
		},
		build: func(v values) (Method, error) { return pcd{v.number("tau"), v.number("beta")}, nil },
	}
}

func (pcd) Name() string { return "pcd" }

func (p pcd) Weights(in Input) (Result, error) {
	k, norm := cosines(in.G)
	n := len(norm)
	first := 0
	for i, u := range in.Preference {
		if u > in.Preference[first] {
			first = i
		}
	}
	scaled, state := p.scaled(in, norm)
	others := make([]int, 0, n-1)
	for i := range n {
		if i != first {
			others = append(others, i)
		}
	}
	sub, c := make([][]float64, n-1), make([]float64, n-1)
	for a, i := range others {
		sub[a] = pick(k[i], others)
		c[a] = k[i][first] - p.tau*scaled[i]/scaled[first]
	}
	q := newConeQP(sub, c)
	nu, feasible := q.solve()
	x := make([]float64, n) // of the directions
	x[first] = 1
	for a, i := range others {
		if feasible {
			x[i] = nu[a]
		}
	}
	length2, size := dot(x, mulVec(k, x)), 0.0
	for _, v := range x {
		size += v
	}
	w := make([]float64, n)
	if length2 > 10*epsilon32*size*size { // else d is zero up to rounding
		for i := range w {
			w[i] = x[i] * (norm[first] / norm[i]) / math.Sqrt(length2)
		}
	}
	d := map[string]float64{"iterations": float64(q.iterations), "infeasible": 1}
	if feasible {
		d["infeasible"] = 0
	}
	return Result{Weights: w, Diagnostics: d, State: state}, nil
}

// scaled is |g̃_i|, the norms over the root of their mean square so far. The state has
// true norms, and not those that Solve has divided by the root of the trace; an
// objective counts the steps in which it had a gradient.
func (p pcd) scaled(in Input, norm []float64) ([]float64, State) {
	n := len(norm)
	s := in.State.clone()
	mean, steps := s.objective("pcd.norm", n, 0), s.objective("pcd.steps", n, 0)
	out := make([]float64, n)
	for i := range out {
		now := norm[i] * in.root
		if in.root == 0 || !finite(now) || now == 0 {
			now = norm[i]
		}
		kept := p.beta * (1 - math.Pow(p.beta, steps[i])) // share of the past in the bias-corrected mean
		share := (1 - p.beta) / (kept + 1 - p.beta)
		mean[i] = math.Hypot(math.Sqrt(1-share)*mean[i], math.Sqrt(share)*now)
		steps[i]++
		out[i] = now / mean[i]
	}
	s.Objective["pcd.norm"], s.Objective["pcd.steps"] = mean, steps
	return out, s
}

// coneQP minimises ½ yᵀK y + cᵀy over y ≥ 0, the dual of the projection on the cone
// {d : constraints}, by the dual active-set method of Goldfarb and Idnani. K is a matrix
// of cosines. Unlike nnls it takes any c, for which the minimum may not exist: the
// constraints then contradict each other.
type coneQP struct {
	k          [][]float64
	c          []float64
	y          []float64
	f          factor // of K over the active constraints
	iterations int
}

func newConeQP(k [][]float64, c []float64) *coneQP {
	q := &coneQP{k: k, c: c, y: make([]float64, len(c))}
	q.f.entry = func(i, j int) float64 { return k[i][j] }
	q.f.noise = func(int) float64 { return dependent / (8 * epsilon) }
	return q
}

// Thresholds on directions of length 1, whose inner products were rounded to float32.
const (
	dependent = 1e-9 // squared length of a direction's part outside of the others'
	violated  = 1e-9 // of a constraint
)

// solve adds the most violated constraint until none is; false where they contradict
// each other.
func (q *coneQP) solve() (y []float64, feasible bool) {
	for limit := 100 + 20*len(q.y); q.iterations < limit; {
		p, slack := q.mostViolated()
		if p < 0 {
			return q.y, true
		}
		if !q.meet(p, slack, limit) {
			return nil, false
		}
	}
	return q.y, true
}

// mostViolated is the constraint with the least slack (K y + c)_p < 0, or −1.
func (q *coneQP) mostViolated() (int, float64) {
	h := mulVec(q.k, q.y)
	worst, slack, size := -1, 0.0, 1.0
	for _, y := range q.y {
		size += y
	}
	for i := range h {
		if s := h[i] + q.c[i]; s < -violated*size && s < slack && !slices.Contains(q.f.index, i) {
			worst, slack = i, s
		}
	}
	return worst, slack
}

// meet makes constraint p active, dropping others whose multipliers reach zero on the
// way; false where no step meets it.
func (q *coneQP) meet(p int, slack float64, limit int) bool {
	for ; q.iterations < limit; q.iterations++ {
		r := q.f.solve(pick(q.k[p], q.f.index))
		outside := q.k[p][p]
		for a, i := range q.f.index {
			outside -= r[a] * q.k[p][i]
		}
		step, drop := math.Inf(1), -1
		for a, i := range q.f.index {
			if r[a] > 0 && q.y[i]/r[a] < step {
				step, drop = q.y[i]/r[a], i
			}
		}
		full := math.Inf(1)
		if outside > 2*dependent*float64(len(q.f.index)+1) {
			full = -slack / outside
		}
		if math.IsInf(min(step, full), 1) {
			return false
		}
		step, drop = min(step, full), chosen(full <= step, -1, drop)
		for a, i := range q.f.index {
			q.y[i] = max(0, q.y[i]-step*r[a])
		}
		q.y[p] += step
		if drop < 0 {
			q.iterations++
			return q.f.add(p)
		}
		q.y[drop] = 0
		q.f.remove(drop)
		slack = dot(q.k[p], q.y) + q.c[p]
		if slack >= 0 { // rounding: met before the step was complete
			q.f.add(p)
			return true
		}
	}
	return true
}

func chosen(c bool, a, b int) int {
	if c {
		return a
	}
	return b
}
