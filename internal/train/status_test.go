package train

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"concord/internal/fault"
	"concord/internal/rundir"
	"concord/internal/train/traintest"
)

// The status of a run on one machine, too: while it is going, stopped, finished.
func TestStatusOf(t *testing.T) {
	cfg := tiny(t, "schedule.steps=0", "schedule.epochs=3", "eval.every=1")
	dir := cfg.OutDir()
	plan, err := Check(cfg)
	if err != nil {
		t.Fatal(err)
	}
	going := Status{}
	_, err = until("step 3/", func(ctx context.Context, ui UI) error {
		inner := ui.Out
		ui.Out = writerFunc(func(p []byte) (int, error) {
			if strings.Contains(string(p), "step 2/") {
				going, _ = StatusOf(dir)
			}
			return inner.Write(p)
		})
		_, err := Run(ctx, cfg, ui)
		return err
	})
	if !errors.Is(err, ErrInterrupted) {
		t.Fatal(err)
	}
	if going.State != "going" || going.Step != 2 || going.Steps != plan.Steps || !(going.StepTime > 0) || !(going.Left > 0) {
		t.Errorf("while it is going: %+v", going)
	}
	stopped, err := StatusOf(dir)
	if err != nil || stopped.State != "stopped" || stopped.Step != 3 || stopped.Checkpoint != 3 || stopped.Model != "" ||
		!(stopped.Loss > 0) || stopped.Tokens == 0 || stopped.Method != "pcgrad" {
		t.Errorf("stopped: %+v, %v", stopped, err)
	}
	if len(plan.Warnings) == 0 || !slices.Equal(stopped.Warnings, plan.Warnings) {
		t.Errorf("warnings %q, want %q", stopped.Warnings, plan.Warnings)
	}
	sum, err := Resume(context.Background(), dir, nil, UI{Out: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	done, err := StatusOf(dir)
	if err != nil || done.State != "finished" || done.Step != plan.Steps || done.Tokens != sum.End.Tokens ||
		done.Model != filepath.Join(dir, rundir.ModelFolder) || done.Eval == nil || done.Eval.Step != plan.Steps {
		t.Errorf("finished: %+v, %v", done, err)
	}
	b, err := os.ReadFile(rundir.Metrics(dir))
	if err != nil {
		t.Fatal(err)
	}
	first, rest, _ := strings.Cut(string(b), "\n") // of a long run the header stands before the bytes that are read
	rest = rest[strings.LastIndex(strings.TrimSuffix(rest, "\n"), "\n")+1:]
	traintest.WriteFile(t, rundir.Metrics(dir), first+strings.Repeat("\n", tailBytes+1)+rest)
	if s, err := StatusOf(dir); err != nil || s.State != "finished" || !slices.Equal(s.Warnings, plan.Warnings) {
		t.Errorf("a long run: %+v, %v", s, err)
	}
	os.Remove(rundir.Metrics(dir))
	if s, err := StatusOf(dir); err != nil || s.Step != 0 {
		t.Errorf("without metrics: %+v, %v", s, err)
	}
	if _, err := StatusOf(filepath.Dir(dir)); !fault.IsUsage(err) || !strings.Contains(err.Error(), "runs here: "+dir) {
		t.Errorf("the folder of runs: %v", err)
	}
}
