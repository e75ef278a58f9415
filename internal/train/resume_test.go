package train

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"concord/internal/checkpoint"
	"concord/internal/exchange"
	"concord/internal/fault"
	"concord/internal/report"
	"concord/internal/rundir"
	"concord/internal/train/traintest"
)

// A run interrupted after every one of its steps, and once before the first,
// ends in the same bits as the run that was not: model, moments, metrics.
func TestResumeEqualsUninterrupted(t *testing.T) {
	traintest.RequireAdapter(t)
	for i, c := range []struct {
		method, scope string
		accumulate    int
		more          []string
	}{
		{"mean", "layer", 2, nil}, {"pcgrad", "tensor", 1, nil}, {"cagrad", "layer", 1, []string{"data.align=line"}}, {"cagrad", "global", 2, nil},
		{"famo", "layer", 1, []string{"data.mixing=iid"}},
		{"gradvac", "layer", 1, []string{"objective.ema=0.5", "objective.every=2", "probe.every=2"}},
		{"gradnorm", "layer", 1, []string{"objective.metric=adam", "optim.clip=0.1", "objective.normalise=loss+"}},
		{"mgda", "layer", 1, []string{"objective.noise.halves=true", "objective.noise.debias=true", "batch.rows=6", "objective.gram=ghost"}},
		{"graddrop", "tensor", 1, []string{"objective.warmup=1"}},
		{"pcgrad", "layer", 1, []string{`model.freeze=["*embed*", "*norm*"]`}},
		{"upgrad", "tensor", 1, []string{"adapter.kind=lora", "adapter.rank=4", "model.base_type=int8", `model.freeze=["*lora_A*"]`}},
		{"upgrad", "layer", 1, []string{"model.dtype=bf16", "optim.moments=int8", `model.freeze=["*layers.0.mlp*"]`}},
		{"mean", "tensor", 2, []string{"optim.moments=bf16"}},
		{"upgrad", "global", 1, []string{"optim.name=adafactor", "model.dtype=bf16", "optim.in_backward=true"}},
		{"pcgrad", "tensor", 1, []string{"optim.in_backward=true", "optim.clip=0.1", "optim.moments=int8"}},
	} {
		t.Run(fmt.Sprintf("%d-%s-%s-%d", i, c.method, c.scope, c.accumulate), func(t *testing.T) {
			overrides := []string{"objective.method=" + c.method, "objective.scope=" + c.scope,
				fmt.Sprintf("batch.accumulate=%d", c.accumulate), "batch.rows=3", "schedule.steps=4", "eval.every=2", "optim.lr=0.05",
				"schedule.warmup=0"}
			overrides = append(overrides, c.more...)
			want := uninterrupted(t, overrides...)
			got := interruptedAtEveryStep(t, 4, overrides...)
			if d := want.Differ(got); d != "" {
				t.Error(d)
			}
			if c.method == "pcgrad" && want.Conflicts() == 0 {
				t.Error("no conflict in the whole run: the method had nothing to do")
			}
		})
	}
}

func uninterrupted(t *testing.T, overrides ...string) traintest.Outcome {
	t.Helper()
	cfg := tiny(t, overrides...)
	if _, err := Run(context.Background(), cfg, UI{Out: &strings.Builder{}}); err != nil {
		t.Fatal(err)
	}
	return traintest.OutcomeOf(t, cfg.OutDir())
}

func interruptedAtEveryStep(t *testing.T, n int, overrides ...string) traintest.Outcome {
	t.Helper()
	cfg := tiny(t, overrides...)
	dir := cfg.OutDir()
	out, err := until("method", running(cfg))
	for k := 1; ; k++ {
		if err == nil {
			t.Fatalf("not interrupted before step %d:\n%s", k, out)
		}
		if !errors.Is(err, ErrInterrupted) || !strings.Contains(err.Error(), "concord resume "+dir) {
			t.Fatalf("interruption says %v", err)
		}
		text := fmt.Sprintf("step %d/", k)
		if k > n {
			text = ""
		}
		out, err = until(text, func(ctx context.Context, ui UI) error { _, err := Resume(ctx, dir, nil, ui); return err })
		if k > n {
			break
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return traintest.OutcomeOf(t, dir)
}

// The newest checkpoint is damaged: the one before is used, the user is told,
// and the end is the same.
func TestResumeFromDamage(t *testing.T) {
	want := uninterrupted(t, "schedule.steps=4", "checkpoint.every=1", "checkpoint.keep=4")
	cfg := tiny(t, "schedule.steps=4", "checkpoint.every=1", "checkpoint.keep=4")
	dir := cfg.OutDir()
	if _, err := until("step 3/", running(cfg)); !errors.Is(err, ErrInterrupted) {
		t.Fatal(err)
	}
	cut(t, filepath.Join(dir, rundir.CheckpointFolder, checkpoint.Name(3), exchange.TensorsFile), 1)
	cut(t, filepath.Join(dir, rundir.CheckpointFolder, checkpoint.Name(2), exchange.StateFile), 5)
	cut(t, rundir.Metrics(dir), 3) // the last line, too
	out, err := until("", func(ctx context.Context, ui UI) error { _, err := Resume(ctx, dir, nil, ui); return err })
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{"passed over", checkpoint.Name(3), checkpoint.Name(2), exchange.TensorsFile + " is damaged"} {
		if !strings.Contains(out, s) {
			t.Errorf("the user is not told %q:\n%s", s, out)
		}
	}
	if d := want.Differ(traintest.OutcomeOf(t, dir)); d != "" {
		t.Error(d)
	}
}

// A finished run says so, shows its table again and changes nothing; without
// its model the model is written again.
func TestResumeOfAFinishedRun(t *testing.T) {
	cfg := tiny(t, "schedule.steps=2")
	dir := cfg.OutDir()
	first, err := Run(context.Background(), cfg, UI{Out: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	want := traintest.OutcomeOf(t, dir)
	files := snapshot(t, dir)
	var again *Summary
	out, err := until("", func(ctx context.Context, ui UI) (err error) { again, err = Resume(ctx, dir, nil, ui); return err })
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{"is finished", "held-out bits per byte", "model in " + filepath.Join(dir, rundir.ModelFolder)} {
		if !strings.Contains(out, s) {
			t.Errorf("the user is not told %q:\n%s", s, out)
		}
	}
	if a, b := toJSON(t, first), toJSON(t, again); a != b {
		t.Errorf("the summary was\n%s, now\n%s", a, b)
	}
	if now := snapshot(t, dir); now != files {
		t.Errorf("files changed:\n%s\nnow\n%s", files, now)
	}
	if err := os.RemoveAll(filepath.Join(dir, rundir.ModelFolder)); err != nil {
		t.Fatal(err)
	}
	if _, err := Resume(context.Background(), dir, nil, UI{Out: io.Discard}); err != nil {
		t.Fatal(err)
	}
	if d := want.Differ(traintest.OutcomeOf(t, dir)); d != "" {
		t.Error(d)
	}
}

func toJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// snapshot lists the files below dir with size and time.
func snapshot(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		st, err := d.Info()
		if err == nil {
			fmt.Fprintf(&b, "%s %d %v\n", p, st.Size(), st.ModTime())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// What would make a resume something else than the same run is refused, and
// the run stays as it was.
func TestResumeRefuses(t *testing.T) {
	cfg := tiny(t, "schedule.steps=3")
	dir := cfg.OutDir()
	if _, err := until("step 1/", running(cfg)); !errors.Is(err, ErrInterrupted) {
		t.Fatal(err)
	}
	before := snapshot(t, dir)
	refused := func(what, dir string, overrides []string, kind error, says ...string) {
		t.Helper()
		_, err := Resume(context.Background(), dir, overrides, UI{Out: io.Discard})
		if err == nil || kind == nil && !fault.IsUsage(err) || kind != nil && !errors.Is(err, kind) {
			t.Fatalf("%s: %v", what, err)
		}
		for _, s := range says {
			if !strings.Contains(err.Error(), s) {
				t.Errorf("%s: the message lacks %q: %v", what, s, err)
			}
		}
	}
	refused("another method", dir, []string{"objective.method=mean"}, nil, "-o objective.method=mean",
		"cannot change in the middle of a run", "start a new run")
	refused("a typo", dir, []string{"checkpoint.evry=1"}, nil, "checkpoint.evry")
	refused("not a run", filepath.Dir(cfg.Path()), nil, nil, "is not the folder of a run")
	refused("the folder of runs", filepath.Dir(dir), nil, nil, "is not the folder of a run")
	refused("no folder", filepath.Join(filepath.Dir(dir), "other"), nil, nil, "runs here: "+dir)
	for _, name := range []string{"bb.jsonl", "dd.heldout.jsonl", "base/tokenizer.json"} {
		path := cfg.Resolve(name)
		was, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		traintest.WriteFile(t, path, string(was)+"\n")
		refused("changed "+name, dir, nil, ErrData, path+" has changed")
		traintest.WriteFile(t, path, string(was))
	}
	for _, name := range []string{"chat_template.jinja", "special_tokens_map.json", "generation_config.json",
		"additional_chat_templates/default.jinja"} {
		path := filepath.Join(cfg.Resolve(cfg.Model.Path), name)
		if exists(path) {
			t.Fatal(path + " is there already")
		}
		traintest.WriteFile(t, path, "{}")
		refused("a new "+name, dir, nil, ErrData, path+" was not there")
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	if now := snapshot(t, dir); now != before {
		t.Errorf("files changed:\n%s\nnow\n%s", before, now)
	}
}

// Two sources that have come to name one file are both checked: it has the content of
// one of them.
func TestResumeRefusesOneFileForTwo(t *testing.T) {
	cfg := tiny(t)
	l, err := newLock(cfg, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	now := *cfg
	now.Data.Source = slices.Clone(cfg.Data.Source)
	if err := l.check(&now, inputFiles); err != nil {
		t.Fatal(err)
	}
	now.Data.Source[1].Path = cfg.Data.Source[0].Path
	if err := l.check(&now, inputFiles); !errors.Is(err, ErrData) || !strings.Contains(err.Error(), "has changed") {
		t.Errorf("source 2 has the content of source 1: %v", err)
	}
}

// An interrupted run without a checkpoint cannot be resumed, and says so; a new
// run of the same name gets a folder of its own and mentions the old one.
func TestRunFolders(t *testing.T) {
	cfg := tiny(t, "schedule.steps=2", "eval.first=false", "eval.last=false", "eval.every=0")
	dir := cfg.OutDir()
	if _, err := until("step 1/", running(cfg)); !errors.Is(err, ErrInterrupted) {
		t.Fatal(err)
	}
	var sum *Summary
	out, err := until("", func(ctx context.Context, ui UI) (err error) { sum, err = Run(ctx, cfg, ui); return err })
	if err != nil || sum.Dir != dir+"-2" || !strings.Contains(out, "concord resume "+dir) {
		t.Errorf("%v, %+v, printed:\n%s", err, sum, out)
	}
	if sum.Before != nil || sum.After != nil {
		t.Error("an evaluation that was not asked for")
	}
	if err := os.RemoveAll(rundir.Checkpoints(dir)); err != nil {
		t.Fatal(err)
	}
	if _, err := Resume(context.Background(), dir, nil, UI{Out: io.Discard}); !errors.Is(err, ErrData) ||
		!strings.Contains(err.Error(), "start the run again") {
		t.Errorf("no checkpoint: %v", err)
	}
}

// What decides how gradients are resolved cannot change between two processes,
// by hand neither.
func TestResumeRefusesOtherObjective(t *testing.T) {
	for _, change := range [][2]string{{`"Scope": "layer"`, `"Scope": "tensor"`}, {`"Method": "pcgrad"`, `"Method": "mgda"`},
		{`"Preferences": null`, `"Preferences": {"aa": 3}`},
		{`"EMA": 0,`, `"EMA": 0.5,`}, {`"Metric": "euclidean"`, `"Metric": "adam"`}} {
		cfg := tiny(t, "objective.method=pcgrad", "schedule.steps=4")
		dir := cfg.OutDir()
		ctx, cancel := context.WithCancel(context.Background())
		watch := func(record any) {
			if s, ok := record.(report.Step); ok && s.Step == 2 {
				cancel()
			}
		}
		if _, err := Run(ctx, cfg, UI{Out: io.Discard, Watch: watch}); !errors.Is(err, ErrInterrupted) {
			t.Fatal(err)
		}
		path := filepath.Join(dir, rundir.LockFile)
		b, err := os.ReadFile(path)
		if err != nil || !strings.Contains(string(b), change[0]) {
			t.Fatalf("%s is not in the lock: %v\n%s", change[0], err, b)
		}
		if err := os.WriteFile(path, []byte(strings.Replace(string(b), change[0], change[1], 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Resume(context.Background(), dir, nil, UI{Out: io.Discard}); !errors.Is(err, ErrData) {
			t.Errorf("%s: %v", change[1], err)
		}
	}
}
