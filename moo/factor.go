package moo

import (
	"math"

	"gonum.org/v1/gonum/mat"
)

// factor is the Cholesky factor of a principal submatrix that grows and shrinks
// one index at a time, as active-set methods need it: an append costs k², where
// a new factorisation would cost k³/3.
type factor struct {
	entry func(i, j int) float64 // the whole matrix
	noise func(i int) float64    // rounding error of entry(i, i), in units of epsilon
	index []int                  // the submatrix' rows, in factor order
	lower [][]float64            // row k has k+1 entries
}

// add appends row and column i, or returns false, changing nothing, where i
// depends linearly on the rows present, up to rounding.
func (f *factor) add(i int) bool {
	k := len(f.index)
	row := make([]float64, k+1)
	pivot := f.entry(i, i)
	for a, j := range f.index {
		x, other := f.entry(i, j), f.lower[a]
		for c, y := range row[:a] {
			x -= y * other[c]
		}
		row[a] = x / other[a]
		pivot -= row[a] * row[a]
	}
	if !(pivot > 8*float64(k+1)*epsilon*f.noise(i)) {
		return false
	}
	row[k] = math.Sqrt(pivot)
	f.index, f.lower = append(f.index, i), append(f.lower, row)
	return true
}

// remove takes row and column i out. Rows after it that have become dependent
// through rounding go too.
func (f *factor) remove(i int) {
	for k, j := range f.index {
		if j == i {
			rest := append([]int(nil), f.index[k+1:]...)
			f.index, f.lower = f.index[:k], f.lower[:k]
			for _, j := range rest {
				f.add(j)
			}
			return
		}
	}
}

// solve returns x with A x = right, in the order of index, overwriting right.
func (f *factor) solve(right []float64) []float64 {
	n := len(f.index)
	for a, row := range f.lower {
		x := right[a]
		for c, y := range right[:a] {
			x -= row[c] * y
		}
		right[a] = x / row[a]
	}
	for a := n - 1; a >= 0; a-- {
		row := f.lower[a]
		x := right[a] / row[a]
		right[a] = x
		for c := range a {
			right[c] -= row[c] * x
		}
	}
	return right
}

// dense copies a symmetric matrix into rows, which the solvers' inner loops
// read many times.
func dense(g *mat.SymDense) [][]float64 {
	n := g.SymmetricDim()
	rows := make([][]float64, n)
	for i := range rows {
		rows[i] = make([]float64, n)
		for j := range n {
			rows[i][j] = g.At(i, j)
		}
	}
	return rows
}

// mulVec is g x, x sparse.
func mulVec(g [][]float64, x []float64) []float64 {
	out := make([]float64, len(x))
	for j, v := range x {
		if v == 0 {
			continue
		}
		for i, gij := range g[j] {
			out[i] += gij * v
		}
	}
	return out
}
