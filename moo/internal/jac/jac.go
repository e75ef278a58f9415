// Package jac makes Jacobians for tests of gradient-combination methods: random
// ones of given rank, and ones that are known not to be strongly stationary.
package jac

import (
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/mat"
)

// Jacobian is (M, N), a gradient a row.
type Jacobian [][]float64

// Gram is J Jᵀ.
func (j Jacobian) Gram() *mat.SymDense {
	g := mat.NewSymDense(len(j), nil)
	for a := range j {
		for b := range a + 1 {
			g.SetSym(a, b, dot(j[a], j[b]))
		}
	}
	return g
}

// Combine is Jᵀ w.
func (j Jacobian) Combine(w []float64) []float64 {
	d := make([]float64, len(j[0]))
	for m, row := range j {
		for n, x := range row {
			d[n] += w[m] * x
		}
	}
	return d
}

// Scale is diag(c) J.
func (j Jacobian) Scale(c ...float64) Jacobian {
	out := make(Jacobian, len(j))
	for m, row := range j {
		f := c[0]
		if len(c) > 1 {
			f = c[m]
		}
		out[m] = make([]float64, len(row))
		for n, x := range row {
			out[m][n] = f * x
		}
	}
	return out
}

// Project is J d.
func (j Jacobian) Project(d []float64) []float64 {
	out := make([]float64, len(j))
	for m := range j {
		out[m] = dot(j[m], d)
	}
	return out
}

// RNG is a generator of its own for every seed.
func RNG(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 1)) }

// Gaussian is (m, n) of standard normal values.
func Gaussian(r *rand.Rand, m, n int) Jacobian {
	j := make(Jacobian, m)
	for a := range j {
		j[a] = make([]float64, n)
		for b := range j[a] {
			j[a][b] = r.NormFloat64()
		}
	}
	return j
}

// LowRank is Gaussian of the given rank.
func LowRank(r *rand.Rand, m, n, rank int) Jacobian {
	if rank >= min(m, n) {
		return Gaussian(r, m, n)
	}
	return product(Gaussian(r, m, rank), Gaussian(r, rank, n))
}

func product(a, b Jacobian) Jacobian {
	out := make(Jacobian, len(a))
	for i := range a {
		out[i] = b.Combine(a[i])
	}
	return out
}

// Orthonormal extends the given vectors by random ones to count Orthonormal
// ones in n dimensions; the given ones must be orthogonal.
func Orthonormal(r *rand.Rand, n, count int, given ...[]float64) Jacobian {
	var q Jacobian
	for len(q) < count {
		v := Gaussian(r, 1, n)[0]
		if len(q) < len(given) {
			v = append([]float64(nil), given[len(q)]...)
		}
		for range 2 {
			for _, u := range q {
				c := dot(u, v)
				for i := range v {
					v[i] -= c * u[i]
				}
			}
		}
		s := 1 / Length(v)
		for i := range v {
			v[i] *= s
		}
		q = append(q, v)
	}
	return q
}

// NotStronglyStationary has no v > 0 with Jᵀv = 0, for its range holds a
// non-negative vector u. With weak, u is zero on the first half and another
// vector ≥ 0, zero on the second half, is in the left null space.
func NotStronglyStationary(r *rand.Rand, m, n, rank int, weak bool) Jacobian {
	u, null := make([]float64, m), make([]float64, m)
	for i := range m {
		if weak && i < m/2 {
			null[i] = math.Abs(r.NormFloat64())
		} else {
			u[i] = math.Abs(r.NormFloat64())
		}
	}
	var left Jacobian
	if weak {
		left = Orthonormal(r, m, rank+1, null, u)[1:]
	} else {
		left = Orthonormal(r, m, rank, u)
	}
	right := Orthonormal(r, n, rank)
	for k := range right {
		right = Jacobian(right)
		s := 0.5 + math.Abs(r.NormFloat64())
		for i := range right[k] {
			right[k][i] *= s
		}
	}
	out := make(Jacobian, m)
	for i := range out {
		out[i] = make([]float64, n)
		for k := range rank {
			for c := range n {
				out[i][c] += left[k][i] * right[k][c]
			}
		}
	}
	return out
}

// Length is |x|.
func Length(x []float64) float64 { return math.Sqrt(dot(x, x)) }

// Far is the distance of two vectors relative to the longer one.
func Far(a, b []float64) float64 {
	diff := make([]float64, len(a))
	for i := range a {
		diff[i] = a[i] - b[i]
	}
	size := max(Length(a), Length(b))
	if size == 0 {
		return 0
	}
	return Length(diff) / size
}

// Dot is ⟨x, y⟩.
func Dot(x, y []float64) float64 { return dot(x, y) }

func dot(x, y []float64) float64 {
	sum := 0.0
	for i := range x {
		sum += x[i] * y[i]
	}
	return sum
}
