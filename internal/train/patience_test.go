package train

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"concord/internal/config"
	"concord/internal/report"
	"concord/internal/rundir"
)

// early are settings under which no evaluation is better than the one before the first
// step, so that a run of 8 steps ends after the third.
var early = []string{"schedule.steps=8", "optim.lr=0", "eval.every=1", "eval.patience=3", "log.every=1"}

func TestEarlyStop(t *testing.T) {
	cfg := tiny(t, early...)
	out, err := until("", running(cfg))
	if err != nil {
		t.Fatal(err)
	}
	end, ok := lastEnd(rundir.Metrics(cfg.OutDir()))
	if !ok || end.Steps != 3 || end.Of != 8 || end.Early == nil || end.Early.Stale != 3 || end.Early.Step != 0 {
		t.Errorf("the run ends with %+v", end)
	}
	if want := "ended early, after step 3 of 8 (eval.patience): 3 evaluations in a row without a lower mean"; !strings.Contains(out, want) {
		t.Errorf("not said: %q\n%s", want, out)
	}
	out, err = until("", func(ctx context.Context, ui UI) error { _, err := Resume(ctx, cfg.OutDir(), nil, ui); return err })
	if err != nil || !strings.Contains(out, "is finished") {
		t.Errorf("resumed: %v\n%s", err, out)
	}
	// more patience: it goes on
	if _, err := Resume(t.Context(), cfg.OutDir(), []string{"eval.patience=5"}, UI{Out: &strings.Builder{}}); err != nil {
		t.Fatal(err)
	}
	if end, _ := lastEnd(rundir.Metrics(cfg.OutDir())); end.Steps != 5 {
		t.Errorf("with a patience of 5 the run ends after step %d", end.Steps)
	}
}

// What is counted is part of a checkpoint.
func TestEarlyStopResumesExactly(t *testing.T) {
	want := uninterrupted(t, early...)
	if d := want.Differ(interruptedAtEveryStep(t, 2, early...)); d != "" {
		t.Error(d)
	}
}

// A run whose figures fall goes on to its last step; min_gain says how far they must.
func TestPatienceWhileItImproves(t *testing.T) {
	for gain, steps := range map[string]int{"0": 4, "100": 1} {
		cfg := tiny(t, "schedule.steps=4", "eval.every=1", "eval.patience=1", "eval.min_gain="+gain)
		sum, err := Run(t.Context(), cfg, UI{Out: &strings.Builder{}})
		if err != nil {
			t.Fatal(err)
		}
		if sum.End.Steps != steps || (sum.End.Early != nil) != (steps < 4) {
			t.Errorf("with a gain of %s the run ends after step %d: %+v", gain, sum.End.Steps, sum.End.Early)
		}
	}
}

// On many machines the first ends the run for all.
func TestEarlyStopOnManyMachines(t *testing.T) {
	cfg := tiny(t, append(append(early, exact...), "cluster.workers=2")...)
	worker := make(chan error, 1)
	joined := func(line string) {
		go func() { worker <- Work(context.Background(), WorkOptions{Join: line, Dir: t.TempDir()}, UI{}) }()
	}
	sum, err := Run(t.Context(), cfg, UI{Out: &strings.Builder{}, Joined: joined})
	if err != nil || sum.End.Steps != 3 || sum.End.Early == nil {
		t.Errorf("%v: %+v", err, sum)
	}
	if err := <-worker; err != nil {
		t.Errorf("the other machine: %v", err)
	}
}

// A machine that takes over finds what the last leader counted after its checkpoint.
func TestPatienceOfTheLastLeader(t *testing.T) {
	var lines []byte
	for step := range 4 {
		e := report.Eval{Kind: "eval", Step: step, Patience: &report.Patience{Lowest: 2, Stale: step, Of: 3}}
		if step == 3 {
			e.Patience = nil // one that a user asked for
		}
		b, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(append(lines, b...), '\n')
	}
	path := rundir.Metrics(t.TempDir())
	if err := os.WriteFile(path, lines, 0o644); err != nil {
		t.Fatal(err)
	}
	for leads, stale := range map[bool]int{true: 2, false: 1} {
		tr := &Trainer{cfg: &config.Config{Eval: config.Eval{Patience: 5}}}
		if leads {
			tr.leads = func() error { return nil }
		}
		s := state{Last: &report.Eval{Step: 1}, Patience: report.Patience{Lowest: 2, Stale: 1, Of: 3}}
		if err := tr.patience(&s, path); err != nil || s.Patience.Stale != stale || s.Patience.Of != 5 {
			t.Errorf("leads %v: %v, %+v", leads, err, s.Patience)
		}
	}
}

func TestPatienceWithoutFigures(t *testing.T) {
	cfg := tiny(t, "eval.patience=2", "eval.every=1")
	for i := range cfg.Data.Source {
		if cfg.Data.Source[i].Train {
			cfg.Data.Source[i].Heldout = nil
		}
	}
	var want *config.Error
	if _, err := Check(cfg); !errors.As(err, &want) || !strings.Contains(fmt.Sprint(err), "eval.patience") {
		t.Errorf("%v", err)
	}
}
