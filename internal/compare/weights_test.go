package compare

import (
	"math"
	"slices"
	"testing"

	"concord/internal/stats"
)

func TestWeights(t *testing.T) {
	f := facts{langs: []string{"es", "sw"}, tokens: map[string]int{"es": 400, "sw": 100}, base: map[string]float64{"es": 2, "sw": 4}, seed: 1}
	for _, c := range []struct {
		rule   Rule
		es, sw float64
	}{
		{Rule{Kind: byTokens, Value: 1}, 400, 100},
		{Rule{Kind: byTokens, Value: 2}, 20, 10},
		{Rule{Kind: byDifficulty, Value: 1}, 2, 4},
		{Rule{Kind: byDifficulty, Value: -1}, 0.5, 0.25},
		{Rule{Kind: favour, Value: 2, Lang: "sw", Index: 2}, 1, 2},
	} {
		w, err := c.rule.weights(f)
		if err != nil || math.Abs(w["es"]-c.es) > 1e-12 || math.Abs(w["sw"]-c.sw) > 1e-12 || len(w) != 2 {
			t.Errorf("%v: %v %v", c.rule, w, err)
		}
	}
	f.base = nil
	if _, err := (Rule{Kind: byDifficulty, Value: 1}).weights(f); err == nil {
		t.Error("difficulty without a measurement of the base model")
	}
}

// A smaller budget tries the beginning of what a larger one tries.
func TestSweep(t *testing.T) {
	langs := []string{"es", "sw", "yo"}
	if n := len(sweep(langs, 0)); n != 5+3 {
		t.Errorf("%d rules", n)
	}
	long := sweep(langs, 20)
	for n := 1; n <= 20; n++ {
		if s := sweep(langs, n); len(s) != n || !slices.Equal(s, long[:n]) {
			t.Errorf("budget %d: %v", n, s)
		}
	}
	if r := long[19]; r.Kind != random || r.Index != 12 {
		t.Errorf("the last is %+v", r)
	}
}

// Random weights are log-normal with the documented spread, and never change:
// a comparison may be extended by another build.
func TestRandomWeights(t *testing.T) {
	var logs []float64
	for i := range 4000 {
		logs = append(logs, normal(3, uint64(i/40+1), uint64(i%40)))
	}
	mean, sd := stats.MeanSD(logs)
	if math.Abs(mean) > 0.06 || math.Abs(sd-1) > 0.05 {
		t.Errorf("mean %v, deviation %v", mean, sd)
	}
	for i, want := range []float64{0.484662232246079, -0.123812216160722, -0.00402536942833475} {
		if v := normal(1, 2, uint64(i)); math.Abs(v-want) > 1e-12 {
			t.Errorf("normal(1, 2, %d) = %.15g, want %.15g", i, v, want)
		}
	}
}
