package train

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"concord/bucket"
	"concord/internal/config"
	"concord/internal/device"
	"concord/internal/rundir"
	"concord/internal/safetensors"
)

// The model of a checkpoint without the frozen weights has them from the base model, a
// folder or a GGUF file; a trainer that goes on from the checkpoint has them too, as one
// of equal machines that start again.
func TestCheckpointsWithoutFrozenWeights(t *testing.T) {
	run, file := ggufRun(t)
	for name, overrides := range map[string][]string{
		"folder":  {`model.freeze=["*embed*", "*layers.0.*"]`},
		"gguf":    {`model.freeze=["*embed*"]`, "model.path=" + filepath.Base(file)},
		"adapter": {"adapter.kind=lora", "adapter.rank=2"},
	} {
		cfg := load(t, run, append(overrides, "run.name="+name, "schedule.steps=1", "eval.first=false", "eval.last=false")...)
		sum, err := Run(t.Context(), cfg, UI{Out: io.Discard})
		if err != nil {
			t.Fatal(name, err)
		}
		if cfg.Adapted() {
			startsWithBase(t, cfg)
			continue
		}
		out, err := Export{}.Write(sum.Dir)
		if err != nil {
			t.Fatal(name, err)
		}
		a, err1 := os.ReadFile(filepath.Join(out.Model, safetensors.SingleFile))
		b, err2 := os.ReadFile(filepath.Join(sum.Dir, rundir.ModelFolder, safetensors.SingleFile))
		if err := errors.Join(err1, err2); err != nil || !bytes.Equal(a, b) {
			t.Errorf("%s: the model of the last checkpoint is not the run's: %v", name, err)
		}
		startsWithBase(t, cfg)
	}
}

// startsWithBase checks that a trainer which goes on from the newest checkpoint has the
// weights that are not trained from the base model.
func startsWithBase(t *testing.T, cfg *config.Config) {
	t.Helper()
	want := weightsOf(t, open(t, cfg))
	c, err := OpenCorpus(cfg)
	if err != nil {
		t.Fatal(err)
	}
	tr, err := newTrainer(cfg, c, nil, io.Discard, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tr.Close)
	if _, err := tr.sameStart(UI{Out: io.Discard}); err != nil {
		t.Fatal(err)
	}
	got := weightsOf(t, tr)
	for _, p := range device.Params(tr.Arch) {
		if same := slices.Equal(got[p.Name], want[p.Name]); frozen(cfg, p.Spec) && !same {
			t.Errorf("%s: %s, which is not trained, is not the base model's", cfg.Run.Name, p.Name)
		}
	}
}

// A run whose checkpoints have the frozen weights, as they once had, goes on with a base
// model of the same ones only: later checkpoints are without.
func TestOldCheckpointOfAnotherBase(t *testing.T) {
	cfg := tiny(t)
	cfg.Model.Freeze = []string{"*embed*"}
	tr := open(t, cfg)
	of := weightsOf(t, tr)
	for _, other := range []bool{false, true} {
		var all []safetensors.Entry
		for _, p := range device.Params(tr.Arch) {
			v := slices.Clone(of[p.Name])
			if other && frozen(cfg, p.Spec) || !frozen(cfg, p.Spec) {
				v[len(v)-1]++
			}
			all = append(all, safetensors.Entry{Name: string(bucket.Weight) + "/" + p.Name, DType: safetensors.F32, Shape: []int{p.R, p.C},
				Data: func() ([]float32, error) { return v, nil }})
		}
		dir := t.TempDir()
		var b bytes.Buffer
		if err := errors.Join(safetensors.Encode(&b, all, nil), os.WriteFile(filepath.Join(dir, tensorsFile), b.Bytes(), 0o600)); err != nil {
			t.Fatal(err)
		}
		err := tr.sameKept(dir)
		if refused := errors.Is(err, ErrData) && strings.Contains(err.Error(), "have changed"); refused != other {
			t.Errorf("frozen weights of another base %v: %v", other, err)
		}
	}
}
