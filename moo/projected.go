package moo

import (
	"math"
	"slices"
)

// keptWeights are a method's weights of the last step, on the simplex of the objectives
// that are there now; the preference at first. The state may be changed.
func keptWeights(in Input, name string) ([]float64, State) {
	s := in.State.clone()
	w := s.objective(name, len(in.Preference), math.NaN())
	for i, x := range w {
		if !(x >= 0) {
			return slices.Clone(in.Preference), s
		}
		w[i] = x
	}
	return ontoSimplex(w), s
}

// meanSquareOne scales g so that the rows' mean squared norm is 1.
func meanSquareOne(g [][]float64) [][]float64 {
	trace := 0.0
	for i := range g {
		trace += g[i][i]
	}
	out := make([][]float64, len(g))
	for i := range g {
		out[i] = scale(g[i], float64(len(g))/trace)
	}
	return out
}

// ontoSimplex is the point of {w ≥ 0, Σw = 1} nearest to v (Duchi et al., Efficient
// Projections onto the ℓ1-Ball, ICML 2008, Figure 1).
func ontoSimplex(v []float64) []float64 {
	sorted := slices.Clone(v)
	slices.Sort(sorted)
	sum, theta := 0.0, 0.0
	for k := range sorted {
		x := sorted[len(sorted)-1-k]
		sum += x
		if t := (sum - 1) / float64(k+1); x > t {
			theta = t
		}
	}
	out := make([]float64, len(v))
	for i, x := range v {
		out[i] = max(0, x-theta)
	}
	return unitSum(out) // rounding
}
