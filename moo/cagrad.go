package moo

import (
	"fmt"
	"math"
	"slices"
)

// cagrad: w = u + μ w*, μ = c|g0|/|g_w*|, with g0 = Jᵀu the mean gradient and
// w* = argmin over the simplex of wᵀG u + c|g0| √(wᵀG w): d maximises the worst
// objective's descent min_m ⟨g_m, d⟩ in the ball |d − g0| ≤ c|g0|.
//
// Paper: Liu et al., Conflict-Averse Gradient Descent for Multi-task Learning,
// NeurIPS 2021 (arXiv:2110.14048), equations 3 and 4. For a fixed μ, w* is the
// minimum of ½ μ wᵀG w + wᵀG u, a quadratic programme over the simplex, and
// μ|g_w*| grows with μ, so μ is found by bracketing on its logarithm; no conic
// solver is needed.
// Options: c (default 0.5; 0 is mean, large c tends to the direction of mgda);
// rescale, "none" as above, "mean" divides by 1 + c, which gives back the
// gradient where all are equal, "square" by 1 + c².
// Guarantees: |d − g0| ≤ c|g0|, so for c < 1 it descends the mean loss and
// converges to its minimum; non-conflicting for c ≥ 1, not in general below.
// Weights grow without bound as the gradients come close to cancelling each
// other (relative distance below 10⁻⁶ counts as cancelling).
type cagrad struct {
	c     float64
	scale float64
}

func cagradEntry() entry {
	return entry{
		Info: Info{
			Name: "cagrad", Needs: NeedsGram, UsesPreference: true, Rule: "d = argmax over |d − g0| ≤ c|g0| of min_m ⟨g_m, d⟩, g0 = Jᵀu",
			Paper:      "Liu et al. 2021, arXiv:2110.14048",
			Guarantees: "descends the mean loss for c < 1; non-conflicting for c ≥ 1 only",
			Options: []Option{
				{Name: "c", Default: 0.5, Min: 0, Max: 1e6, Doc: "radius of the ball around the mean gradient, relative to its norm; 0 is mean"},
				{Name: rescaleName, Default: rescaleNone, Choices: []string{rescaleNone, rescaleMean, "square"},
					Doc: `"none" is the paper's scale; "mean" divides by 1 + c, so that equal gradients give back that gradient (what training uses); ` +
						`"square" by 1 + c², as the authors' code does`},
			},
		},
		build: func(v values) (Method, error) {
			m := cagrad{c: v.number("c"), scale: 1}
			switch v.word(rescaleName) {
			case rescaleMean:
				m.scale = 1 / (1 + m.c)
			case "square":
				m.scale = 1 / (1 + m.c*m.c)
			}
			return m, nil
		},
	}
}

func (cagrad) Name() string { return "cagrad" }

func (m cagrad) Weights(in Input) (Result, error) {
	s := newCagradSearch(in, m.c)
	w := slices.Clone(in.Preference)
	mu := 0.0
	if s.target > 0 {
		var star []float64
		if mu, star = s.search(); star == nil {
			return Result{}, fmt.Errorf("no multiplier found in %d tries", s.iterations)
		}
		for i := range w {
			w[i] += mu * star[i]
		}
	}
	for i := range w {
		w[i] *= m.scale
	}
	return Result{Weights: w, Diagnostics: map[string]float64{"mu": mu, "iterations": float64(s.iterations)}}, nil
}

// Relative thresholds of the search for μ.
const (
	cancelling = 1e-12 // |Σ w_i g_i|² over (Σ w_i |g_i|)²: below it the gradients cancel
	plateauTol = 1e-7  // min ⟨g_m, d⟩/|g_m| over c|g0|: above −this nothing more can be gained
)

// cagradSearch finds μ with μ|g_w(μ)| = c|g0|.
type cagradSearch struct {
	g          [][]float64
	gu         []float64 // G u
	norm       []float64 // |g_m|
	target     float64   // c|g0|, 0 where the mean gradient vanishes
	iterations int
}

func newCagradSearch(in Input, c float64) *cagradSearch {
	s := &cagradSearch{g: dense(in.G)}
	s.gu = mulVec(s.g, in.Preference)
	for i := range s.g {
		s.norm = append(s.norm, math.Sqrt(s.g[i][i]))
	}
	mean2, size := dot(in.Preference, s.gu), dot(in.Preference, s.norm)
	if mean2 > 4*float64(len(s.g))*epsilon*size*size {
		s.target = c * math.Sqrt(mean2)
	}
	return s
}

// at solves for one μ: w(μ) and log(μ|g_w|/target).
func (s *cagradSearch) at(mu float64) (w []float64, excess float64) {
	b := make([]float64, len(s.gu))
	for i, x := range s.gu {
		b[i] = x / mu
	}
	w = newSimplexQP(s.g, b).solve()
	s.iterations++
	return w, math.Log(mu) + 0.5*math.Log(math.Max(dot(w, mulVec(s.g, w)), math.SmallestNonzeroFloat64)) - math.Log(s.target)
}

// search brackets μ between c|g0|/max|g_m|, where μ|g_w| is at most the target,
// and the first power of four above that passes it.
//
// Where the gradients cancel, 0 being in their convex hull, μ|g_w| may stay
// below the target for ever; then d = g0 + μ g_w becomes constant with
// min_m ⟨g_m, d⟩ = 0, which is the optimum, and any such μ will do: the smallest
// found gives the smallest weights.
func (s *cagradSearch) search() (float64, []float64) {
	closest := newSimplexQP(s.g, make([]float64, len(s.g))).solve()
	size := dot(closest, s.norm)
	stationary := dot(closest, mulVec(s.g, closest)) <= cancelling*size*size
	low := math.Log(s.target) - math.Log(slices.Max(s.norm))
	_, lowExcess := s.at(math.Exp(low))
	high := low
	for range 1100 { // covers every float64
		w, excess := s.at(math.Exp(high))
		if excess >= 0 {
			return s.bisect(low, high, lowExcess, excess)
		}
		if stationary && s.plateau(math.Exp(high), w) {
			return math.Exp(high), w
		}
		low, lowExcess = high, excess
		high += math.Log(4)
	}
	return 0, nil
}

// plateau is true where min_m ⟨g_m, d⟩/|g_m| is no longer negative, up to
// rounding, or where the weights have grown beyond the size that float32 gradients can
// cancel.
func (s *cagradSearch) plateau(mu float64, w []float64) bool {
	gw := mulVec(s.g, w)
	size := mu * dot(w, s.norm)
	if size > s.target/plateauTol {
		return true
	}
	for i := range gw {
		noise := plateauTol*(math.Abs(s.gu[i])/s.norm[i]+s.target) + 16*float64(len(gw))*epsilon*size
		if s.gu[i]+mu*gw[i] < -noise*s.norm[i] {
			return false
		}
	}
	return true
}

// bisect narrows the bracket by the Illinois variant of regula falsi on log μ,
// falling back to halving, until log(μ|g_w|/target) is zero up to rounding.
func (s *cagradSearch) bisect(low, high, lowExcess, highExcess float64) (float64, []float64) {
	w, excess := s.at(math.Exp(high))
	x := high
	side := 0
	for n := 0; n < 100 && math.Abs(excess) > 4*epsilon && high-low > 4*epsilon*math.Max(1, math.Abs(high)); n++ {
		x = low + (high-low)*lowExcess/(lowExcess-highExcess)
		if n%4 == 3 || !(x > low && x < high) {
			x = low + (high-low)/2
		}
		w, excess = s.at(math.Exp(x))
		if excess < 0 {
			low, lowExcess = x, excess
			if side == -1 {
				highExcess /= 2
			}
			side = -1
		} else {
			high, highExcess = x, excess
			if side == 1 {
				lowExcess /= 2
			}
			side = 1
		}
	}
	return math.Exp(x), w
}
