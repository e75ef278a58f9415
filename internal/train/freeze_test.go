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
	for setting, fix := range map[string]string{`model.freeze=["*embed*"]`: "freeze = []", "adapter.save=nonsense": "save = ",
		"adapter.targets=nonsense": "targets = "} {
		var e *config.Error
		cfg := load(t, traintest.Run(t, nil), "adapter.kind=lora", setting)
		if _, err := Check(cfg); !errors.As(err, &e) || !strings.Contains(e.Fix, fix) {
			t.Errorf("with an adapter, %s: error %v, want the fix %q", setting, err, fix)
		}
	}
	path := traintest.Run(t, nil)
	if _, err := config.Load(path, []string{`model.freeze=["[x"]`}); err == nil || !strings.Contains(err.Error(), "not a pattern") {
		t.Errorf("a broken pattern: %v", err)
	}
}

// A run's model, and what is exported of its checkpoint, which has no frozen weights, are
// alike: the frozen ones are the base model's to the bit, however the device holds them.
func TestFrozenExported(t *testing.T) {
	traintest.RequireAdapter(t)
	for _, settings := range [][]string{nil, {"model.dtype=bf16"}, {"model.base_type=int8"}} {
		file := traintest.Run(t, nil)
		cfg := load(t, file, append(slices.Clone(settings), `model.freeze=["*embed*", "*q_proj*"]`, "schedule.steps=1",
			"eval.first=false", "eval.last=false", "eval.every=0")...)
		if _, err := Run(t.Context(), cfg, UI{Out: io.Discard}); err != nil {
			t.Fatal(settings, err)
		}
		out := filepath.Join(t.TempDir(), "exported")
		if _, err := (Export{Out: out}).Write(cfg.OutDir()); err != nil {
			t.Fatal(settings, err)
		}
		base, model, exported := folderWeights(t, filepath.Join(filepath.Dir(file), "base")),
			folderWeights(t, filepath.Join(cfg.OutDir(), rundir.ModelFolder)), folderWeights(t, out)
		for name, v := range base {
			if frozen := cfg.Model.Frozen(name); frozen != slices.Equal(model[name], v) || !slices.Equal(exported[name], model[name]) {
				t.Errorf("%v: %s, frozen %v: as in the base model %v, exported alike %v", settings, name, frozen,
					slices.Equal(model[name], v), slices.Equal(exported[name], model[name]))
			}
		}
	}
}

func folderWeights(t *testing.T, dir string) map[string][]float32 {
	t.Helper()
	r, err := safetensors.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	out := map[string][]float32{}
	for _, name := range r.Names() {
		if out[name], err = r.ReadFloat32(name); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// Frozen weights are those of the base model's files: other machines have them from
// there, by content, and neither a state for them nor a checkpoint has them.
func TestFrozenOnTwoMachines(t *testing.T) {
	for name, settings := range map[string][]string{
		"gradients":  nil,
		"parameters": {"cluster.sync=parameters"},
		"local":      {"cluster.resolve=local"},
		"outer":      {"cluster.outer=2"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := tiny(t, slices.Concat(exact, settings, []string{"schedule.warmup=0", "batch.rows=6",
				`model.freeze=["*embed*", "*layers.0.mlp*"]`})...)
			g := newGang(t, cfg, 2)
			g.steps(2)
			first := weightsOf(t, g.all[0])
			for param, v := range weightsOf(t, g.all[1]) {
				if !slices.Equal(v, first[param]) {
					t.Errorf("%s of the machine that joined is not that of machine 1", param)
				}
			}
			for _, e := range g.all[0].machines.Replica.Entries(g.all[0].States(), g.all[0].Store) {
				if _, param, _ := strings.Cut(e.Name, "/"); cfg.Model.Frozen(param) {
					t.Errorf("%s is sent to who joins", e.Name)
				}
			}
			g.stop()
		})
	}
}

// A checkpoint that has frozen weights, as they once had, gives them.
func TestFrozenWeightsOfOldCheckpoints(t *testing.T) {
	cfg := tiny(t)
	cfg.Model.Freeze = []string{"*embed*"}
	tr := open(t, cfg)
	var all []safetensors.Entry
	for _, p := range device.Params(tr.Arch) {
		v := make([]float32, p.Size())
		for i := range v {
			v[i] = float32(i%7) / 8
		}
		all = append(all, safetensors.Entry{Name: string(bucket.Weight) + "/" + p.Name, DType: safetensors.F32, Shape: []int{p.R, p.C},
			Data: func() ([]float32, error) { return v, nil }})
	}
	path := filepath.Join(t.TempDir(), "old.safetensors")
	var b bytes.Buffer
	if err := errors.Join(safetensors.Encode(&b, all, nil), os.WriteFile(path, b.Bytes(), 0o600)); err != nil {
		t.Fatal(err)
	}
	f, err := safetensors.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := tr.Load(f, bucket.Weight); err != nil {
		t.Fatal(err)
	}
	for name, v := range weightsOf(t, tr) {
		if v[1] != 1.0/8 || v[len(v)-1] != float32((len(v)-1)%7)/8 {
			t.Errorf("%s, frozen %v, was not loaded", name, cfg.Model.Frozen(name))
		}
	}
}

// Where only the tied embedding is trained its rows lie in no memory that a backward pass still
// uses: its gradient, which is asked for at the head first, is the same by every way.
func TestFrozenButTiedEmbedding(t *testing.T) {
	for _, settings := range [][]string{{`model.freeze=["*layers*", "*norm*"]`},
		{"adapter.kind=lora", "adapter.rank=4", `adapter.targets=["v_proj"]`, "adapter.layers=[0]", "adapter.save=embed_tokens"},
		{"adapter.kind=lora", "adapter.rank=4", `adapter.targets=["embed_tokens"]`}} {
		cfg := tiny(t, append(settings, "objective.method=pcgrad", "objective.gram=rows")...)
		rows := trainedGradients(t, cfg)
		auto, ghost, halves := *cfg, *cfg, *cfg
		auto.Objective.Gram, ghost.Objective.Gram = "auto", "ghost"
		halves.Batch.Rows, halves.Batch.Accumulate = cfg.Batch.Rows/2, 2
		same(t, "auto", trainedGradients(t, &auto), rows)
		same(t, "ghost", trainedGradients(t, &ghost), rows)
		same(t, "accumulated", trainedGradients(t, &halves), rows)
	}
}
