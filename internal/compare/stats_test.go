package compare

import (
	"math"
	"testing"

	"concord/internal/stats"
)

func near(a, b, tol float64) bool { return math.Abs(a-b) <= tol }

func TestInterpolate(t *testing.T) {
	points := [][2]float64{{3, 5}, {1, 1}, {2, 2}}
	for x, want := range map[float64]float64{1: 1, 1.5: 1.5, 2.5: 3.5, 3: 5} {
		if got := interpolate(points, x); got != want {
			t.Errorf("at %v: %v, want %v", x, got, want)
		}
	}
	if !math.IsNaN(interpolate(points, 3.1)) || !math.IsNaN(interpolate(nil, 1)) {
		t.Error("beyond the points")
	}
}

// TestExampleVariance: by hand for two languages, one of which differs from example to
// example; and against a bootstrap over examples.
func TestExampleVariance(t *testing.T) {
	result := func(es, de []float64) Result {
		r := made(plain, 1, 2, 2, 4)
		r.Test = []Score{{Lang: "es", Seen: true}, {Lang: "de", Seen: true}, {Lang: "pt"}}
		r.Docs = map[string][]Doc{}
		for l, x := range map[string][]float64{"es": es, "de": de} {
			for i, v := range x {
				r.Docs[l] = append(r.Docs[l], Doc{NLL: v * math.Ln2, Bytes: 10 + i%3})
			}
		}
		return r
	}
	n := 60
	a, b, same := make([]float64, n), make([]float64, n), make([]float64, n)
	for i := range a {
		a[i], same[i] = 30+3*normal(1, 2, uint64(i)), 25
		b[i] = a[i] - 2 + normal(3, 4, uint64(i))
	}
	x, y := []Result{result(a, same)}, []Result{result(b, same)}
	got := exampleVariance(x, y, true, "")
	diff, bytes := exampleDifferences(x, y, "es")
	var means []float64
	for k := range uint64(4000) {
		sum, all := 0.0, 0.0
		for i := range n {
			j := int(uint64(float64(n)*(0.5+0.5*math.Erf(normal(9, k+1, uint64(i))/math.Sqrt2)))) % n
			sum, all = sum+diff[j], all+bytes[j]
		}
		means = append(means, sum/all/2) // mean of two languages, the other of which does not differ
	}
	_, sd := stats.MeanSD(means)
	if math.Abs(math.Sqrt(got)/sd-1) > 0.06 {
		t.Errorf("standard error %g, by bootstrap %g", math.Sqrt(got), sd)
	}
	if v := exampleVariance(x, y, true, "de"); v > 1e-25 {
		t.Errorf("of a language without differences: %g", v)
	}
	if v := exampleVariance([]Result{made(plain, 1, 2, 2, 4)}, y, true, ""); v != 0 {
		t.Errorf("without examples: %g", v)
	}
	wide := stats.Together([][]float64{{0.01, 0.02, 0.03}}, []float64{0.01})[0]
	if narrow := stats.Together([][]float64{{0.01, 0.02, 0.03}}, nil)[0]; !(wide.Hi-wide.Lo > narrow.Hi-narrow.Lo) {
		t.Errorf("%v, %v", wide, narrow)
	}
}
