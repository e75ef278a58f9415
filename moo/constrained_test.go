package moo

import (
	"encoding/json"
	"math"
	"os"
	"slices"
	"testing"

	"gonum.org/v1/gonum/mat"
)

// TestCappedOptimal holds the conditions of optimality: with h = G w there is a level
// such that weights at 0 have h above it, weights at the cap below, and all others on it.
func TestCappedOptimal(t *testing.T) {
	binding, seeds := 0, uint64(40)
	if testing.Short() { // under the race detector
		seeds = 8
	}
	for _, limit := range []float64{0.15, 0.3, 0.5, 0.7, 1} {
		m := must(t, "capped-mgda", map[string]any{"cap": limit})
		for seed := range seeds {
			for _, s := range [][2]int{{2, 5}, {5, 4}, {9, 30}, {24, 8}, {40, 90}} {
				j := gaussian(rng(seed), s[0], s[1])
				if seed%4 == 0 {
					for i := range j { // norms that differ
						j[i] = jacobian{j[i]}.Scale(math.Pow(10, float64(i%5)-2))[0]
					}
				}
				_, w := direction(t, m, j)
				if !optimal(j, w, max(limit, 1/float64(s[0])), &binding) {
					t.Errorf("cap %g seed %d shape %v: not optimal: %v", limit, seed, s, w)
				}
			}
		}
	}
	if uint64(binding) < seeds*5/2 {
		t.Errorf("the cap was reached in %d problems only", binding)
	}
}

func optimal(j jacobian, w []float64, limit float64, binding *int) bool {
	h := symMulVec(j.Gram(), w)
	noise := 0.0
	for i := range j {
		noise = max(noise, math.Abs(h[i]), length(j[i])*size(j, w))
	}
	noise *= 1e-9
	above, below, sum := math.Inf(1), math.Inf(-1), 0.0 // least h of what could grow, largest of what could shrink
	reached := false
	for i, x := range w {
		sum += x
		if x < -1e-12 || x > limit+1e-12 {
			return false
		}
		if x < limit-1e-12 {
			above = min(above, h[i])
		} else {
			reached = true
		}
		if x > 1e-12 {
			below = max(below, h[i])
		}
	}
	if reached {
		*binding++
	}
	return math.Abs(sum-1) < 1e-12 && (math.IsInf(above, 1) || below <= above+noise)
}

// TestCappedLimits: cap 1 is mgda, a cap below 1/M is the mean.
func TestCappedLimits(t *testing.T) {
	for seed := range uint64(20) {
		j := gaussian(rng(seed), 6, 9)
		whole, _ := direction(t, must(t, "capped-mgda", map[string]any{"cap": 1.0}), j)
		least, _ := direction(t, must(t, "capped-mgda", map[string]any{"cap": 0.01}), j)
		mgda, _ := direction(t, must(t, "mgda", nil), j)
		mean, _ := direction(t, must(t, "mean", nil), j)
		if far(whole, mgda) > 1e-9 || far(least, mean) > 1e-12 {
			t.Errorf("seed %d: off mgda by %g, off mean by %g", seed, far(whole, mgda), far(least, mean))
		}
	}
}

// TestPCDEnumerated compares with the paper's own way, the search through all sets of
// active constraints (its appendix B.2).
func TestPCDEnumerated(t *testing.T) {
	feasible, contradicting := 0, 0
	for _, tau := range []float64{0, 0.02, 0.5, 1} {
		m := must(t, "pcd", map[string]any{"tau": tau})
		for seed := range uint64(60) {
			for _, s := range [][2]int{{2, 2}, {3, 2}, {4, 3}, {5, 8}, {6, 4}, {7, 3}} {
				j := gaussian(rng(seed), s[0], s[1])
				u := slices.Repeat([]float64{1}, s[0])
				u[s[0]-1] = 2 // the primary objective is the last one
				r, err := Solve(m, Input{G: j.Gram(), Preference: u})
				if err != nil {
					t.Fatal(err)
				}
				want, ok := enumerate(j, s[0]-1, tau)
				if ok {
					feasible++
				} else {
					contradicting++
				}
				got := j.Combine(r.Weights)
				if far(got, want) > 1e-6 {
					t.Errorf("tau %g seed %d shape %v: d %v, want %v", tau, seed, s, got, want)
				}
			}
		}
	}
	if feasible < 300 || contradicting < 50 {
		t.Errorf("%d problems with a solution, %d without", feasible, contradicting)
	}
}

// enumerate solves the first step of pcd (g̃ of length 1) by trying every active set.
func enumerate(j jacobian, first int, tau float64) (d []float64, feasible bool) {
	unit := jacobian{}
	for _, row := range j {
		unit = append(unit, jacobian{row}.Scale(1 / length(row))[0])
	}
	var others []int
	for i := range j {
		if i != first {
			others = append(others, i)
		}
	}
	best := math.Inf(1)
	for set := range 1 << len(others) {
		var active []int
		for a, i := range others {
			if set>>a&1 == 1 {
				active = append(active, i)
			}
		}
		x, ok := onActive(unit, first, active, tau)
		if !ok {
			continue
		}
		off := slices.Clone(x)
		for i := range off {
			off[i] -= unit[first][i]
		}
		if length(off) < best {
			best, d = length(off), x
		}
	}
	if d == nil {
		return j[first], false
	}
	if length(d) < 1e-9 { // the constraints leave nothing of the primary
		return make([]float64, len(d)), true
	}
	f := length(j[first]) / length(d)
	for i := range d {
		d[i] *= f
	}
	return d, true
}

// onActive is the point nearest to the primary direction that meets the active
// constraints with equality, where it meets all.
func onActive(unit jacobian, first int, active []int, tau float64) ([]float64, bool) {
	x := slices.Clone(unit[first])
	if n := len(active); n > 0 {
		a, b := mat.NewDense(n, n, nil), mat.NewVecDense(n, nil)
		for p, i := range active {
			b.SetVec(p, tau-dot(unit[i], unit[first]))
			for q, k := range active {
				a.Set(p, q, dot(unit[i], unit[k]))
			}
		}
		var y mat.VecDense
		if err := y.SolveVec(a, b); err != nil {
			return nil, false
		}
		for p, i := range active {
			for k := range x {
				x[k] += y.AtVec(p) * unit[i][k]
			}
		}
	}
	for i, row := range unit {
		if i != first && dot(row, x) < tau-1e-9 {
			return nil, false
		}
	}
	return x, true
}

// TestPCDMovingAverage: the norms that constraints are relative to are those of the
// steps so far, without the bias of the beginning, and an absent objective keeps its own.
func TestPCDMovingAverage(t *testing.T) {
	m := must(t, "pcd", map[string]any{"beta": 0.9})
	state := State{}
	mean, correction := 0.0, 0.0
	for step := range int64(5) {
		j := gaussian(rng(uint64(step)), 3, 6).Scale(float64(step + 1))
		r, err := Solve(m, Input{G: j.Gram(), State: state, Step: step})
		if err != nil {
			t.Fatal(err)
		}
		state = r.State
		mean = 0.9*mean + 0.1*dot(j[1], j[1])
		correction = 0.9*correction + 0.1
		want := math.Sqrt(mean / correction)
		if got := state.Objective["pcd.norm"][1]; math.Abs(got/want-1) > 1e-12 {
			t.Errorf("step %d: root mean square %g, want %g", step, got, want)
		}
	}
}

// TestPCDVectors compares with TorchJD's implementation, two calls each, so that the
// moving average counts.
func TestPCDVectors(t *testing.T) {
	raw, err := os.ReadFile("testdata/pcd.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Cases []struct {
			Tau, Beta float64
			J         []jacobian
			Weights   [][]float64
		}
	}
	if err := json.Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Cases) != 16 {
		t.Fatalf("%d cases", len(file.Cases))
	}
	for i, c := range file.Cases {
		m := must(t, "pcd", map[string]any{"tau": c.Tau, "beta": c.Beta})
		state := State{}
		for call, j := range c.J {
			r, err := Solve(m, Input{G: j.Gram(), State: state})
			if err != nil {
				t.Fatal(err)
			}
			state = r.State
			got, want := j.Combine(r.Weights), j.Combine(c.Weights[call])
			if far(got, want) > 1e-7*max(1, length(want)) {
				t.Errorf("case %d, call %d: d %v, want %v", i, call+1, got, want)
			}
		}
	}
}
