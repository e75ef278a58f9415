package moo

import (
	"errors"

	"gonum.org/v1/gonum/mat"
)

// epsilon32 is float32's: Grams come from gradients and sums in float32, and
// a value smaller than it relative to the largest eigenvalue is rounding.
const epsilon32 = 0x1p-23

var errEigen = errors.New("the eigenvalues of the Gram did not converge")

// spectrum is the eigenpairs of a positive semidefinite matrix above rounding,
// λmax·M·ε of float32.
type spectrum struct {
	values  []float64
	vectors [][]float64
}

func newSpectrum(k [][]float64) (spectrum, error) {
	n := len(k)
	s := mat.NewSymDense(n, nil)
	for i := range n {
		for j := range i + 1 {
			s.SetSym(i, j, k[i][j])
		}
	}
	var e mat.EigenSym
	if !e.Factorize(s, true) {
		return spectrum{}, errEigen
	}
	all := e.Values(nil)
	var v mat.Dense
	e.VectorsTo(&v)
	var out spectrum
	for i, l := range all {
		if l > all[n-1]*float64(n)*epsilon32 && l > 0 {
			out.values = append(out.values, l)
			out.vectors = append(out.vectors, mat.Col(nil, i, &v))
		}
	}
	return out, nil
}

// apply is f of the matrix times x, over the eigenpairs kept.
func (s spectrum) apply(f func(lambda float64) float64, x []float64) []float64 {
	out := make([]float64, len(x))
	for k, l := range s.values {
		a := f(l) * dot(s.vectors[k], x)
		for i, v := range s.vectors[k] {
			out[i] += a * v
		}
	}
	return out
}

// inverse is the pseudo-inverse times x; false where x is orthogonal to the
// matrix's range, up to rounding, as for opposed gradients.
func (s spectrum) inverse(x []float64) ([]float64, bool) {
	reach := s.apply(func(float64) float64 { return 1 }, x)
	tolerance := float64(len(x)) * epsilon32
	if !(dot(reach, reach) > tolerance*tolerance*dot(x, x)) {
		return nil, false
	}
	return s.apply(func(l float64) float64 { return 1 / l }, x), true
}

// cosines is the Gram of the gradients' directions, and their norms.
func cosines(g *mat.SymDense) (k [][]float64, norm []float64) {
	k = dense(g)
	norm = make([]float64, len(k))
	for i := range k {
		norm[i] = root(k[i][i])
	}
	for i := range k {
		for j := range k {
			k[i][j] = k[i][j] / norm[i] / norm[j]
		}
		k[i][i] = 1
	}
	return k, norm
}
