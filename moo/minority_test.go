package moo

import (
	"math"
	"testing"

	"gonum.org/v1/gonum/mat"
)

// One objective of several contradicts the others, nothing tells them apart, and all that
// can be chosen is a distribution over ten answers: objective i's loss is −log p of its
// answer. In float64, by gradient descent, for 8 objectives:
//
//   - mean ends at probability 1/8 for the answer of the one: a loss of log 8, from any start;
//   - mgda moves both answers' logits alike, so their odds stay exactly what they were at the
//     start, and from even odds the worst loss is log 2;
//   - pcgrad and upgrad begin like mean and stop where the objectives are opposite, between
//     the two; cagrad (c < 1) ends where mean does, and imtl-g near it: gradients that are
//     opposite have no equal projections, and the nearest to them has seven times the one.
//
// The audit's remedy control has the same in training.
func TestOneAgainstSeven(t *testing.T) {
	log := math.Log
	for _, c := range []struct {
		method string
		start  float64 // log odds of the majority's answer
		lo, hi float64 // of the worst loss at the end
	}{
		{"mean", 0, log(8) - 0.02, log(8) + 0.02},
		{"mean", 1, log(8) - 0.02, log(8) + 0.02},
		{"mgda", 0, log(2), log(2) + 0.02},
		{"mgda", 1, -log(1 / (1 + math.E)), -log(1/(1+math.E)) + 0.02}, // odds e : 1, as they were
		{"imtl-g", 0, log(8) - 0.1, log(8) + 0.1},
		{"pcgrad", 0, log(2), log(8) - 0.2},
		{"upgrad", 0, log(2), log(8) - 0.2},
		{"cagrad", 0, log(8) - 0.05, log(8) + 0.05},
	} {
		m, err := New(c.method, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := oneAgainst(t, m, 8, c.start); got < c.lo-1e-9 || got > c.hi {
			t.Errorf("%s from log odds %g: worst loss %.4f, want %.4f … %.4f", c.method, c.start, got, c.lo, c.hi)
		}
	}
}

// oneAgainst descends by m's direction for n objectives, scaled to weights of sum one, and
// returns the worst loss. The first answer is that of all but the last objective.
func oneAgainst(t *testing.T, m Method, n int, start float64) float64 {
	t.Helper()
	z := make([]float64, 10)
	z[0] = start
	answer := func(i int) int {
		if i == n-1 {
			return 1
		}
		return 0
	}
	for step := range 4000 {
		p := softmax(z)
		g := mat.NewSymDense(n, nil) // g_i = p − e of its answer
		for i := range n {
			for j := range i + 1 {
				v := dot(p, p) - p[answer(i)] - p[answer(j)]
				if answer(i) == answer(j) {
					v++
				}
				g.SetSym(i, j, v)
			}
		}
		r, err := Solve(m, Input{G: g, Step: int64(step)})
		if err != nil {
			t.Fatal(err)
		}
		sum := 0.0
		for _, w := range r.Weights {
			sum += math.Abs(w)
		}
		for i, w := range r.Weights {
			for k := range z {
				z[k] -= 0.5 * w / sum * p[k]
			}
			z[answer(i)] += 0.5 * w / sum
		}
	}
	p := softmax(z)
	return max(-math.Log(p[0]), -math.Log(p[1]))
}
