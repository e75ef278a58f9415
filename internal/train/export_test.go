package train

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"concord/internal/config"
	"concord/internal/infer"
	"concord/internal/rundir"
)

// The model of every checkpoint can be had: of a run that was stopped, and the last
// one's is the run's own final model, to the bit.
func TestExport(t *testing.T) {
	cfg := tiny(t, "schedule.steps=4", "checkpoint.every=1", "checkpoint.keep=9", "eval.every=1")
	dir := cfg.OutDir()
	if _, err := until("step 2/", running(cfg)); !errors.Is(err, ErrInterrupted) || !strings.Contains(err.Error(), "concord export "+dir) {
		t.Fatal(err)
	}
	_, err := Evaluate(context.Background(), cfg, dir, UI{Out: io.Discard})
	if !errors.Is(err, ErrData) || !strings.Contains(err.Error(), "concord export "+dir) {
		t.Errorf("the model of a stopped run: %v", err)
	}
	_, err = infer.Generate(filepath.Join(dir, rundir.CheckpointFolder, "step-00000002"),
		infer.Generation{Prompt: "A", MaxTokens: 1, TopP: 1}, DeviceOptions(cfg.Device, io.Discard))
	if !errors.Is(err, ErrData) || !strings.Contains(err.Error(), "concord export "+dir+" --checkpoint 2") {
		t.Errorf("the model of a checkpoint: %v", err)
	}
	first, err := Export{}.Write(dir)
	if err != nil || first.Step != 2 || first.Model != filepath.Join(dir, "model-step-2") {
		t.Fatalf("%+v, %v", first, err)
	}
	stopped, err := Evaluate(context.Background(), cfg, first.Model, UI{Out: io.Discard})
	if err != nil || len(stopped.Rows) == 0 {
		t.Fatalf("the exported model cannot be measured: %v", err)
	}
	if _, err := (Export{}).Write(dir); !errors.Is(err, ErrData) || !strings.Contains(err.Error(), "--out") {
		t.Errorf("written twice: %v", err)
	}
	sum, err := Resume(context.Background(), dir, nil, UI{Out: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	if sum.After == nil || stopped.Rows[0].NLL == sum.After.Rows[0].NLL {
		t.Error("the model of step 2 measures as that of step 4")
	}
	out := filepath.Join(t.TempDir(), "new", "m")
	for _, which := range []string{"last", "4"} {
		os.RemoveAll(out)
		if _, err := (Export{Checkpoint: which, Out: out}).Write(dir); err != nil {
			t.Fatal(err)
		}
		for _, f := range []string{"model.safetensors", "config.json", "tokenizer.json"} {
			a, err1 := os.ReadFile(filepath.Join(out, f))
			b, err2 := os.ReadFile(filepath.Join(dir, rundir.ModelFolder, f))
			if err1 != nil || err2 != nil || string(a) != string(b) {
				t.Errorf("%s: %s differs from the run's: %v %v", which, f, err1, err2)
			}
		}
	}
	os.RemoveAll(out)
	if best, err := (Export{Checkpoint: "best", Out: out, DType: "bf16"}).Write(dir); err != nil || best.DType != "bfloat16" {
		t.Errorf("%+v, %v", best, err)
	}
	conf := (*config.Error)(nil)
	for which, want := range map[string]string{"7": "of step 7: the newest checkpoint.keep are kept, and the best\n  fix: --checkpoint with " +
		"one of the steps that are there: 1, 2, 3, 4", "newest": "is not best, last or a step"} {
		_, err := (Export{Checkpoint: which, Out: out + which}).Write(dir)
		if err == nil || !errors.Is(err, ErrData) && !errors.As(err, &conf) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", which, err)
		}
	}
	left, _ := filepath.Glob(filepath.Join(filepath.Dir(out), ".export-*"))
	if len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// The best checkpoint is the last one where its evaluation, at the end of the run, is the best.
func TestExportOfTheBest(t *testing.T) {
	cfg := tiny(t, "schedule.steps=3", "eval.every=2")
	sum, err := Run(context.Background(), cfg, UI{Out: io.Discard})
	if err != nil || sum.End.Best != "" {
		t.Fatalf("%v; the last model is not the best one: the fixture does not test this", err)
	}
	if best, err := (Export{Checkpoint: "best"}).Write(cfg.OutDir()); err != nil || best.Step != 3 {
		t.Errorf("%+v, %v", best, err)
	}
}

// A run that is going gives its last checkpoint away too, and nothing of it changes.
func TestExportOfARunThatIsGoing(t *testing.T) {
	cfg := tiny(t, "schedule.steps=4", "checkpoint.every=1", "eval.every=0")
	var exported Exported
	var err error
	_, runErr := until("", func(ctx context.Context, ui UI) error {
		ui.Out = writerFunc(func(p []byte) (int, error) {
			if strings.Contains(string(p), "step 3/") {
				exported, err = Export{}.Write(cfg.OutDir())
			}
			return len(p), nil
		})
		_, err := Run(ctx, cfg, ui)
		return err
	})
	if runErr != nil || err != nil || exported.Step != 2 {
		t.Errorf("run: %v; export: %+v, %v", runErr, exported, err)
	}
	none := tiny(t, "schedule.steps=1", "checkpoint.every=0", "eval.first=false", "eval.last=false", "eval.every=0")
	if _, err := Run(context.Background(), none, UI{Out: io.Discard}); err != nil {
		t.Fatal(err)
	}
	if _, err := (Export{Checkpoint: "best"}).Write(none.OutDir()); !errors.Is(err, ErrData) ||
		!strings.Contains(err.Error(), "--checkpoint last") {
		t.Errorf("no best: %v", err)
	}
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
