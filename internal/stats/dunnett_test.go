package stats

import (
	"math"
	"testing"
)

// TestDunnett compares with Dunnett's two-sided table at 95 % (Dunnett, Biometrics 20,
// 1964); one comparison is Student's t.
func TestDunnett(t *testing.T) {
	for _, c := range []struct {
		k       int
		degrees float64
		want    float64
	}{
		{1, 10, 2.23}, {2, 10, 2.57}, {3, 10, 2.76}, {4, 10, 2.89}, {5, 10, 2.99},
		{1, 20, 2.09}, {2, 20, 2.38}, {3, 20, 2.54}, {5, 20, 2.73}, {9, 20, 2.95},
		{1, 5, 2.57}, {2, 5, 3.03}, {5, 5, 3.62},
		{1, math.Inf(1), 1.96}, {2, math.Inf(1), 2.21}, {5, math.Inf(1), 2.51},
	} {
		if got := dunnett(0.95, c.k, c.degrees); !near(got, c.want, 0.012) {
			t.Errorf("%d comparisons, %g degrees: %.3f, want %.2f", c.k, c.degrees, got, c.want)
		}
	}
	for _, n := range []float64{1, 2, 3} {
		if got, want := dunnett(0.95, 1, n), tQuantile(0.975, n); math.Abs(got/want-1) > 0.02 {
			t.Errorf("%g degrees: %.3f, Student's is %.3f", n, got, want)
		}
	}
}

// TestDetectable compares with the differences, over the standard deviation, that a paired t test at
// 5 % finds in 4 of 5 cases (power tables of the noncentral t distribution), and with the normal
// approximation where the error is known.
func TestDetectable(t *testing.T) {
	for n, want := range map[float64]float64{10: 0.996, 20: 0.660} {
		if got := detectable(tQuantile(0.975, n-1), n-1) / math.Sqrt(n); !near(got, want, 0.003) {
			t.Errorf("%g pairs: %.4f, want %.3f", n, got, want)
		}
	}
	if got := detectable(2.5, math.Inf(1)); !near(got, 2.5+0.8416, 1e-4) {
		t.Errorf("known error: %.4f", got)
	}
	if !math.IsNaN(detectable(math.NaN(), math.NaN())) {
		t.Error("of nothing")
	}
}
