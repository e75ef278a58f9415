package train

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"concord/internal/checkpoint"
	"concord/internal/config"
	"concord/internal/rundir"
	"concord/internal/train/traintest"
)

// replace changes a file of the fixture.
func replace(t *testing.T, path, old, new string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(b, []byte(old)) {
		t.Fatalf("%s holds no %q", path, old)
	}
	traintest.WriteFile(t, path, strings.ReplaceAll(string(b), old, new))
}

func cut(t *testing.T, path string, n int64) {
	t.Helper()
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, st.Size()-n); err != nil {
		t.Fatal(err)
	}
}

// Bad input: the kind decides the exit code, and the message says what, where
// and, where there is one, the fix. Nothing may be left behind.
func TestBadInput(t *testing.T) {
	traintest.RequireAdapter(t)
	for name, c := range map[string]struct {
		change    func(t *testing.T, dir string)
		overrides []string
		kind      error // nil: a configuration error
		says      []string
	}{
		"NaN weights": {func(t *testing.T, dir string) {
			traintest.Base(t, filepath.Join(dir, "base"), func(name string, v []float32) {
				if name == "model.layers.1.mlp.up_proj.weight" {
					v[7] = float32(math.NaN())
				}
			})
		}, nil, ErrData, []string{"model.layers.1.mlp.up_proj.weight", "base"}},
		"tokenizer too large": {func(t *testing.T, dir string) {
			c := filepath.Join(dir, "base", "config.json")
			replace(t, c, `"vocab_size": 258`, `"vocab_size": 200`)
			replace(t, c, `"bos_token_id": 256, "eos_token_id": 257`, `"bos_token_id": 1, "eos_token_id": 1`)
		}, nil, ErrData, []string{"ids up to 257", "200 rows"}},
		"truncated weights": {func(t *testing.T, dir string) {
			cut(t, filepath.Join(dir, "base", "model.safetensors"), 1)
		}, nil, ErrData, []string{"model.safetensors"}},
		"missing tensor": {func(t *testing.T, dir string) {
			replace(t, filepath.Join(dir, "base", "model.safetensors"), "layers.0.mlp.up_proj", "layers.0.mlp.xx_proj")
		}, nil, ErrData, []string{"model.layers.0.mlp.up_proj.weight"}},
		"no weights": {func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, "base", "model.safetensors")); err != nil {
				t.Fatal(err)
			}
		}, nil, nil, []string{"run.toml:7", "base", "safetensors"}},
		"unknown model type": {func(t *testing.T, dir string) {
			replace(t, filepath.Join(dir, "base", "config.json"), `"model_type": "llama"`, `"model_type": "mamba"`)
		}, nil, ErrData, []string{"mamba", "config.json"}},
		"wrong encoding": {func(t *testing.T, dir string) {
			traintest.WriteFile(t, filepath.Join(dir, "bb.jsonl"), traintest.Examples(1, 0, 2)+"{\"text\": \"caf\xe9\"}\n")
		}, nil, ErrData, []string{"bb.jsonl:3", "UTF-8"}},
		"not JSON": {func(t *testing.T, dir string) {
			traintest.WriteFile(t, filepath.Join(dir, "bb.jsonl"), traintest.Examples(1, 0, 2)+"{\"text\": \n")
		}, nil, ErrData, []string{"bb.jsonl:3"}},
		"empty data": {func(t *testing.T, dir string) {
			traintest.WriteFile(t, filepath.Join(dir, "cc.jsonl"), "\n")
		}, nil, ErrData, []string{"cc", "0 documents"}},
		"too little memory":     {nil, []string{"device.memory=64KB"}, ErrDevice, []string{"of 65536 used", "raise [device] memory"}},
		"no memory for a batch": {nil, []string{"device.memory=400KB", "batch.rows=512"}, ErrDevice, []string{"fix: ", "batch.rows", "device.memory"}},
		"unknown adapter":       {nil, []string{"device.adapter=\"no such adapter\""}, ErrDevice, []string{"no such adapter", "0: "}},
		"unknown method":        {nil, []string{"objective.method=pcgrd"}, nil, []string{"-o objective.method", "pcgrad"}},
		"unknown scope":         {nil, []string{"objective.scope=layers"}, nil, []string{"-o objective.scope", `"layer"`}},
		"unknown option":        {nil, []string{"objective.options.c=1"}, nil, []string{"pcgrad", "c"}},
		"sequence too long":     {nil, []string{"batch.seq_len=128"}, nil, []string{"-o batch.seq_len", "64"}},
		"file in the way": {func(t *testing.T, dir string) {
			traintest.WriteFile(t, filepath.Join(dir, "runs"), "")
		}, nil, nil, []string{"run.toml:5", "cannot make the run's folder", "fix: dir ="}},
	} {
		t.Run(name, func(t *testing.T) {
			path := traintest.Run(t, nil)
			if c.change != nil {
				c.change(t, filepath.Dir(path))
			}
			cfg, err := config.Load(path, c.overrides)
			if err == nil {
				_, err = Run(context.Background(), cfg, UI{Out: io.Discard})
			}
			var conf *config.Error
			switch {
			case err == nil:
				t.Fatal("no error")
			case c.kind == nil && !errors.As(err, &conf), c.kind != nil && !errors.Is(err, c.kind):
				t.Errorf("wrong kind of error (%T): %v", err, err)
			}
			for _, s := range c.says {
				if !strings.Contains(err.Error(), s) {
					t.Errorf("the message lacks %q: %v", s, err)
				}
			}
			if cfg != nil && exists(filepath.Join(cfg.OutDir(), rundir.LockFile)) {
				t.Error("a run was left behind")
			}
		})
	}
}

// Weights that grow without bound: the run ends with ErrDiverged, says what
// helps, and leaves its last checkpoint whole and finite.
func TestDivergence(t *testing.T) {
	for _, method := range []string{"mean", "pcgrad"} {
		cfg := tiny(t, "objective.method="+method, "optim.lr=100", "optim.weight_decay=100", "schedule.warmup=0",
			"schedule.kind=constant", "schedule.steps=30", "eval.every=0", "checkpoint.every=1")
		_, err := Run(context.Background(), cfg, UI{Out: io.Discard})
		if !errors.Is(err, ErrDiverged) || !strings.Contains(err.Error(), "fix: a lower optim.lr") {
			t.Fatalf("%s: %v, want ErrDiverged with a fix", method, err)
		}
		path, step, skipped, err2 := checkpoint.Latest(rundir.Checkpoints(cfg.OutDir()))
		if err2 != nil || len(skipped) > 0 || step < 1 || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: last checkpoint %s %v %v; message: %v", method, path, skipped, err2, err)
		}
		s, err := readState(path, cfg)
		if err != nil {
			t.Fatal(err)
		}
		tr := open(t, cfg)
		if err := tr.restore(path, s); err != nil {
			t.Fatal(err)
		}
		for _, v := range values(t, tr, "weight") {
			if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
				t.Fatalf("%s: the checkpoint of step %d is not finite", method, step)
			}
		}
		tr.Close()
	}
}

// A gradient that is not finite in every language must not pass for an update.
func TestNonFiniteGradientChangesNothing(t *testing.T) {
	for _, method := range []string{"mean", "pcgrad"} {
		tr := open(t, tiny(t, "objective.method="+method))
		steps(t, tr, 1)
		const name = "model.layers.0.mlp.down_proj.weight"
		v, err := tr.Store.Read("weight", name)
		if err != nil {
			t.Fatal(err)
		}
		v[0] = float32(math.NaN())
		if err := tr.Store.Load("weight", name, v); err != nil {
			t.Fatal(err)
		}
		before := values(t, tr, "weight")
		if _, err := tr.Step(t.Context()); !errors.Is(err, ErrDiverged) {
			t.Fatalf("%s: %v, want ErrDiverged", method, err)
		}
		for i, v := range values(t, tr, "weight") {
			if math.Float32bits(v) != math.Float32bits(before[i]) {
				t.Fatalf("%s: the step changed weight %d from %v to %v", method, i, before[i], v)
			}
		}
		tr.Close()
	}
}

// Metrics that cannot be written end the run with an error that says how to go on.
func TestMetricsErrorSurfaces(t *testing.T) {
	x := &session{Trainer: &Trainer{}, dir: "runs/x"}
	err := x.unsaved(fmt.Errorf("write metrics: %w", &fs.PathError{Op: "write", Path: "metrics.jsonl",
		Err: errors.New("no space left on device")}))
	if !errors.Is(err, ErrData) || !strings.Contains(err.Error(), "concord resume runs/x") {
		t.Error(err)
	}
	if x.unsaved(nil) != nil {
		t.Error("an error from none")
	}
}
