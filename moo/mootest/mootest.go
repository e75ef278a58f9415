// Package mootest holds a gradient-combination method to its promises. Run
// is for the methods of package moo and for a user's own, which need nothing but
// the moo.Method interface:
//
//	func TestMine(t *testing.T) {
//		mootest.Run(t, mine{}, mootest.Properties{NonConflicting: true, PermutationInvariant: true})
//	}
//
// Every method is asked for structure (the right number of finite weights on
// Grams of every scale, rank and kind of damage), determinism, scale equivariance
// of the direction, |d|² = wᵀGw, and states that survive JSON bit for bit. The
// rest is asked where Properties claims it.
package mootest

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"testing"

	"concord/moo"
	"concord/moo/internal/jac"
)

// Properties are the promises of a method.
type Properties struct {
	NonConflicting       bool // ⟨g_m, d⟩ ≥ 0 for every m
	PermutationInvariant bool // d does not depend on the order of the rows
	LinearUnderScaling   bool // d of diag(c) J is linear in c > 0
	StronglyStationary   bool // d = 0 only where some v > 0 has Jᵀv = 0
	IdenticalRows        bool // M equal rows (and losses) give back that row
	DuplicateInvariant   bool // a row given twice changes nothing
	Simplex              bool // weights ≥ 0 that sum to 1
	EqualCosines         bool // with independent rows, d has one cosine with all
	AnyLength            bool // the length of d follows no simple rule when J is scaled: only its direction is compared
	FullRank             bool // NonConflicting and EqualCosines hold for independent rows only
	Tolerance            float64
}

// tolerance is relative to Σ |w_m||g_m|, the scale of rounding in Jᵀw.
func (p Properties) tolerance() float64 {
	if p.Tolerance > 0 {
		return p.Tolerance
	}
	return 1e-8
}

// shapes are (M, N, rank).
var shapes = [][3]int{{1, 1, 1}, {2, 5, 2}, {4, 3, 1}, {4, 3, 2}, {4, 3, 3}, {9, 11, 5}, {9, 11, 9}, {17, 40, 17}}

// seeds is how many of the usual number are tried: a fifth with -short, as under the race detector.
func seeds(usual uint64) uint64 {
	if testing.Short() {
		return usual / 5
	}
	return usual
}

// Run holds m to p.
func Run(t *testing.T, m moo.Method, p Properties) {
	t.Helper()
	c := checker{m, p}
	c.structure(t)
	c.adversarial(t)
	c.state(t)
	for seed := range seeds(20) {
		for _, s := range shapes {
			c.matrix(t, sample(seed, s), fmt.Sprintf("seed %d shape %v", seed, s), s[2] == s[0])
		}
	}
	if p.StronglyStationary {
		c.strong(t)
	}
	if p.IdenticalRows {
		c.equalRows(t)
	}
}

type checker struct {
	m moo.Method
	p Properties
}

// sample is a random Jacobian; every third has norms that differ by orders.
func sample(seed uint64, s [3]int) jac.Jacobian {
	r := jac.RNG(seed)
	j := jac.LowRank(r, s[0], s[1], s[2])
	if seed%3 == 2 {
		f := make([]float64, s[0])
		for i := range f {
			f[i] = math.Pow(10, 6*r.Float64()-3)
		}
		j = j.Scale(append(f, 1)...)
	}
	return j
}

// input is a problem with equal losses and sizes.
func input(j jac.Jacobian) moo.Input {
	n := len(j)
	return moo.Input{G: j.Gram(), Seed: 1, Losses: slices.Repeat([]float64{2}, n), Tokens: slices.Repeat([]float64{100}, n)}
}

// direction solves and combines.
func (c checker) direction(t *testing.T, j jac.Jacobian) (d, w []float64) {
	t.Helper()
	r, err := moo.Solve(c.m, input(j))
	if err != nil {
		t.Fatalf("%s: %v", c.m.Name(), err)
	}
	return j.Combine(r.Weights), r.Weights
}

// size is Σ |w_m| |g_m|.
func size(j jac.Jacobian, w []float64) float64 {
	sum := 0.0
	for m := range j {
		sum += math.Abs(w[m]) * jac.Length(j[m])
	}
	return sum
}

func finite(x []float64) bool {
	return !slices.ContainsFunc(x, func(v float64) bool { return math.IsNaN(v) || math.IsInf(v, 0) })
}

// structure: the right shape and finite, at every scale.
func (c checker) structure(t *testing.T) {
	t.Helper()
	for _, s := range shapes {
		for _, scale := range []float64{0, 1e-30, 1e-10, 1e3, 1e5, 1e10, 1e15, 1e30} {
			j := jac.LowRank(jac.RNG(3), s[0], s[1], s[2]).Scale(scale)
			if d, w := c.direction(t, j); len(w) != s[0] || !finite(w) || !finite(d) {
				t.Fatalf("shape %v scale %g: weights %v", s, scale, w)
			}
		}
	}
}

// adversarial: finite weights or a clear error where gradients are equal,
// opposed, all but cancelling, zero, of scales that are 60 orders apart, or not
// finite.
func (c checker) adversarial(t *testing.T) {
	t.Helper()
	g := jac.Gaussian(jac.RNG(7), 3, 5)
	nearly := slices.Clone(g[0])
	for i := range nearly {
		nearly[i] *= -(1 + 1e-9)
	}
	for name, j := range map[string]jac.Jacobian{
		"equal": {g[0], g[0], g[0]}, "opposed": append(jac.Jacobian{g[0]}.Scale(-1), g[0]), "nearly cancelling": {g[0], nearly, g[1]},
		"a zero row": {g[0], make([]float64, 5), g[1]}, "60 orders": g.Scale(1e-30, 1, 1e30),
		"a sum of others": {g[0], g[1], {g[0][0] + g[1][0], g[0][1] + g[1][1], g[0][2] + g[1][2], g[0][3] + g[1][3], g[0][4] + g[1][4]}},
		"a NaN":           {g[0], {math.NaN(), 0, 0, 0, 0}, g[1]}, "an infinity": {g[0], {math.Inf(1), 0, 0, 0, 0}, g[1]},
	} {
		r, err := moo.Solve(c.m, input(j))
		if err == nil && (len(r.Weights) != len(j) || !finite(r.Weights)) {
			t.Errorf("%s: weights %v", name, r.Weights)
		}
		if (name == "a NaN" || name == "an infinity") && err == nil && r.Weights[1] != 0 {
			t.Errorf("%s: weights %v", name, r.Weights)
		}
	}
}

// state: a call returns a value that JSON keeps, and the same calls give
// the same answers from it.
func (c checker) state(t *testing.T) {
	t.Helper()
	var kept moo.State
	for step := range int64(30) {
		in := input(jac.Gaussian(jac.RNG(uint64(step)), 4, 9))
		in.Step, in.State = step, kept
		for i := range in.Losses {
			in.Losses[i] = 1 + float64(i) + 1/float64(step+1)
		}
		a, err := moo.Solve(c.m, in)
		if err != nil {
			t.Fatalf("step %d: %v", step, err)
		}
		raw, err := json.Marshal(kept)
		if err != nil {
			t.Fatal(err)
		}
		var copied moo.State
		if err := json.Unmarshal(raw, &copied); err != nil {
			t.Fatal(err)
		}
		in.State = copied
		b, err := moo.Solve(c.m, in)
		if err != nil || !slices.Equal(a.Weights, b.Weights) {
			t.Fatalf("step %d: weights %v from a state, %v from its JSON (%v)", step, a.Weights, b.Weights, err)
		}
		x, _ := json.Marshal(a.State)
		y, _ := json.Marshal(b.State)
		if !reflect.DeepEqual(x, y) {
			t.Fatalf("step %d: state %s from a state, %s from its JSON", step, x, y)
		}
		kept = a.State
	}
}

// matrix checks one Jacobian.
func (c checker) matrix(t *testing.T, j jac.Jacobian, at string, independent bool) {
	t.Helper()
	d, w := c.direction(t, j)
	if _, again := c.direction(t, j); !slices.Equal(w, again) {
		t.Errorf("%s: weights %v, then %v", at, w, again)
	}
	if n := dot(w, j.Project(d)); math.Abs(n-jac.Dot(d, d)) > 1e-9*size(j, w)*size(j, w) {
		t.Errorf("%s: |d|² %g, wᵀGw %g", at, jac.Dot(d, d), n)
	}
	c.scale(t, j, d, w, at)
	if c.p.NonConflicting && (independent || !c.p.FullRank) {
		c.nonConflicting(t, j, d, w, at)
	}
	if c.p.EqualCosines && independent {
		c.cosines(t, j, d, at)
	}
	if c.p.PermutationInvariant {
		c.permutation(t, j, d, at)
	}
	if c.p.LinearUnderScaling {
		c.linear(t, j, at)
	}
	if c.p.DuplicateInvariant {
		c.duplicate(t, j, d, at)
	}
	if c.p.Simplex {
		c.simplex(t, w, at)
	}
}

func dot(x, y []float64) float64 { return jac.Dot(x, y) }

// scale: d follows the scale of J, at least in its direction.
func (c checker) scale(t *testing.T, j jac.Jacobian, d, w []float64, at string) {
	t.Helper()
	for _, s := range []float64{1e-6, 1e-3, 1e6} {
		scaled, ws := c.direction(t, j.Scale(s))
		f := 1 / s
		if c.p.AnyLength && jac.Length(scaled) > 0 {
			f = jac.Length(d) / jac.Length(scaled)
		}
		for i := range scaled {
			scaled[i] = scaled[i]*f - d[i]
		}
		if bound := size(j, w) + f*s*size(j, ws); jac.Length(scaled) > c.p.tolerance()*bound {
			t.Errorf("%s: scaled by %g off by %g", at, s, jac.Length(scaled)/bound)
		}
	}
}

func (c checker) nonConflicting(t *testing.T, j jac.Jacobian, d, w []float64, at string) {
	t.Helper()
	for i, x := range j.Project(d) {
		if x < -10*c.p.tolerance()*jac.Length(j[i])*size(j, w) {
			t.Errorf("%s: conflicting: J d = %v", at, j.Project(d))
			return
		}
	}
}

func (c checker) cosines(t *testing.T, j jac.Jacobian, d []float64, at string) {
	t.Helper()
	first := 0.0
	for i, x := range j.Project(d) {
		cos := x / jac.Length(j[i]) / jac.Length(d)
		if i == 0 {
			first = cos
		}
		if math.Abs(cos-first) > 1e-5 {
			t.Errorf("%s: cosine %g of row %d, %g of row 0", at, cos, i, first)
		}
	}
}

func (c checker) permutation(t *testing.T, j jac.Jacobian, d []float64, at string) {
	t.Helper()
	p := make(jac.Jacobian, len(j))
	for k, i := range jac.RNG(9).Perm(len(j)) {
		p[k] = j[i]
	}
	moved, w := c.direction(t, p)
	for i := range moved {
		moved[i] -= d[i]
	}
	if jac.Length(moved) > c.p.tolerance()*size(p, w) {
		t.Errorf("%s: permuted: off by %g", at, jac.Length(moved)/size(p, w))
	}
}

func (c checker) linear(t *testing.T, j jac.Jacobian, at string) {
	t.Helper()
	r := jac.RNG(11)
	c1, c2, both := make([]float64, len(j)), make([]float64, len(j)), make([]float64, len(j))
	for i := range both {
		c1[i], c2[i] = r.Float64()+0.01, r.Float64()+0.01
		both[i] = 0.3*c1[i] + 2*c2[i]
	}
	d1, w1 := c.direction(t, j.Scale(append(c1, 1)...))
	d2, w2 := c.direction(t, j.Scale(append(c2, 1)...))
	d, _ := c.direction(t, j.Scale(append(both, 1)...))
	for i := range d {
		d[i] -= 0.3*d1[i] + 2*d2[i]
	}
	if jac.Length(d) > c.p.tolerance()*(size(j, w1)+size(j, w2)) {
		t.Errorf("%s: not linear under scaling: off by %g", at, jac.Length(d)/(size(j, w1)+size(j, w2)))
	}
}

func (c checker) duplicate(t *testing.T, j jac.Jacobian, d []float64, at string) {
	t.Helper()
	twice := append(slices.Clone(j), j[len(j)-1])
	moved, w := c.direction(t, twice)
	for i := range moved {
		moved[i] -= d[i]
	}
	if jac.Length(moved) > c.p.tolerance()*size(twice, w) {
		t.Errorf("%s: a duplicate moved d by %g", at, jac.Length(moved))
	}
}

func (c checker) simplex(t *testing.T, w []float64, at string) {
	t.Helper()
	sum := 0.0
	for _, x := range w {
		sum += x
	}
	if slices.Min(w) < 0 || math.Abs(sum-1) > 1e-12 {
		t.Errorf("%s: weights %v", at, w)
	}
}

// strong: |d| stays away from zero where no v > 0 has Jᵀ v = 0.
func (c checker) strong(t *testing.T) {
	t.Helper()
	for seed := range seeds(10) {
		for _, s := range [][3]int{{20, 10, 9}, {20, 10, 5}, {20, 10, 1}, {20, 100, 1}, {20, 100, 18}} {
			for _, weak := range []bool{false, true} {
				if d, _ := c.direction(t, jac.NotStronglyStationary(jac.RNG(seed), s[0], s[1], s[2], weak)); jac.Length(d) < 0.003 {
					t.Errorf("seed %d shape %v weak %v: |d| = %g", seed, s, weak, jac.Length(d))
				}
			}
		}
	}
}

// equalRows: training on M identical languages is plain training.
func (c checker) equalRows(t *testing.T) {
	t.Helper()
	for _, n := range []int{1, 2, 3, 8, 40} {
		row := jac.Gaussian(jac.RNG(5), 1, 23)[0]
		if d, _ := c.direction(t, slices.Repeat(jac.Jacobian{row}, n)); jac.Far(d, row) > 1e-6 {
			t.Errorf("%d equal rows: d is off by %g", n, jac.Far(d, row))
		}
	}
}
