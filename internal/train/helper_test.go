package train

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"concord/bucket"
	"concord/internal/checkpoint"
	"concord/internal/config"
	"concord/internal/train/traintest"
)

// load reads a run file with overrides.
func load(t testing.TB, path string, overrides ...string) *config.Config {
	t.Helper()
	cfg, err := config.Load(path, overrides)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// tiny is the fixture's run with overrides.
func tiny(t testing.TB, overrides ...string) *config.Config {
	t.Helper()
	traintest.RequireAdapter(t)
	return load(t, traintest.Run(t, nil), overrides...)
}

// open is Open, closed with the test.
func open(t testing.TB, cfg *config.Config) *Trainer {
	t.Helper()
	tr, err := Open(cfg, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tr.Close)
	return tr
}

// steps takes n steps and returns the losses.
func steps(t testing.TB, tr *Trainer, n int) []float64 {
	t.Helper()
	var out []float64
	for range n {
		r, err := tr.Step()
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, float64(r.Loss))
	}
	return out
}

// values reads a state of every parameter, in the layout's own order of names.
func values(t testing.TB, tr *Trainer, s bucket.State) []float32 {
	t.Helper()
	var out []float32
	for _, p := range params(tr.corpus.model) {
		v, err := tr.store.Read(s, p.Name)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, v...)
	}
	return out
}

// stopper is a screen that cancels when a line with its text appears.
type stopper struct {
	bytes.Buffer
	at     string
	cancel context.CancelFunc
}

func (s *stopper) Write(p []byte) (int, error) {
	if s.at != "" && strings.Contains(string(p), s.at) {
		s.cancel()
	}
	return s.Buffer.Write(p)
}

// until runs f with a screen that interrupts it when text is printed ("" never)
// and returns what was printed.
func until(text string, f func(context.Context, UI) error) (string, error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	s := &stopper{at: text, cancel: cancel}
	err := f(ctx, UI{Out: s, Warn: &s.Buffer})
	return s.String(), err
}

// outcome is everything of a finished run that must not depend on how often it
// was interrupted.
type outcome struct {
	files   map[string]string // the model's and the last checkpoint's files
	metrics []string          // steps and evaluations without their times
}

// outcomeOf reads the run in dir.
func outcomeOf(t testing.TB, dir string) outcome {
	t.Helper()
	o := outcome{files: map[string]string{}}
	last, _, skipped, err := checkpoint.Latest(filepath.Join(dir, checkpointFolder))
	if err != nil || len(skipped) > 0 {
		t.Fatalf("last checkpoint: %v %v", err, skipped)
	}
	for _, p := range []string{filepath.Join(dir, modelFolder, "model.safetensors"), filepath.Join(dir, modelFolder, "config.json"), filepath.Join(last, tensorsFile)} {
		b, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		rel, _ := filepath.Rel(dir, p)
		o.files[rel] = string(b)
	}
	for _, r := range records(t, dir) {
		if r["kind"] == "step" || r["kind"] == "eval" {
			delete(r, "seconds")
			b, _ := json.Marshal(r) // keys in order
			o.metrics = append(o.metrics, string(b))
		}
	}
	return o
}

// records reads a run's metrics.
func records(t testing.TB, dir string) []map[string]any {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, metricsFile))
	if err != nil {
		t.Fatal(err)
	}
	var out []map[string]any
	for line := range bytes.Lines(b) {
		var r map[string]any
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatalf("%s: %v in %q", metricsFile, err, line)
		}
		out = append(out, r)
	}
	return out
}

// differ says how two outcomes differ, "" if they do not.
func (o outcome) differ(p outcome) string {
	for name, b := range o.files {
		if other, ok := p.files[name]; !ok || other != b {
			return fmt.Sprintf("%s differs (%d and %d bytes)", name, len(b), len(other))
		}
	}
	if len(o.files) != len(p.files) {
		return "other files"
	}
	for i := range max(len(o.metrics), len(p.metrics)) {
		if i >= len(o.metrics) || i >= len(p.metrics) || o.metrics[i] != p.metrics[i] {
			return fmt.Sprintf("metrics differ in record %d:\n%s\n%s", i+1, at(o.metrics, i), at(p.metrics, i))
		}
	}
	return ""
}

func at(s []string, i int) string {
	if i < len(s) {
		return s[i]
	}
	return "(none)"
}
