package compare

import (
	"math"
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
	d := paired([]float64{1.1, 2.2, 3.6}, []float64{1, 2, 3}, 0.95)
	half := 4.302653 * 0.264575 / 1.7320508
	if d.N != 3 || !near(float64(d.Mean), 0.3, 1e-12) || !near(float64(d.Lo), 0.3-half, 1e-5) || !near(float64(d.Hi), 0.3+half, 1e-5) {
		t.Errorf("%+v", d)
	}
	if one := paired([]float64{2}, []float64{1}, 0.95); one.Mean != 1 || !math.IsNaN(float64(one.Lo)) || one.String() != "+1.0000" {
		t.Errorf("of one: %v", one)
	}
	if nothing := paired(nil, nil, 0.95); nothing.N != 0 || nothing.String() != none {
		t.Errorf("of nothing: %v", nothing)
	}
	if same := paired([]float64{1, 2}, []float64{1, 2}, 0.95); same.Lo != 0 || same.Hi != 0 {
		t.Errorf("of itself: %v", same)
	}
}

// A difference counts when its interval leaves out zero and it is not tiny.
func TestCounts(t *testing.T) {
	for _, c := range []struct {
		d             Difference
		better, worse bool
	}{
		{Difference{-0.01, -0.02, -0.001, 3}, true, false}, {Difference{0.01, 0.001, 0.02, 3}, false, true}, {Difference{-0.01, -0.03, 0.01, 3}, false, false},
		{Difference{-0.0004, -0.0005, -0.0003, 3}, false, false}, {Difference{0.0004, 0.0003, 0.0005, 3}, false, false}, {paired(nil, nil, 0.95), false, false},
	} {
		if c.d.better() != c.better || c.d.worse() != c.worse {
			t.Errorf("%v: better %v, worse %v", c.d, c.d.better(), c.d.worse())
		}
	}
}

func TestSpread(t *testing.T) {
	if s := newSpread([]float64{2, 4, 4, 6}); s.Mean != 4 || !near(float64(s.SD), math.Sqrt(8.0/3), 1e-12) || s.String() != "4.0000 ± 1.6330" {
		t.Errorf("%v", s)
	}
	if s := newSpread([]float64{2}); s.Mean != 2 || !math.IsNaN(float64(s.SD)) || s.String() != "2.0000" {
		t.Errorf("%v", s)
	}
	if s := newSpread(nil); !math.IsNaN(float64(s.Mean)) || s.String() != none {
		t.Errorf("%v", s)
	}
	if m := median([]float64{5, 1, 3, 9}); m != 3 {
		t.Errorf("median %v", m)
	}
}
