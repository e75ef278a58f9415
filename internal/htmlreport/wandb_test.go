package htmlreport

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"concord/internal/report"
)

// TestWandb holds that every curve is in the log (once more in the summary), that the same
// run has the same log, in which wandb's mark of an upload stays, and that a run that has
// gone on takes the place of what was there under another id.
func TestWandb(t *testing.T) {
	run, err := Load(sample(t, 6))
	if err != nil {
		t.Fatal(err)
	}
	run.Header.Settings = []report.Setting{{Key: "optim.lr", Value: "0.25"}}
	dir := filepath.Join(t.TempDir(), "wandb")
	write := func() (string, []byte) {
		t.Helper()
		folder, err := run.WriteWandb(dir, time.Unix(1000, 0))
		if err != nil {
			t.Fatal(err)
		}
		logs, err := filepath.Glob(filepath.Join(folder, "run-*.wandb"))
		if err != nil || len(logs) != 1 {
			t.Fatalf("%v %v", logs, err)
		}
		b, err := os.ReadFile(logs[0])
		if err != nil {
			t.Fatal(err)
		}
		return logs[0], b
	}
	path, first := write()
	if err := os.WriteFile(path+".synced", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	again, b := write()
	if path != again || !bytes.Equal(first, b) {
		t.Errorf("the second call wrote %s, the first %s; or their bytes differ", again, path)
	}
	if _, err := os.Stat(path + ".synced"); err != nil {
		t.Error("the same log would be uploaded twice:", err)
	}
	if st, err := os.Stat(filepath.Join(filepath.Dir(path), "files")); err != nil || !st.IsDir() {
		t.Error("wandb sync has no folder for its files:", err)
	}
	for tag, want := range map[string]int{"train/loss": 7, "train/grad_norm": 7, "train/learning_rate": 7, "bits_per_byte/unseen": 3,
		"bits_per_byte/mean_seen": 3,
		"_step":                   8, "conflict/negative_share": 0, "optim.lr": 1, "0.25": 1} {
		if n := strings.Count(string(b), tag); n != want {
			t.Errorf("%s: %d times, want %d", tag, n, want)
		}
	}
	seen := map[string]bool{filepath.Base(path): true}
	for name, change := range map[string]func(){
		"end":        func() { run.End = nil },
		"step":       func() { run.Steps = append(run.Steps, report.Step{Step: 7}) },
		"evaluation": func() { run.Evals = append(run.Evals, report.Eval{Step: 7}, report.Eval{Step: 7}) },
	} {
		change()
		path, _ := write()
		all, err := filepath.Glob(filepath.Join(dir, "*"))
		if err != nil || len(all) != 1 || seen[filepath.Base(path)] {
			t.Errorf("after another %s: %v (%v), its log is %s", name, all, err, path)
		}
		seen[filepath.Base(path)] = true
	}
}

// TestPoints: evaluations before the first step, at a step, and of steps that have no
// record are at their places, each step once and in order.
func TestPoints(t *testing.T) {
	eval := func(step int) report.Eval {
		return report.Eval{Step: step, Rows: []report.EvalRow{{Lang: "aa", Seen: true, BitsPerByte: report.Float(step)}}}
	}
	run := &Run{Steps: []report.Step{{Step: 2, Seconds: 1}, {Step: 4, Seconds: 2}},
		Evals: []report.Eval{eval(0), eval(2), eval(3), eval(9), eval(4), eval(2)}}
	began := time.Unix(1000, 0)
	var steps []int
	for p := range run.points(began) {
		steps = append(steps, p.step)
		if got, ok := p.values["bits_per_byte/aa"]; !ok || got != float64(p.step) {
			t.Errorf("step %d has %v", p.step, p.values)
		}
		if _, trained := p.values["train/loss"]; trained != (p.step == 2 || p.step == 4) {
			t.Errorf("step %d has %v", p.step, p.values)
		}
		if want := map[int]int64{0: 0, 2: 1, 3: 1, 4: 3, 9: 3}[p.step]; p.at.Unix()-1000 != want {
			t.Errorf("step %d is %d s after the beginning, want %d", p.step, p.at.Unix()-1000, want)
		}
	}
	if want := []int{0, 2, 3, 4, 9}; !slices.Equal(steps, want) {
		t.Errorf("steps %v, want %v", steps, want)
	}
}
