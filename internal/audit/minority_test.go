package audit

import (
	"strings"
	"testing"

	"concord/internal/stats"
)

// The remedy control takes as many languages as divide the rows of a step, says so where
// none do, and passes where one method gains five standard deviations in the worst language.
func TestRemedyControl(t *testing.T) {
	for rows, want := range map[int]int{1: 0, 2: 0, 3: 3, 4: 4, 6: 6, 11: 0, 16: 8, 20: 5, 64: 8} {
		if got := against(rows); got != want {
			t.Errorf("%d rows: %d languages, want %d", rows, got, want)
		}
	}
	for gain, pass := range map[float64]bool{0.01: false, 0.5: true, -0.5: false} {
		a := &audit{lr: 1, results: map[string]*Result{}, controls: map[string]*control{remedial: {langs: []string{"x", "y"}}}}
		for i, noise := range []float64{-0.01, 0, 0.01} {
			put := func(arm string, worst float64) {
				s := a.tuned(arm, i)
				a.results[s.Slug()] = &Result{Spec: s, Bits: map[string]float64{"x": 0.1, "y": worst}}
			}
			put(armMixture, 1.5)
			for _, r := range resolving {
				put(r.name, 1.5+noise)
			}
			put(resolving[1].name, 1.5-gain+noise)
		}
		c := a.remedyControl()
		if c.Pass == nil || *c.Pass != pass || !strings.Contains(c.Text, stats.Signed(-gain, 3)) {
			t.Errorf("a gain of %v: %v, %s", gain, c.Pass, c.Text)
		}
		lost := a.results[a.tuned(resolving[0].name, 2).Slug()]
		lost.Error = "no more memory\n  fix: less"
		told := "; " + resolving[0].name + " under seed 3 failed: no more memory"
		if c := a.remedyControl(); c.Pass != nil || !strings.HasSuffix(c.Text, told) {
			t.Errorf("a run that failed: %+v", c)
		}
		delete(a.results, a.tuned(resolving[0].name, 2).Slug())
		if c := a.remedyControl(); c.Pass != nil || !strings.Contains(c.Text, "2 of 3 seeds") {
			t.Errorf("not finished: %+v", c)
		}
	}
}

// The remedy control's data is aligned, also where the run file draws rows independently.
func TestRemedyControlOfIndependentDraws(t *testing.T) {
	run := loaded(t, truths[0].write(t, 1), "data.mixing=iid")
	a := &audit{base: run, out: t.TempDir(), langs: []string{"none of these"}}
	if err := a.makeControls(); err != nil {
		t.Fatal(err)
	}
	if c := a.controls[remedial]; c == nil {
		t.Fatalf("not made of %d rows", run.Batch.Rows)
	} else if err := c.base.Validate(); err != nil {
		t.Error(err)
	}
}
