package train

import (
	"os"
	"testing"

	"concord/internal/report"
	"concord/internal/rundir"
)

// Leaders change, and the record has each step once: those that were committed between
// two leaders, and those on record after the step that a new leader begins with, which
// come back when it fetches the later weights.
func TestRecordAcrossLeaders(t *testing.T) {
	path := rundir.Metrics(t.TempDir())
	var first, second recentSteps
	step := func(n int, loss float64) report.Step {
		return report.Step{Kind: "step", Step: n, Loss: report.Float(loss)}
	}
	for n := 1; n <= 5; n++ {
		first.remember(step(n, 1))
		second.remember(step(n, 1))
	}
	if err := first.fillRecord(path, 3); err != nil { // and then it is killed in the middle of a line
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, append(b, `{"kind":"st`...), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	want := func(when string, loss float64, steps ...int) {
		t.Helper()
		got, _, err := stepsOnRecord(path)
		if err != nil || len(got) != len(steps) {
			t.Fatalf("%s: %v, %v", when, got, err)
		}
		for i, r := range got {
			if r.Step != steps[i] {
				t.Errorf("%s: step %d in place of %d", when, r.Step, steps[i])
			}
		}
		if last := got[len(got)-1]; float64(last.Loss) != loss {
			t.Errorf("%s: a loss of %v, not %v", when, last.Loss, loss)
		}
	}
	if err := second.fillRecord(path, 5); err != nil {
		t.Fatal(err)
	}
	want("another led", 1, 1, 2, 3, 4, 5)
	var third recentSteps // has the weights of step 2
	if err := third.recall(path, 2); err != nil {
		t.Fatal(err)
	}
	if err := trimMetrics(path, 2, nil); err != nil {
		t.Fatal(err)
	}
	want("cut", 1, 1, 2)
	if err := third.fillRecord(path, 5); err != nil {
		t.Fatal(err)
	}
	want("caught up", 1, 1, 2, 3, 4, 5)
	third.remember(step(4, 2)) // the run went back and came another way
	if err := trimMetrics(path, 3, nil); err != nil {
		t.Fatal(err)
	}
	if err := third.fillRecord(path, 5); err != nil {
		t.Fatal(err)
	}
	want("done again", 2, 1, 2, 3, 4)
}
