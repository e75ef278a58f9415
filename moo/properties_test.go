package moo

import (
	"fmt"
	"math"
	"slices"
	"testing"
)

// claims are the properties that a method promises; structure, scale
// equivariance, determinism and |d|² = wᵀGw are asked of every method.
type claims struct {
	nonConflicting bool
	permutation    bool // d does not depend on the order of the rows
	linear         bool // A(diag(c) J) is linear in c > 0
	strong         bool // d = 0 only at strongly stationary points
	mean           bool // M equal rows give back the row: true under ForTraining
	mgdaKKT        bool
	coneKKT        bool // sum of dual-cone projections: w ≥ u, G w ≥ 0
}

func TestProperties(t *testing.T) {
	cases := []struct {
		name    string
		options map[string]any
		claims  claims
	}{
		{"mean", nil, claims{permutation: true, linear: true, strong: true, mean: true}},
		{"static", nil, claims{permutation: true, linear: true, strong: true, mean: true}},
		{"mgda", nil, claims{nonConflicting: true, permutation: true, mean: true, mgdaKKT: true}},
		{"pcgrad", nil, claims{}},
		{"pcgrad", map[string]any{"order": "ascending"}, claims{}},
		{"pcgrad", map[string]any{"order": "descending"}, claims{}},
		{"cagrad", map[string]any{"c": 0.0}, claims{permutation: true, linear: true, strong: true}},
		{"cagrad", map[string]any{"c": 0.5}, claims{permutation: true}},
		{"cagrad", map[string]any{"c": 1.0}, claims{nonConflicting: true, permutation: true}},
		{"cagrad", map[string]any{"c": 2.0}, claims{nonConflicting: true, permutation: true}},
		{"upgrad", nil, claims{nonConflicting: true, permutation: true, linear: true, strong: true, mean: true, coneKKT: true}},
	}
	for _, c := range cases {
		t.Run(fmt.Sprint(c.name, c.options), func(t *testing.T) {
			conform(t, must(t, c.name, c.options), c.claims)
			training := must(t, c.name, ForTraining(c.name, c.options))
			conform(t, training, claims{mean: true})
		})
	}
}

// conform tests a method's claims.
func conform(t *testing.T, m Method, c claims) {
	t.Helper()
	checkStructure(t, m)
	checkMatrices(t, m, c)
	if c.strong {
		checkStrong(t, m)
	}
	if c.mean {
		checkEqualRows(t, m)
	}
}

// checkStructure: the right shape and finite, at every scale.
func checkStructure(t *testing.T, m Method) {
	t.Helper()
	for _, shape := range shapes {
		for _, scale := range []float64{0, 1e-30, 1e-10, 1e3, 1e5, 1e10, 1e15, 1e30} {
			j := lowRank(rng(3), shape[0], shape[1], shape[2]).scale(scale)
			d, w := direction(t, m, j)
			if len(w) != shape[0] || !allFinite(w) || !allFinite(d) {
				t.Fatalf("shape %v scale %g: weights %v", shape, scale, w)
			}
		}
	}
}

// shapes are (M, N, rank).
var shapes = [][3]int{{1, 1, 1}, {2, 5, 2}, {4, 3, 1}, {4, 3, 2}, {4, 3, 3}, {9, 11, 5}, {9, 11, 9}, {17, 40, 17}}

func checkMatrices(t *testing.T, m Method, c claims) {
	t.Helper()
	for seed := range uint64(30) {
		for _, s := range shapes {
			r := rng(seed)
			j := lowRank(r, s[0], s[1], s[2])
			if seed%3 == 2 { // norms that differ by orders
				f := make([]float64, s[0])
				for i := range f {
					f[i] = math.Pow(10, 6*r.Float64()-3)
				}
				j = j.scale(append(f, 1)...)
			}
			d, w := direction(t, m, j)
			at := fmt.Sprintf("seed %d shape %v", seed, s)
			checkAlways(t, m, j, d, w, at)
			if c.nonConflicting {
				checkNonConflicting(t, j, d, at)
			}
			if c.permutation {
				checkPermutation(t, m, j, d, at)
			}
			if c.linear {
				checkLinear(t, m, j, at)
			}
			if c.mgdaKKT {
				checkMGDA(t, m, j, d, w, at)
			}
			if c.coneKKT {
				checkCone(t, j, w, at)
			}
		}
	}
}

// size is Σ |w_m| |g_m|, the scale of rounding in Jᵀ w.
func size(j jacobian, w []float64) float64 {
	sum := 0.0
	for m := range j {
		sum += math.Abs(w[m]) * length(j[m])
	}
	return sum
}

// checkAlways: deterministic, scale equivariant, |d|² = wᵀ G w.
func checkAlways(t *testing.T, m Method, j jacobian, d, w []float64, at string) {
	t.Helper()
	if _, again := direction(t, m, j); !slices.Equal(w, again) {
		t.Errorf("%s: weights %v, then %v", at, w, again)
	}
	for _, s := range []float64{1e-6, 1e-3, 1e6} {
		scaled, ws := direction(t, m, j.scale(s))
		for i := range scaled {
			scaled[i] /= s
			scaled[i] -= d[i]
		}
		if length(scaled) > 1e-8*(size(j, w)+size(j, ws)) {
			t.Errorf("%s: scaled by %g off by %g", at, s, length(scaled)/size(j, w))
		}
	}
	if n := dot(w, symMulVec(j.gram(), w)); math.Abs(n-dot(d, d)) > 1e-12*size(j, w)*size(j, w) {
		t.Errorf("%s: |d|² %g, wᵀGw %g", at, dot(d, d), n)
	}
}

func checkNonConflicting(t *testing.T, j jacobian, d []float64, at string) {
	t.Helper()
	jd := j.project(d)
	negative := 0.0
	for _, x := range jd {
		negative += min(x, 0) * min(x, 0)
	}
	if math.Sqrt(negative) > 1e-7*length(jd)+1e-8*maxLength(j)*maxLength(j) {
		t.Errorf("%s: conflicting: J d = %v", at, jd)
	}
}

func maxLength(j jacobian) float64 {
	longest := 0.0
	for _, row := range j {
		longest = max(longest, length(row))
	}
	return longest
}

func checkPermutation(t *testing.T, m Method, j jacobian, d []float64, at string) {
	t.Helper()
	p := make(jacobian, len(j))
	for k, i := range rng(9).Perm(len(j)) {
		p[k] = j[i]
	}
	moved, w := direction(t, m, p)
	for i := range moved {
		moved[i] -= d[i]
	}
	if length(moved) > 1e-8*size(p, w) {
		t.Errorf("%s: permuted: off by %g", at, length(moved)/size(p, w))
	}
}

func checkLinear(t *testing.T, m Method, j jacobian, at string) {
	t.Helper()
	r := rng(11)
	c1, c2, c := make([]float64, len(j)), make([]float64, len(j)), make([]float64, len(j))
	for i := range c {
		c1[i], c2[i] = r.Float64()+0.01, r.Float64()+0.01
		c[i] = 0.3*c1[i] + 2*c2[i]
	}
	d1, w1 := direction(t, m, j.scale(append(c1, 1)...))
	d2, w2 := direction(t, m, j.scale(append(c2, 1)...))
	d, _ := direction(t, m, j.scale(append(c, 1)...))
	for i := range d {
		d[i] -= 0.3*d1[i] + 2*d2[i]
	}
	if length(d) > 1e-8*(size(j, w1)+size(j, w2)) {
		t.Errorf("%s: not linear under scaling: off by %g", at, length(d))
	}
}

// checkMGDA: w on the simplex, (G w)_m ≥ wᵀ G w, and a duplicated language
// changes nothing.
func checkMGDA(t *testing.T, m Method, j jacobian, d, w []float64, at string) {
	t.Helper()
	sum := 0.0
	for _, x := range w {
		sum += x
		if x < 0 {
			t.Errorf("%s: weights %v", at, w)
		}
	}
	if math.Abs(sum-1) > 1e-12 {
		t.Errorf("%s: weights sum to %v", at, sum)
	}
	for i, x := range j.project(d) {
		if x < dot(d, d)-1e-10*length(j[i])*size(j, w) {
			t.Errorf("%s: (Gw)[%d] = %g below |d|² = %g", at, i, x, dot(d, d))
		}
	}
	twice, wt := direction(t, m, append(slices.Clone(j), j[len(j)-1]))
	for i := range twice {
		twice[i] -= d[i]
	}
	if length(twice) > 1e-8*size(append(slices.Clone(j), j[len(j)-1]), wt) {
		t.Errorf("%s: a duplicate moved d by %g", at, length(twice))
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
	g := dense(j.gram())
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

// checkStrong: |d| stays away from zero where no v > 0 has Jᵀ v = 0.
func checkStrong(t *testing.T, m Method) {
	t.Helper()
	for seed := range uint64(10) {
		for _, s := range [][3]int{{20, 10, 9}, {20, 10, 5}, {20, 10, 1}, {20, 100, 1}, {20, 100, 18}} {
			for _, weak := range []bool{false, true} {
				d, _ := direction(t, m, notStronglyStationary(rng(seed), s[0], s[1], s[2], weak))
				if length(d) < 0.005 {
					t.Errorf("seed %d shape %v weak %v: |d| = %g", seed, s, weak, length(d))
				}
			}
		}
	}
}

// checkEqualRows: training on M identical languages is plain training.
func checkEqualRows(t *testing.T, m Method) {
	t.Helper()
	for _, n := range []int{1, 2, 3, 8, 40} {
		row := gaussian(rng(5), 1, 23)[0]
		d, _ := direction(t, m, slices.Repeat(jacobian{row}, n))
		if far(d, row) > 1e-12 {
			t.Errorf("%d equal rows: d is off by %g", n, far(d, row))
		}
	}
}

func allFinite(x []float64) bool {
	return !slices.ContainsFunc(x, func(v float64) bool { return !finite(v) })
}

// TestPCGradEqualsUPGrad: for two objectives, the sum of PCGrad is UPGrad with
// preference one each, which is twice that with preference one half.
func TestPCGradEqualsUPGrad(t *testing.T) {
	for seed := range uint64(200) {
		j := gaussian(rng(seed), 2, 4)
		_, p := direction(t, must(t, "pcgrad", nil), j)
		_, u := direction(t, must(t, "upgrad", nil), j)
		if math.Abs(p[0]-2*u[0]) > 1e-12*p[0] || math.Abs(p[1]-2*u[1]) > 1e-12*p[1] {
			t.Errorf("seed %d: pcgrad %v, upgrad %v", seed, p, u)
		}
	}
}

// TestPCGradDirect compares with the projections done on the gradients.
func TestPCGradDirect(t *testing.T) {
	for seed := range uint64(100) {
		j := gaussian(rng(seed), 5, 6)
		want := make([]float64, 6)
		for i := range j {
			g := slices.Clone(j[i])
			for k := range j {
				if s := dot(g, j[k]); k != i && s < 0 {
					for n := range g {
						g[n] -= s / dot(j[k], j[k]) * j[k][n]
					}
				}
			}
			for n := range g {
				want[n] += g[n]
			}
		}
		if d, _ := direction(t, must(t, "pcgrad", map[string]any{"order": "ascending"}), j); far(d, want) > 1e-12 {
			t.Errorf("seed %d: %v, want %v", seed, d, want)
		}
	}
}

// TestPCGradOrder: the random order depends on each of its keys.
func TestPCGradOrder(t *testing.T) {
	g := gaussian(rng(2), 8, 6).gram()
	m := must(t, "pcgrad", nil)
	weights := func(in Input) []float64 {
		in.G = g
		r, err := Solve(m, in)
		if err != nil {
			t.Fatal(err)
		}
		return r.Weights
	}
	base := weights(Input{})
	for name, in := range map[string]Input{"seed": {Seed: 1}, "step": {Step: 1}, "bucket": {Bucket: 1}} {
		if slices.Equal(base, weights(in)) {
			t.Errorf("another %s draws the same order", name)
		}
	}
	counts := make([]int, 3) // where objective 0 stands among three
	for step := range int64(3000) {
		order := []int{0, 1, 2}
		pcgrad{order: "random"}.arrange(order, Input{Step: step}, 0)
		counts[slices.Index(order, 0)]++
	}
	for _, c := range counts {
		if c < 900 || c > 1100 {
			t.Errorf("positions %v of 3000 draws", counts)
		}
	}
}

// TestCAGradOptimal: no point of the ball around the mean gradient descends the
// worst objective faster.
func TestCAGradOptimal(t *testing.T) {
	for seed := range uint64(60) {
		r := rng(seed)
		j := gaussian(r, 3, 3)
		c := 0.1 + 1.5*r.Float64()
		d, _ := direction(t, must(t, "cagrad", map[string]any{"c": c}), j)
		g0 := j.combine([]float64{1. / 3, 1. / 3, 1. / 3})
		off := make([]float64, 3)
		for i := range off {
			off[i] = d[i] - g0[i]
		}
		radius := c * length(g0)
		if length(off) > radius*(1+1e-9) {
			t.Errorf("seed %d: |d − g0| = %g outside %g", seed, length(off), radius)
		}
		best := slices.Min(j.project(d))
		for range 300 {
			e := orthonormal(r, 3, 1)[0]
			for i := range e {
				e[i] = g0[i] + e[i]*radius
			}
			if v := slices.Min(j.project(e)); v > best+1e-9 {
				t.Fatalf("seed %d: another direction reaches %g, d only %g", seed, v, best)
			}
		}
	}
}

// TestBucketsNonConflicting: non-conflict in every bucket is non-conflict over
// all, and Grams of shards add up to the Gram.
func TestBucketsNonConflicting(t *testing.T) {
	for _, name := range []string{"mgda", "upgrad"} {
		m := must(t, name, nil)
		for seed := range uint64(20) {
			total := make([]float64, 4) // ⟨g_m, d⟩ over all buckets
			for b := range uint64(8) {
				j := gaussian(rng(8*seed+b), 4, 6)
				d, _ := direction(t, m, j)
				for i, x := range j.project(d) {
					total[i] += x
				}
			}
			if slices.Min(total) < -1e-12 {
				t.Errorf("%s seed %d: %v", name, seed, total)
			}
		}
	}
}
