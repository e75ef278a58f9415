package moo

import (
	"math"
	"slices"
	"testing"

	"gonum.org/v1/gonum/mat"
)

// TestMaskedKeepTheirState holds that an objective that is masked (NaN) or dropped
// (zero gradient) in a step has the same state after it as before, in every method that
// has one and in the moving average around it, and that the others' moves on.
func TestMaskedKeepTheirState(t *testing.T) {
	stateful := 0
	for _, info := range Methods() {
		if info.Needs != NeedsGram {
			continue
		}
		m, err := Wrap(must(t, info.Name, nil), Wrapping{EMA: 0.5})
		if err != nil {
			t.Fatal(err)
		}
		for _, absent := range []float64{math.NaN(), 0} {
			before := solved(t, m, gaussian(rng(1), 3, 7), State{}, 0)
			before = solved(t, m, gaussian(rng(2), 3, 7), before, 1)
			j := gaussian(rng(3), 3, 7)
			j[1] = slices.Repeat([]float64{absent}, 7)
			after := solved(t, m, j, before, 2)
			moved := false
			for name, v := range before.Objective {
				stateful++
				if w := after.Objective[name]; len(w) != 3 || w[1] != v[1] {
					t.Errorf("%s: %s of the objective with gradient %v was %v and is %v", info.Name, name, absent, v, w)
				}
				moved = moved || after.Objective[name][0] != v[0] || after.Objective[name][2] != v[2]
			}
			for name, v := range before.Pair {
				w := after.Pair[name]
				for _, k := range []int{1, 3, 4, 5, 7} { // pairs with objective 1
					if len(w) != 9 || w[k] != v[k] {
						t.Errorf("%s: %s of a pair with the objective with gradient %v was %v and is %v", info.Name, name, absent, v, w)
						break
					}
				}
			}
			if !moved {
				t.Errorf("%s: nothing of the other objectives' state moved", info.Name)
			}
		}
	}
	if stateful < 20 {
		t.Errorf("%d states seen", stateful)
	}
}

// solved is the state after one more step.
func solved(t *testing.T, m Method, j jacobian, s State, step int64) State {
	t.Helper()
	r, err := Solve(m, Input{G: j.Gram(), Losses: []float64{1, 2 + float64(step), 3}, Tokens: []float64{1, 1, 1}, State: s, Step: step})
	if err != nil {
		t.Fatal(err)
	}
	return r.State
}

// TestImtlGAnyNorms holds the promise of equal projections where the gradients' norms
// differ by up to nine orders.
func TestImtlGAnyNorms(t *testing.T) {
	m := must(t, "imtl-g", nil)
	for _, ratio := range []float64{1, 1e3, 3e3, 1e4, 1e6, 1e9} {
		for seed := range uint64(20) {
			j := gaussian(rng(seed), 3, 9).Scale(1, math.Sqrt(ratio), ratio, 1)
			d, _ := direction(t, m, j)
			first := 0.0
			for i, row := range j {
				p := mat.Dot(mat.NewVecDense(9, row), mat.NewVecDense(9, d)) / length(row)
				if i == 0 {
					first = p
				}
				if math.Abs(p-first) > 1e-9*math.Abs(first) {
					t.Errorf("norms 1 : %g, seed %d: projection %g of row %d, %g of row 0", ratio, seed, p, i, first)
				}
			}
		}
	}
}
