package stats

import (
	"math"
	"math/rand/v2"
	"testing"
)

func near(a, b, tol float64) bool { return math.Abs(a-b) <= tol }

// Student's table: Abramowitz and Stegun 26.10.
func TestQuantile(t *testing.T) {
	for _, c := range []struct{ p, n, want float64 }{
		{0.975, 1, 12.706}, {0.975, 2, 4.303}, {0.975, 4, 2.776}, {0.995, 2, 9.925}, {0.95, 9, 1.833}, {0.9975, 3, 7.453},
	} {
		if got := tQuantile(c.p, c.n); !near(got, c.want, 6e-4) {
			t.Errorf("t(%v; %v) = %v, want %v", c.p, c.n, got, c.want)
		}
	}
}

// By hand: differences 0.1, 0.2, 0.6; mean 0.3; squares 0.04 + 0.01 + 0.09 =
// 0.14; deviation √0.07 = 0.264575; half width 4.302653 · 0.264575 / √3.
func TestPaired(t *testing.T) {
	d := Paired([]float64{1.1, 2.2, 3.6}, []float64{1, 2, 3}, 0.95)
	half := 4.302653 * 0.264575 / 1.7320508
	if d.N != 3 || !near(float64(d.Mean), 0.3, 1e-12) || !near(float64(d.Lo), 0.3-half, 1e-5) || !near(float64(d.Hi), 0.3+half, 1e-5) {
		t.Errorf("%+v", d)
	}
	if one := Paired([]float64{2}, []float64{1}, 0.95); one.Mean != 1 || !math.IsNaN(float64(one.Lo)) || one.String() != "+1.0000" {
		t.Errorf("of one: %v", one)
	}
	if nothing := Paired(nil, nil, 0.95); nothing.N != 0 || nothing.String() != None {
		t.Errorf("of nothing: %v", nothing)
	}
	if same := Paired([]float64{1, 2}, []float64{1, 2}, 0.95); same.Lo != 0 || same.Hi != 0 {
		t.Errorf("of itself: %v", same)
	}
}

// A difference counts when its interval leaves out zero and it is not tiny.
func TestCounts(t *testing.T) {
	for _, c := range []struct {
		d             Difference
		better, worse bool
	}{
		{Difference{-0.01, -0.02, -0.001, 3, 0}, true, false}, {Difference{0.01, 0.001, 0.02, 3, 0}, false, true}, {Difference{-0.01, -0.03, 0.01, 3, 0}, false, false},
		{Difference{-0.0004, -0.0005, -0.0003, 3, 0}, false, false}, {Difference{0.0004, 0.0003, 0.0005, 3, 0}, false, false}, {Paired(nil, nil, 0.95), false, false},
	} {
		if c.d.Better() != c.better || c.d.Worse() != c.worse {
			t.Errorf("%v: better %v, worse %v", c.d, c.d.Better(), c.d.Worse())
		}
	}
}

func TestSpread(t *testing.T) {
	if s := NewSpread([]float64{2, 4, 4, 6}); s.Mean != 4 || !near(float64(s.SD), math.Sqrt(8.0/3), 1e-12) || s.String() != "4.0000 ± 1.6330" {
		t.Errorf("%v", s)
	}
	if s := NewSpread([]float64{2}); s.Mean != 2 || !math.IsNaN(float64(s.SD)) || s.String() != "2.0000" {
		t.Errorf("%v", s)
	}
	if s := NewSpread(nil); !math.IsNaN(float64(s.Mean)) || s.String() != None {
		t.Errorf("%v", s)
	}
	if m := Median([]float64{5, 1, 3, 9}); m != 3 {
		t.Errorf("median %v", m)
	}
}

// TestTrigamma: ψ'(1) = π²/6, ψ'(1/2) = π²/2, and the inverse.
func TestTrigamma(t *testing.T) {
	for x, want := range map[float64]float64{1: math.Pi * math.Pi / 6, 0.5: math.Pi * math.Pi / 2, 2: math.Pi*math.Pi/6 - 1} {
		if got := trigamma(x); !near(got, want, 1e-12) {
			t.Errorf("ψ'(%v) = %v, want %v", x, got, want)
		}
		if got := inverseTrigamma(want); !near(got, x, 1e-9) {
			t.Errorf("of %v: %v, want %v", want, got, x)
		}
	}
}

// samples draws n differences of each given deviation.
func samples(seed uint64, n int, deviations ...float64) (out [][]float64) {
	k := uint64(0)
	for _, sd := range deviations {
		x := make([]float64, n)
		for i := range x {
			k++
			x[i] = sd * normal(seed, k)
		}
		out = append(out, x)
	}
	return out
}

// TestModerated: deviations that are alike are drawn together; one that is far from the
// others keeps its own.
func TestModerated(t *testing.T) {
	raw, drawn := 0.0, 0.0 // mean squared error of the logarithm
	for seed := range uint64(50) {
		x := samples(seed, 3, 1, 1, 1, 1, 1, 1, 1, 1)
		sd, degrees := Moderated(x)
		for i := range sd {
			_, own := MeanSD(x[i])
			raw += math.Pow(math.Log(own), 2) / 400
			drawn += math.Pow(math.Log(sd[i]), 2) / 400
			if degrees[i] < 2 || degrees[i] > 16 {
				t.Errorf("%v degrees of freedom", degrees[i])
			}
		}
	}
	if drawn > 0.4*raw {
		t.Errorf("error of log deviation %.3f, %.3f before", drawn, raw)
	}
	sd, _ := Moderated(samples(2, 12, 1, 1, 1, 100))
	if !(sd[3] > 40) || sd[0] > 3 {
		t.Errorf("one far from the others: %v", sd)
	}
	sd, degrees := Moderated([][]float64{{1, 2, 4}})
	if _, own := MeanSD([]float64{1, 2, 4}); sd[0] != own || degrees[0] != 2 {
		t.Errorf("alone: %v, %v", sd, degrees)
	}
}

// TestTogetherCovers holds what the intervals promise: of many comparisons without any
// true difference about one in twenty has an interval that leaves out zero, in any of its
// rows, and a true difference as large as the detectable one is found in four of five.
func TestTogetherCovers(t *testing.T) {
	const trials, rows, seeds = 6000, 5, 4
	wrong, found := 0, 0
	for trial := range trials {
		x := samples(uint64(trial)+10, seeds, 1, 1, 1.5, 0.7, 1, 1) // the last is the reference's own noise
		var d [][]float64
		for i := range rows {
			d = append(d, Minus(x[i], x[rows]))
		}
		any := false
		for _, r := range Together(d, nil) {
			any = any || r.Lo > 0 || r.Hi < 0
		}
		if any {
			wrong++
		}
		effect := float64(Together(d, nil)[0].Detectable)
		for i := range d[0] {
			d[0][i] += effect
		}
		if Together(d, nil)[0].Lo > 0 {
			found++
		}
	}
	if rate := float64(wrong) / trials; rate > 0.075 {
		t.Errorf("a difference in %.1f %% of the comparisons without one", 100*rate)
	}
	if rate := float64(found) / trials; rate < 0.78 || rate > 0.87 {
		t.Errorf("the detectable difference was found in %.1f %%", 100*rate)
	}
}

// TestEquivalent: an interval within the margin is equivalence; a wide one is not.
func TestEquivalent(t *testing.T) {
	if d := (Difference{0.001, -0.002, 0.004, 3, 0}); !d.Equivalent(0.005) || d.Equivalent(0.003) {
		t.Error("margin")
	}
	if d := Paired([]float64{1}, []float64{1}, 0.95); d.Equivalent(0.005) {
		t.Error("of one seed")
	}
}

// normal is a standard normal number, a function of its arguments alone.
func normal(seed, k uint64) float64 { return rand.New(rand.NewPCG(seed, k)).NormFloat64() }
