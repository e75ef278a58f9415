package report

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

// run is the cosines of a run of three languages whose pairs have these means.
func run(steps int, means [3]float64, seed uint64) Cosines {
	r := rand.New(rand.NewPCG(seed, 1))
	var c Cosines
	drift := 0.0
	for range steps {
		drift = 0.9*drift + 0.004*r.NormFloat64() // steps follow each other closely
		s := Step{}
		for _, m := range means {
			s.Cosines = append(s.Cosines, Float(m+drift+0.02*r.NormFloat64()))
		}
		c.Add(s)
	}
	return c
}

// Half of all cosines are below 0 by chance: that is no conflict. A pair that is
// below 0 again and again is one, by name.
func TestConflictBeyondChance(t *testing.T) {
	langs := []string{"de", "sw", "zh"}
	chance := 0
	for seed := range uint64(40) {
		c := run(600, [3]float64{0, 0, 0}, seed)
		x := c.Conflict(langs)
		if x == nil || x.Steps != 600 || x.Pairs != 3 || math.Abs(float64(x.Share)-0.5) > 0.2 {
			t.Fatalf("%+v", x)
		}
		chance += len(x.Below)
	}
	if chance > 6 { // 2.5 % of 40 runs, and some for the steps' closeness
		t.Errorf("%d false conflicts in 40 runs without any", chance)
	}
	c := run(600, [3]float64{0.3, -0.08, 0.001}, 7)
	x := c.Conflict(langs)
	if len(x.Below) != 1 || x.Below[0].A != "de" || x.Below[0].B != "zh" || x.Above != 1 {
		t.Errorf("%+v", x)
	}
	if text := strings.Join(x.Text(), "\n"); !strings.Contains(text, "below 0, where they conflict") ||
		!strings.Contains(text, "beyond chance: de–zh -0.0") {
		t.Error(text)
	}
}

// A language that is absent, a run of few steps, and a run without cosines.
func TestCosinesOfLittle(t *testing.T) {
	var c Cosines
	if c.Text() != "" || c.Conflict([]string{"a", "b"}) != nil {
		t.Error("a figure of nothing")
	}
	c.Add(Step{Cosines: []Float{0.5, Float(math.NaN()), Float(math.NaN())}})
	if got := c.Text(); got != "cos +0.500" {
		t.Errorf("one step: %q", got)
	}
	x := c.Conflict([]string{"a", "b", "c"})
	if x == nil || len(x.Below) != 0 || !strings.Contains(strings.Join(x.Text(), " "), "too few steps") {
		t.Errorf("%+v", x)
	}
	if long := run(100_000, [3]float64{0.1, 0.1, 0.1}, 1); len(long.mean.sum) > blocks ||
		math.Abs(float64(long.mean.estimate(0.05).Value)-0.1) > 0.002 {
		t.Errorf("%d stretches, mean %+v", len(long.mean.sum), long.mean.estimate(0.05))
	}
}
