package train

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"

	"concord/bucket"
	"concord/internal/config"
	"concord/internal/device"
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

// alone is open of a run of many machines as one machine's.
func alone(t testing.TB, cfg *config.Config) *Trainer {
	t.Helper()
	c := *cfg
	c.Cluster.Listen = ""
	return open(t, &c)
}

// steps takes n steps and returns the losses.
func steps(t testing.TB, tr *Trainer, n int) []float64 {
	t.Helper()
	var out []float64
	for range n {
		r, err := tr.Step(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, float64(r.Loss))
	}
	return out
}

// values reads a state of every parameter that has it, in the layout's own order of names.
func values(t testing.TB, tr *Trainer, s bucket.State) []float32 {
	t.Helper()
	var out []float32
	for _, p := range device.Params(tr.Arch) {
		if p.Frozen && s != bucket.Weight {
			continue
		}
		v, err := tr.Store.Read(s, p.Name)
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

// running is a run of cfg, for until.
func running(cfg *config.Config) func(context.Context, UI) error {
	return func(ctx context.Context, ui UI) error { _, err := Run(ctx, cfg, ui); return err }
}
