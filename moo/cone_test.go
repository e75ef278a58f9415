package moo

import (
	"fmt"
	"math"
	"slices"
	"testing"
)

// TestCones: every weight of upgrad is at least the preference, and every
// projection is one.
func TestCones(t *testing.T) {
	for seed := range uint64(10) {
		for _, s := range [][2]int{{2, 5}, {4, 3}, {9, 11}, {17, 40}} {
			j := gaussian(rng(seed), s[0], s[1])
			_, w := direction(t, must(t, "upgrad", nil), j)
			checkCone(t, j, w, fmt.Sprintf("seed %d shape %v", seed, s))
		}
	}
}

// checkCone: w is a sum of points v ≥ u_i e_i with G v ≥ 0.
func checkCone(t *testing.T, j jacobian, w []float64, at string) {
	t.Helper()
	for i, x := range w {
		if x < 1/float64(len(w))-1e-12 {
			t.Errorf("%s: weight %d = %g below the preference", at, i, x)
		}
	}
	// Each projection is a projection: (v − u_i e_i)ᵀ G v = 0.
	g := dense(j.Gram())
	norm := make([]float64, len(g))
	for i := range g {
		norm[i] = math.Sqrt(g[i][i])
	}
	for i := range g {
		for k := range g {
			g[i][k] /= norm[i] * norm[k]
		}
	}
	for i := range g {
		y := newNNLS(g, g[i]).solve()
		v := slices.Clone(y)
		v[i]++
		sum := 0.0
		for _, x := range v {
			sum += x
		}
		gv := mulVec(g, v)
		if slices.Min(y) < 0 || slices.Min(gv) < -1e-11*sum || math.Abs(dot(y, gv)) > 1e-11*sum*sum {
			t.Errorf("%s: projection of %d: y %v, K v %v", at, i, y, gv)
		}
	}
}
