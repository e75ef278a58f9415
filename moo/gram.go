package moo

import (
	"math"

	"gonum.org/v1/gonum/mat"
)

// normalise fills p.in.G from the active rows of g: divided by its trace, with
// |cos| ≤ 1, and positive semidefinite up to rounding.
func (p *problem) normalise(g *mat.SymDense) {
	n := len(p.active)
	largest, share := 0.0, 0.0
	for _, i := range p.active {
		largest = max(largest, g.At(i, i))
	}
	for _, i := range p.active {
		share += g.At(i, i) / largest // in [1, M]: the trace itself may overflow
	}
	p.root = math.Sqrt(largest) * math.Sqrt(share)
	out := mat.NewSymDense(n, nil)
	for a, i := range p.active {
		out.SetSym(a, a, g.At(i, i)/largest/share)
	}
	for a, i := range p.active {
		for b, j := range p.active[:a] {
			x := g.At(i, j) / largest / share
			bound := math.Sqrt(out.At(a, a)) * math.Sqrt(out.At(b, b))
			if math.Abs(x) > bound {
				p.repaired = max(p.repaired, clampTop(math.Abs(x)/bound-1))
				x = math.Copysign(bound, x)
			}
			out.SetSym(a, b, x)
		}
	}
	p.repaired = max(p.repaired, liftToPSD(out))
	p.in.G, p.in.root = out, p.root
}

// liftToPSD replaces g by the nearest positive semidefinite matrix, measured in
// cosines, where it is indefinite beyond rounding, and returns the size of the
// most negative eigenvalue of the cosines. Gram entries that were rounded to
// float32 are off by 10⁻⁸ or so, and a solver can cycle on a problem that is not convex.
func liftToPSD(g *mat.SymDense) float64 {
	var chol mat.Cholesky
	if chol.Factorize(g) {
		return 0
	}
	n := g.SymmetricDim()
	root := make([]float64, n)
	cosines := mat.NewSymDense(n, nil)
	for i := range n {
		root[i] = math.Sqrt(g.At(i, i))
		for j := range i + 1 {
			cosines.SetSym(i, j, g.At(i, j)/root[i]/root[j])
		}
	}
	var eigen mat.EigenSym
	if !eigen.Factorize(cosines, true) {
		return 0 // does not happen for finite matrices; the solvers are capped
	}
	lambda := eigen.Values(nil)
	if lambda[0] >= -4*float64(n)*epsilon*lambda[n-1] {
		return 0
	}
	var v mat.Dense
	eigen.VectorsTo(&v)
	for i := range n {
		for j := range i + 1 {
			sum := 0.0
			for k, l := range lambda {
				sum += max(0, l) * v.At(i, k) * v.At(j, k)
			}
			g.SetSym(i, j, sum*root[i]*root[j])
		}
	}
	return -lambda[0]
}

// epsilon is the distance from 1 to the next float64.
const epsilon = 0x1p-52

// clampTop keeps a diagnostic finite.
func clampTop(x float64) float64 { return min(x, math.MaxFloat64) }

// symMulVec is g x.
func symMulVec(g *mat.SymDense, x []float64) []float64 {
	out := make([]float64, len(x))
	for i := range out {
		for j, v := range x {
			out[i] += g.At(i, j) * v
		}
	}
	return out
}

// dot is ⟨x, y⟩.
func dot(x, y []float64) float64 {
	sum := 0.0
	for i := range x {
		sum += x[i] * y[i]
	}
	return sum
}

// Stats counts the conflicts between objectives.
type Stats struct {
	Pairs     int     // pairs of objectives whose gradients are finite and not zero
	Negative  int     // of these, pairs with a negative inner product
	MinCosine float64 // the smallest cosine of a pair; 0 without pairs
}

// Conflicts counts the conflicting pairs of a Gram matrix. Rows that are zero
// or not finite, and entries that are not finite, are left out.
func Conflicts(g *mat.SymDense) Stats {
	var s Stats
	for i := range g.SymmetricDim() {
		for j := range i {
			c, ok := cosine(g, i, j)
			if !ok {
				continue
			}
			if s.Pairs == 0 || c < s.MinCosine {
				s.MinCosine = c
			}
			s.Pairs++
			if g.At(i, j) < 0 {
				s.Negative++
			}
		}
	}
	return s
}

// cosine is that of gradients i and j, in [−1, 1]; false where one of them is
// zero or not finite. The norms are divided out one at a time: their product
// can over- and underflow where the cosine is fine.
func cosine(g *mat.SymDense, i, j int) (float64, bool) {
	a, b, x := g.At(i, i), g.At(j, j), g.At(i, j)
	if !(a > 0) || !(b > 0) || !finite(a) || !finite(b) || !finite(x) {
		return 0, false
	}
	if a < b { // divide by the larger first: the quotient cannot overflow
		a, b = b, a
	}
	return min(1, max(-1, x/math.Sqrt(a)/math.Sqrt(b))), true
}
