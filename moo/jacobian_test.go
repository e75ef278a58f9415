package moo

import (
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/mat"
)

// jacobian is (M, N), a gradient a row.
type jacobian [][]float64

func (j jacobian) gram() *mat.SymDense {
	g := mat.NewSymDense(len(j), nil)
	for a := range j {
		for b := range a + 1 {
			g.SetSym(a, b, dot(j[a], j[b]))
		}
	}
	return g
}

// combine is Jᵀ w.
func (j jacobian) combine(w []float64) []float64 {
	d := make([]float64, len(j[0]))
	for m, row := range j {
		for n, x := range row {
			d[n] += w[m] * x
		}
	}
	return d
}

// scale is diag(c) J.
func (j jacobian) scale(c ...float64) jacobian {
	out := make(jacobian, len(j))
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

// project is J d.
func (j jacobian) project(d []float64) []float64 {
	out := make([]float64, len(j))
	for m := range j {
		out[m] = dot(j[m], d)
	}
	return out
}

func rng(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 1)) }

func gaussian(r *rand.Rand, m, n int) jacobian {
	j := make(jacobian, m)
	for a := range j {
		j[a] = make([]float64, n)
		for b := range j[a] {
			j[a][b] = r.NormFloat64()
		}
	}
	return j
}

// lowRank is Gaussian of the given rank.
func lowRank(r *rand.Rand, m, n, rank int) jacobian {
	if rank >= min(m, n) {
		return gaussian(r, m, n)
	}
	return product(gaussian(r, m, rank), gaussian(r, rank, n))
}

func product(a, b jacobian) jacobian {
	out := make(jacobian, len(a))
	for i := range a {
		out[i] = b.combine(a[i])
	}
	return out
}

// orthonormal extends the given vectors by random ones to count orthonormal
// ones in n dimensions; the given ones must be orthogonal.
func orthonormal(r *rand.Rand, n, count int, given ...[]float64) jacobian {
	var q jacobian
	for len(q) < count {
		v := gaussian(r, 1, n)[0]
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
		s := 1 / length(v)
		for i := range v {
			v[i] *= s
		}
		q = append(q, v)
	}
	return q
}

// notStronglyStationary has no v > 0 with Jᵀv = 0, for its range holds a
// non-negative vector u. With weak, u is zero on the first half and another
// vector ≥ 0, zero on the second half, is in the left null space.
func notStronglyStationary(r *rand.Rand, m, n, rank int, weak bool) jacobian {
	u, null := make([]float64, m), make([]float64, m)
	for i := range m {
		if weak && i < m/2 {
			null[i] = math.Abs(r.NormFloat64())
		} else {
			u[i] = math.Abs(r.NormFloat64())
		}
	}
	var left jacobian
	if weak {
		left = orthonormal(r, m, rank+1, null, u)[1:]
	} else {
		left = orthonormal(r, m, rank, u)
	}
	right := orthonormal(r, n, rank)
	for k := range right {
		right = jacobian(right)
		s := 0.5 + math.Abs(r.NormFloat64())
		for i := range right[k] {
			right[k][i] *= s
		}
	}
	out := make(jacobian, m)
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

func length(x []float64) float64 { return math.Sqrt(dot(x, x)) }

// far is the distance of two vectors relative to the longer one.
func far(a, b []float64) float64 {
	diff := make([]float64, len(a))
	for i := range a {
		diff[i] = a[i] - b[i]
	}
	size := max(length(a), length(b))
	if size == 0 {
		return 0
	}
	return length(diff) / size
}

func must(t testing.TB, name string, options map[string]any) Method {
	t.Helper()
	m, err := New(name, options)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// direction solves and combines.
func direction(t testing.TB, m Method, j jacobian) (d, w []float64) {
	t.Helper()
	r, err := Solve(m, Input{G: j.gram(), Seed: 1})
	if err != nil {
		t.Fatalf("%s: %v", m.Name(), err)
	}
	return j.combine(r.Weights), r.Weights
}
