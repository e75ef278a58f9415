package moo

import (
	"math"
	"slices"
	"testing"
)

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
	g := gaussian(rng(2), 8, 6).Gram()
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
		g0 := j.Combine([]float64{1. / 3, 1. / 3, 1. / 3})
		off := make([]float64, 3)
		for i := range off {
			off[i] = d[i] - g0[i]
		}
		radius := c * length(g0)
		if length(off) > radius*(1+1e-9) {
			t.Errorf("seed %d: |d − g0| = %g outside %g", seed, length(off), radius)
		}
		best := slices.Min(j.Project(d))
		for range 300 {
			e := orthonormal(r, 3, 1)[0]
			for i := range e {
				e[i] = g0[i] + e[i]*radius
			}
			if v := slices.Min(j.Project(e)); v > best+1e-9 {
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
				for i, x := range j.Project(d) {
					total[i] += x
				}
			}
			if slices.Min(total) < -1e-12 {
				t.Errorf("%s seed %d: %v", name, seed, total)
			}
		}
	}
}

func allFinite(x []float64) bool {
	return !slices.ContainsFunc(x, func(v float64) bool { return !finite(v) })
}
