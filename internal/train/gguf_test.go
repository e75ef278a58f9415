package train

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"concord/bucket"
	"concord/internal/config"
	"concord/internal/export"
	"concord/internal/gguf"
	"concord/internal/infer"
	"concord/internal/modeldir"
	"concord/internal/param"
	"concord/internal/train/traintest"
	"concord/tensor"
)

// ggufRun is the fixture's run, and one whose model.path is a file of the same model.
func ggufRun(t *testing.T) (folder, file string) {
	t.Helper()
	traintest.RequireAdapter(t)
	traintest.CacheHome(t)
	folder = traintest.Run(t, nil)
	base := filepath.Join(filepath.Dir(folder), "base")
	if _, err := (export.GGUF{From: base, Out: base + ".gguf", Type: gguf.F32}).Write(); err != nil {
		t.Fatal(err)
	}
	return folder, base + ".gguf"
}

// Training from a file takes the steps of training from the folder, to the bit; so do a
// resume and the model that is saved, which other programs can read.
func TestTrainFromGGUF(t *testing.T) {
	run, file := ggufRun(t)
	want := load(t, run, "schedule.steps=2", "run.name=folder")
	cfg := load(t, run, "schedule.steps=2", "run.name=file", "checkpoint.every=1", "model.path="+filepath.Base(file))
	if _, err := Check(cfg); err != nil {
		t.Fatal(err)
	}
	sum, err := Run(t.Context(), want, UI{Out: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := until("step 1/", running(cfg)); !errors.Is(err, ErrInterrupted) {
		t.Fatal(err)
	}
	got, err := Resume(t.Context(), cfg.OutDir(), nil, UI{Out: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	a, err1 := os.ReadFile(filepath.Join(sum.Dir, "model", "model.safetensors"))
	b, err2 := os.ReadFile(filepath.Join(got.Dir, "model", "model.safetensors"))
	if err1 != nil || err2 != nil || !slices.Equal(a, b) {
		t.Errorf("the models differ (%v, %v)", err1, err2)
	}
	if _, _, err := modeldir.Open(filepath.Join(got.Dir, "model")); err != nil {
		t.Error(err)
	}
	for _, model := range []string{got.Dir, file} {
		if _, err := infer.Generate(model, infer.Generation{Prompt: "A", MaxTokens: 2, TopP: 1},
			DeviceOptions(cfg.Device, io.Discard)); err != nil {
			t.Errorf("%s: %v", model, err)
		}
	}
	hashes, err := hashes(cfg)
	if err != nil || hashes["base.gguf"] == "" {
		t.Errorf("the file is not among the hashes: %v (%v)", hashes, err)
	}
}

// Another file in its place is not resumed with, and one that cannot be read is said.
func TestGGUFChanges(t *testing.T) {
	run, file := ggufRun(t)
	cfg := load(t, run, "schedule.steps=2", "checkpoint.every=1", "model.path="+filepath.Base(file))
	if _, err := until("step 1/", running(cfg)); !errors.Is(err, ErrInterrupted) {
		t.Fatal(err)
	}
	base := strings.TrimSuffix(file, ".gguf")
	traintest.WriteFile(t, filepath.Join(base, "generation_config.json"), `{"eos_token_id": [257, 65]}`)
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if _, err := (export.GGUF{From: base, Out: file, Type: gguf.F32}).Write(); err != nil {
		t.Fatal(err)
	}
	if _, err := Resume(t.Context(), cfg.OutDir(), nil, UI{Out: io.Discard}); !errors.Is(err, ErrData) ||
		!strings.Contains(err.Error(), "has changed since the run was started") {
		t.Errorf("another file: %v", err)
	}
	traintest.WriteFile(t, file, "GGUF but not really")
	if _, err := Check(load(t, run, "model.path=base.gguf")); !errors.Is(err, ErrData) || !strings.Contains(err.Error(), "base.gguf") {
		t.Errorf("a file that is none: %v", err)
	}
}

// Two machines of a run from a file are one: who joins gets the small files of the model,
// not the file.
func TestJoinFromGGUF(t *testing.T) {
	run, file := ggufRun(t)
	cfg := load(t, run, append(slices.Clone(exact), "model.path="+filepath.Base(file))...)
	files, _, err := runFiles(cfg)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		names = append(names, f.Name)
	}
	for _, name := range []string{"model/config.json", "model/tokenizer.json", "model/tokenizer_config.json"} {
		if !slices.Contains(names, name) {
			t.Errorf("workers get %v, not %s", names, name)
		}
	}
	if slices.ContainsFunc(names, func(n string) bool { return strings.HasSuffix(n, ".gguf") }) {
		t.Errorf("workers get %v", names)
	}
	plain := alone(t, cfg)
	steps(t, plain, 1)
	g := newGang(t, cfg, 2)
	g.steps(1)
	if e := traintest.NMSE(values(t, g.all[0], bucket.Gradient), values(t, plain, bucket.Gradient)); e > 1e-9 {
		t.Errorf("the gradient differs from one machine's alone: NMSE %.3g", e)
	}
	g.replicas("from a file")
	g.stop()
}

// A frozen base in the blocks of its file takes the file's bytes and computes what its
// dequantised values do; two runs, and a resume, have the same bits; two machines are
// one, and each has the file.
func TestBaseInBlocks(t *testing.T) {
	traintest.RequireAdapter(t)
	traintest.CacheHome(t)
	run := traintest.FamilyRun(t, `{"model_type": "llama", "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
		"num_attention_heads": 2, "num_key_value_heads": 1, "vocab_size": 258, "max_position_embeddings": 64, "tie_word_embeddings": true}`, nil)
	base := filepath.Join(filepath.Dir(run), "base")
	if _, err := (export.GGUF{From: base, Out: base + ".gguf", Type: gguf.Q4_0}).Write(); err != nil {
		t.Fatal(err)
	}
	with := func(overrides ...string) *config.Config {
		return load(t, run, append([]string{"model.path=base.gguf", "adapter.kind=lora", "schedule.steps=2", "eval.every=0"}, overrides...)...)
	}
	plain, blocks := open(t, with()), open(t, with("model.base_type=gguf"))
	want, got := steps(t, plain, 1), steps(t, blocks, 1)
	for i := range want {
		if math.Abs(got[i]-want[i]) > 1e-5 {
			t.Errorf("step %d: the loss is %v, of dequantised weights %v", i+1, got[i], want[i])
		}
	}
	for _, p := range blocks.Store.Layout.Frozen {
		d := map[param.Kind]tensor.DType{param.Linear: tensor.Q4_0, param.Embedding: tensor.Q8_0}[p.Kind]
		if w := blocks.Store.Weight(p.Name); w.DType != d || w.Bytes() > d.Bytes(int64(p.Size()))+4 {
			t.Errorf("%s is %v of %d bytes", p.Name, w.DType, w.Bytes())
		}
	}
	var saved [2][]byte
	for i := range saved {
		cfg := with("model.base_type=gguf", fmt.Sprintf("run.name=r%d", i), "checkpoint.every=1")
		_, err := until([]string{"", "step 1/"}[i], running(cfg))
		if i == 1 && errors.Is(err, ErrInterrupted) {
			_, err = Resume(t.Context(), cfg.OutDir(), nil, UI{Out: io.Discard})
		}
		if err != nil {
			t.Fatal(err)
		}
		if saved[i], err = os.ReadFile(filepath.Join(cfg.OutDir(), "model", "adapter_model.safetensors")); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(saved[0], saved[1]) {
		t.Error("a resumed run has other bits")
	}
	g := newGang(t, with(append(slices.Clone(exact), "model.base_type=gguf")...), 2)
	g.steps(1)
	g.replicas("in blocks")
	g.stop()
	for _, bad := range [][]string{{"model.path=base", "model.base_type=gguf"}, {"model.init=random", "model.base_type=gguf"}} {
		if _, err := config.Load(run, append([]string{"model.path=base.gguf", "adapter.kind=lora"}, bad...)); err == nil ||
			!strings.Contains(err.Error(), "model.base_type") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// A file's float32 matrices stay as they are beside bf16 ones that are trained.
func TestBaseInFileIsExact(t *testing.T) {
	traintest.RequireAdapter(t)
	traintest.CacheHome(t)
	run := traintest.FamilyRun(t, familyConfigs["qwen2"], nil)
	base := filepath.Join(filepath.Dir(run), "base")
	if _, err := (export.GGUF{From: base, Out: base + ".gguf", Type: gguf.F32}).Write(); err != nil {
		t.Fatal(err)
	}
	tr := open(t, load(t, run, "model.path=base.gguf", "model.base_type=gguf", "model.dtype=bf16", "adapter.kind=lora", "schedule.steps=1"))
	for _, p := range tr.Store.Layout.Frozen {
		if w := tr.Store.Weight(p.Name); w.DType != tensor.F32 {
			t.Errorf("%s is %v, in the file F32", p.Name, w.DType)
		}
	}
	if len(tr.Store.Layout.Frozen) == 0 {
		t.Error("nothing is frozen")
	}
}
