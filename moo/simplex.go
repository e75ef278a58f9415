package moo

import (
	"math"
	"slices"
)

// simplexQP minimises ½ wᵀG w + bᵀw over the simplex {w ≥ 0, Σw = 1} by Wolfe's
// active-set method ("Finding the nearest point in a polytope", Mathematical
// Programming 11, 1976), which is exact after finitely many steps. b is G c for
// some c, or zero: the problem is then the point nearest to −Jᵀc in the convex
// hull of the gradients.
//
// It keeps a corral S of affinely independent gradients with positive weights
// that are optimal on the affine hull of S. A major step adds the gradient that
// most violates optimality, (G w + b)_j ≥ wᵀ(G w + b); minor steps move towards
// the new affine optimum and drop the weights that turn negative. The affine optimum is
// computed from differences to one gradient of S, the shortest: that keeps its
// accuracy where norms differ by many orders.
type simplexQP struct {
	g          [][]float64
	b          []float64
	w          []float64 // the answer
	reference  int       // the gradient of S that differences are taken to
	f          factor    // of the Gram of differences, over S without the reference
	iterations int
}

// newSimplexQP starts at the best single gradient.
func newSimplexQP(g [][]float64, b []float64) *simplexQP {
	q := &simplexQP{g: g, b: b, w: make([]float64, len(b))}
	q.f.entry = func(i, j int) float64 {
		r := q.reference
		return (g[i][j] - g[i][r]) - (g[j][r] - g[r][r])
	}
	q.f.noise = func(i int) float64 {
		r := q.reference
		return g[i][i] + 2*math.Abs(g[i][r]) + g[r][r]
	}
	for j := range b {
		if 0.5*g[j][j]+b[j] < 0.5*g[q.reference][q.reference]+b[q.reference] {
			q.reference = j
		}
	}
	q.w[q.reference] = 1
	return q
}

// solve runs major steps until no gradient violates optimality by more than
// rounding, or none that does improves the objective.
func (q *simplexQP) solve() []float64 {
	barred := make([]bool, len(q.w)) // tried since the last progress
	value := math.Inf(1)
	for limit := 100 + 20*len(q.w); q.iterations < limit; q.iterations++ {
		h := q.gradient(q.w)
		if value > 1e300 {
			value = q.value(q.w, h)
		}
		j := q.violating(h, barred)
		if j < 0 {
			break
		}
		before, members, reference := slices.Clone(q.w), slices.Clone(q.f.index), q.reference
		if q.enter(j) {
			if v := q.value(q.w, q.gradient(q.w)); v < value {
				value = v
				clear(barred)
				continue
			}
		}
		barred[j] = true
		q.w = before
		q.restart(reference, members)
	}
	return q.w
}

func (q *simplexQP) gradient(w []float64) []float64 {
	h := mulVec(q.g, w)
	for i := range h {
		h[i] += q.b[i]
	}
	return h
}

// value is the objective at w, given the gradient there.
func (q *simplexQP) value(w, h []float64) float64 {
	return 0.5 * (dot(w, h) + dot(w, q.b))
}

// violating is the gradient that most violates optimality beyond rounding, or
// −1.
func (q *simplexQP) violating(h []float64, barred []bool) int {
	m := len(h)
	noise := make([]float64, m) // of h
	for k, w := range q.w {
		if w != 0 {
			for i := range m {
				noise[i] += math.Abs(q.g[k][i]) * w
			}
		}
	}
	for i := range m {
		noise[i] = 4 * epsilon * (noise[i] + math.Abs(q.b[i]))
	}
	level, levelNoise := dot(q.w, h), dot(q.w, noise)
	worst := -1
	for i := range m {
		if q.w[i] == 0 && !barred[i] && h[i] < level-noise[i]-levelNoise && (worst < 0 || h[i] < h[worst]) {
			worst = i
		}
	}
	return worst
}

// enter adds j to the corral and moves to the new optimum. False means that the
// corral cannot take j.
func (q *simplexQP) enter(j int) bool {
	if q.g[j][j] < 0.25*q.g[q.reference][q.reference] {
		members := append(slices.Clone(q.f.index), q.reference)
		q.restart(j, members)
		if len(q.f.index) < len(members) {
			return false
		}
	} else if !q.f.add(j) {
		return false
	}
	for range len(q.w) + 1 { // every turn but the last drops a gradient
		a := q.affine()
		step := 1.0
		for _, i := range q.corral() {
			if a[i] < 0 {
				step = min(step, q.w[i]/(q.w[i]-a[i]))
			}
		}
		if step == 1 {
			q.w = a
			return true
		}
		for _, i := range q.corral() {
			leaves := a[i] < 0 && q.w[i]/(q.w[i]-a[i]) <= step
			q.w[i] += step * (a[i] - q.w[i])
			if leaves || q.w[i] <= 0 {
				q.w[i] = 0
				q.leave(i)
			}
		}
	}
	return false
}

// corral lists S, a copy.
func (q *simplexQP) corral() []int { return append([]int{q.reference}, q.f.index...) }

// leave removes i from S.
func (q *simplexQP) leave(i int) {
	if i != q.reference {
		q.f.remove(i)
		return
	}
	if len(q.f.index) == 0 {
		return // the last one cannot: its weight is 1
	}
	members := q.f.index
	shortest := members[0]
	for _, j := range members {
		if q.g[j][j] < q.g[shortest][shortest] {
			shortest = j
		}
	}
	q.restart(shortest, slices.DeleteFunc(slices.Clone(members), func(j int) bool { return j == shortest }))
}

// restart factorises S anew with another reference.
func (q *simplexQP) restart(reference int, members []int) {
	q.reference, q.f.index, q.f.lower = reference, nil, nil
	for _, j := range members {
		q.f.add(j)
	}
}

// affine is the optimum on the affine hull of S: a_r = 1 − Σa, E a = −∇ along
// the differences at the reference.
func (q *simplexQP) affine() []float64 {
	r := q.reference
	right := make([]float64, len(q.f.index))
	for k, i := range q.f.index {
		right[k] = (q.g[r][r] - q.g[i][r]) + (q.b[r] - q.b[i])
	}
	a := make([]float64, len(q.w))
	a[r] = 1
	for k, x := range q.f.solve(right) {
		a[q.f.index[k]] = x
		a[r] -= x
	}
	return a
}
