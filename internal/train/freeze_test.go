package train

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"concord/bucket"
	"concord/internal/config"
	"concord/internal/device"
	"concord/internal/train/traintest"
)

// weightsOf are all parameters, frozen ones included.
func weightsOf(t *testing.T, tr *Trainer) map[string][]float32 {
	t.Helper()
	out := map[string][]float32{}
	for _, p := range device.Params(tr.Arch) {
		v, err := tr.Store.Read(bucket.Weight, p.Name)
		if err != nil {
			t.Fatal(err)
		}
		out[p.Name] = v
	}
	return out
}

// What is frozen stays as the base model has it, everything else moves, and it
// takes no memory for gradients; resume_test.go resumes such a run.
func TestFreeze(t *testing.T) {
	all := open(t, tiny(t))
	gradients := all.Engine.Dev.Memory().Current
	for _, patterns := range [][]string{{"*embed*"}, {"*norm*", "*q_proj*"}, {"model.layers.0.*", "*embed*"}} {
		cfg := tiny(t)
		cfg.Model.Freeze = patterns
		tr := open(t, cfg)
		if less := tr.Engine.Dev.Memory().Current; less >= gradients {
			t.Errorf("%q: %d bytes on the device, %d with nothing frozen", patterns, less, gradients)
		}
		before := weightsOf(t, tr)
		steps(t, tr, 2)
		for name, v := range weightsOf(t, tr) {
			if frozen := cfg.Model.Frozen(name); frozen != slices.Equal(v, before[name]) {
				t.Errorf("%q: %s, frozen %v: did not change %v", patterns, name, frozen, slices.Equal(v, before[name]))
			}
		}
	}
}

func TestFreezeRefuses(t *testing.T) {
	traintest.RequireAdapter(t)
	for pattern, want := range map[string]string{"*lora*": "fits none", "*": "nothing is left to train"} {
		cfg := load(t, traintest.Run(t, nil))
		cfg.Model.Freeze = []string{pattern}
		var e *config.Error
		if _, err := Open(cfg, os.Stderr); !errors.As(err, &e) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", pattern, err, want)
		}
	}
	path := traintest.Run(t, nil)
	if _, err := config.Load(path, []string{`model.freeze=["[x"]`}); err == nil || !strings.Contains(err.Error(), "not a pattern") {
		t.Errorf("a broken pattern: %v", err)
	}
}
