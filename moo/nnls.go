package moo

import "slices"

// nnls minimises ½ yᵀK y + cᵀy over y ≥ 0 by the active-set method of Lawson and
// Hanson (Solving Least Squares Problems, 1974, chapter 23) in Gram space. K is
// a matrix of cosines: positive semidefinite with unit diagonal; c is in the
// range of K up to rounding, so that the minimum exists, and |c_i| ≤ 1.
type nnls struct {
	k          [][]float64
	c          []float64
	y          []float64 // the answer
	f          factor    // of K over the passive set, where y is free
	iterations int
}

func newNNLS(k [][]float64, c []float64) *nnls {
	q := &nnls{k: k, c: c, y: make([]float64, len(c))}
	q.f.entry = func(i, j int) float64 { return k[i][j] }
	q.f.noise = func(int) float64 { return 1 }
	return q
}

// solve frees one variable after the other until the gradient K y + c is
// non-negative up to rounding.
func (q *nnls) solve() []float64 {
	barred := make([]bool, len(q.y)) // tried since the last progress
	value, h := 0.0, slices.Clone(q.c)
	for limit := 100 + 20*len(q.y); q.iterations < limit; q.iterations++ {
		j := q.violating(h, barred)
		if j < 0 {
			break
		}
		before, members := slices.Clone(q.y), slices.Clone(q.f.index)
		if q.f.add(j) && q.optimize() {
			next := q.gradient()
			if v := 0.5 * (dot(q.y, next) + dot(q.y, q.c)); v < value {
				value, h = v, next
				clear(barred)
				continue
			}
		}
		barred[j] = true
		q.y = before
		q.f.index, q.f.lower = nil, nil
		for _, i := range members {
			q.f.add(i)
		}
	}
	return q.y
}

// gradient is K y + c.
func (q *nnls) gradient() []float64 {
	h := mulVec(q.k, q.y)
	for i := range h {
		h[i] += q.c[i]
	}
	return h
}

// violating is the variable at zero with the most negative derivative h beyond
// rounding, or −1.
func (q *nnls) violating(h []float64, barred []bool) int {
	noise := 1.0
	for _, y := range q.y {
		noise += y
	}
	noise *= 4 * epsilon
	worst := -1
	for i, x := range h {
		if q.y[i] == 0 && !barred[i] && x < -noise && (worst < 0 || x < h[worst]) {
			worst = i
		}
	}
	return worst
}

// optimize moves to the optimum over the passive set, putting variables back to
// zero that would turn negative on the way.
func (q *nnls) optimize() bool {
	for range len(q.y) + 1 { // every turn but the last drops a variable
		right := make([]float64, len(q.f.index))
		for k, i := range q.f.index {
			right[k] = -q.c[i]
		}
		target, members := q.f.solve(right), slices.Clone(q.f.index)
		step := 1.0
		for k, i := range members {
			if target[k] <= 0 {
				step = min(step, share(q.y[i], target[k]))
			}
		}
		for k, i := range members {
			if step == 1 && target[k] > 0 {
				q.y[i] = target[k]
				continue
			}
			leaves := target[k] <= 0 && share(q.y[i], target[k]) <= step
			q.y[i] += step * (target[k] - q.y[i])
			if leaves || q.y[i] <= 0 {
				q.y[i] = 0
			}
		}
		done := true
		for _, i := range members {
			if q.y[i] == 0 {
				q.f.remove(i)
				done = false
			}
		}
		if done {
			return true
		}
	}
	return false
}

// share is how far one can go from y ≥ 0 to target ≤ 0 before passing zero.
func share(y, target float64) float64 {
	if y == 0 {
		return 0
	}
	return y / (y - target)
}
