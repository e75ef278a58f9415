package moo

import (
	"math"
	"testing"

	"concord/moo/internal/jac"
)

type jacobian = jac.Jacobian

var (
	rng         = jac.RNG
	gaussian    = jac.Gaussian
	orthonormal = jac.Orthonormal
	lowRank     = jac.LowRank
	length      = jac.Length
	far         = jac.Far
)

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
	r, err := Solve(m, Input{G: j.Gram(), Seed: 1})
	if err != nil {
		t.Fatalf("%s: %v", m.Name(), err)
	}
	return j.Combine(r.Weights), r.Weights
}

// size is Σ |w_m| |g_m|, the scale of rounding in Jᵀ w.
func size(j jacobian, w []float64) float64 {
	sum := 0.0
	for m := range j {
		sum += math.Abs(w[m]) * length(j[m])
	}
	return sum
}
