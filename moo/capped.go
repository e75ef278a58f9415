package moo

import (
	"math"
	"slices"
)

// capped: w = argmin over w ≥ 0, Σw = 1, w_m ≤ cap of wᵀG w: mgda with no objective's
// weight above cap. d is the direction of steepest common descent of the mean of the
// worst 1/cap objectives, the conditional value at risk (CVaR) at that level, instead of
// the single worst.
//
// Paper: capped MGDA, arXiv:2605.30452. Solved exactly: Wolfe's method over the corners
// of the capped simplex (Mathematical Programming 11, 1976), a corner being the mean of
// 1/cap objectives, generated as they are needed. Option cap (default 0.5), raised to
// 1/M where it is less; cap = 1 is mgda, cap ≤ 1/M is mean. The preference is not used.
// Equal gradients give back that gradient.
// Guarantees: the mean over any objectives that hold 1/cap of the weight has an inner
// product of at least |d|² with d; single objectives may be opposed once the cap binds.
// Invariant to permutation.
type capped struct{ cap float64 }

func cappedEntry() entry {
	return entry{
		Info: Info{
			Name: "capped-mgda", Needs: NeedsGram, Rule: "w = argmin over 0 ≤ w ≤ cap, Σw = 1 of wᵀG w",
			Paper: "arXiv:2605.30452",
			Guarantees: "does not oppose the mean of any ⌈1/cap⌉ objectives; may oppose single ones; cap = 1 is mgda, cap = 1/M is " +
				"mean; ignores the preference",
			Options: []Option{{Name: "cap", Default: 0.5, Min: 1e-3, Max: 1, Doc: "largest weight of an objective; at least 1/M is used"}},
		},
		build: func(v values) (Method, error) { return capped{v.number("cap")}, nil },
	}
}

func (capped) Name() string { return "capped-mgda" }

func (c capped) Weights(in Input) (Result, error) {
	g := dense(in.G)
	n := len(g)
	limit := max(c.cap, 1/float64(n))
	corners := [][]float64{corner(diagonal(g), limit)}
	w := corners[0]
	iterations := 0
	for rounds := 100 + 20*n; iterations < rounds; iterations++ {
		h := mulVec(g, w)
		next := corner(h, limit)
		if dot(next, h) >= dot(w, h)-roundingOf(g, w, next) ||
			slices.ContainsFunc(corners, func(c []float64) bool { return slices.Equal(c, next) }) {
			break
		}
		corners = append(corners, next)
		w, corners = nearestOf(g, corners)
	}
	residual := 0.0 // of optimality: no corner has a smaller product with d
	h := mulVec(g, w)
	residual = math.Max(residual, dot(w, h)-dot(corner(h, limit), h))
	return Result{Weights: w, Diagnostics: map[string]float64{"iterations": float64(iterations), "kkt_residual": residual}}, nil
}

// corner is the corner of the capped simplex with the least inner product with h: the
// limit goes to the smallest values, the rest to the next one. Ties go by index.
func corner(h []float64, limit float64) []float64 {
	order := make([]int, len(h))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case h[a] < h[b]:
			return -1
		case h[a] > h[b]:
			return 1
		}
		return 0
	})
	out, left := make([]float64, len(h)), 1.0
	for k, i := range order {
		out[i] = min(limit, left)
		if k == len(order)-1 {
			out[i] = left // rounding of 1/M
		}
		left = max(0, left-out[i])
	}
	return out
}

// nearestOf is the point nearest to the origin in the convex hull of the corners, and
// the corners that carry it.
func nearestOf(g, corners [][]float64) (w []float64, used [][]float64) {
	k := len(corners)
	products := make([][]float64, k) // Gram of the corners' gradients
	for a := range k {
		products[a] = make([]float64, k)
		ga := mulVec(g, corners[a])
		for b := range a + 1 {
			products[a][b] = dot(corners[b], ga)
			products[b][a] = products[a][b]
		}
	}
	share := newSimplexQP(products, make([]float64, k)).solve()
	w = make([]float64, len(g))
	for a, s := range share {
		if s == 0 {
			continue
		}
		used = append(used, corners[a])
		for i, x := range corners[a] {
			w[i] += s * x
		}
	}
	return w, used
}

// roundingOf bounds the rounding error of ⟨next − w, G w⟩.
func roundingOf(g [][]float64, w, next []float64) float64 {
	sum := 0.0
	for i := range g {
		for j := range g {
			sum += math.Abs(g[i][j]) * math.Abs(w[j]) * (w[i] + next[i])
		}
	}
	return 8 * epsilon * sum
}

// diagonal is the squared norms.
func diagonal(g [][]float64) []float64 {
	out := make([]float64, len(g))
	for i := range g {
		out[i] = g[i][i]
	}
	return out
}
