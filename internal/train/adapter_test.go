package train

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"concord/bucket"
	"concord/internal/config"
	"concord/internal/device"
	"concord/internal/export"
	"concord/internal/gguf"
	"concord/internal/infer"
	"concord/internal/model"
	"concord/internal/peft"
	"concord/internal/safetensors"
	"concord/internal/train/traintest"
)

// lora is the fixture's run with an adapter.
func lora(t testing.TB, overrides ...string) *config.Config {
	t.Helper()
	return tiny(t, append([]string{"adapter.kind=lora", "adapter.rank=4", "adapter.alpha=8"}, overrides...)...)
}

// The base stays as it is, what is adapted or trained whole moves, and the device holds
// gradients of that alone; two runs of ten steps have the same bits.
func TestAdapterRun(t *testing.T) {
	whole := open(t, tiny(t)).Engine.Dev.Memory().Current
	for _, overrides := range [][]string{nil, {"adapter.kind=rslora", "adapter.save=embed_tokens", "objective.scope=tensor"},
		{"adapter.dora=true", "adapter.rank_pattern={v_proj = 2}", "model.base_type=int8"}, {"adapter.dropout=0.1"},
		{`adapter.targets=["q_proj", "v_proj"]`, "objective.scope=global"},
		{`adapter.targets=["embed_tokens", "v_proj"]`, "model.base_type=nf4"}} {
		var bits [2][]float32
		for i := range bits {
			tr := open(t, lora(t, overrides...))
			saved := len(tr.cfg.Adapter.Save) > 0
			if now := tr.Engine.Dev.Memory().Current; now >= whole && !saved {
				t.Errorf("%q: %d bytes on the device, %d without an adapter", overrides, now, whole)
			}
			before := weightsOf(t, tr)
			losses := steps(t, tr, 10)
			if losses[9] >= losses[0] {
				t.Errorf("%q: the loss is %v", overrides, losses)
			}
			for name, v := range weightsOf(t, tr) {
				trained := strings.Contains(name, "lora") || saved && strings.Contains(name, "embed")
				if trained == slices.Equal(v, before[name]) {
					t.Errorf("%q: %s is trained: %v, and moved: %v", overrides, name, trained, !slices.Equal(v, before[name]))
				}
			}
			bits[i] = values(t, tr, bucket.Weight)
		}
		if !slices.Equal(bits[0], bits[1]) {
			t.Errorf("%q: two runs differ", overrides)
		}
	}
}

// The gradients of a step are the same by every way of resolving them.
func TestAdapterGradients(t *testing.T) {
	traintest.RequireAdapter(t)
	for name, settings := range map[string][]string{ // fused maps share A
		"phi3": {"adapter.dora=true"}, "gpt2": nil, "phi3 tokens": {`adapter.targets=["embed_tokens", "lm_head"]`},
		"gpt2 tokens": {`adapter.targets=["wte", "c_attn"]`},
	} {
		family, _, _ := strings.Cut(name, " ")
		cfg := load(t, traintest.FamilyRun(t, familyConfigs[family], nil), append(settings, "objective.method=pcgrad", "objective.gram=rows",
			"adapter.kind=lora", "adapter.rank=4", "adapter.dropout=0.2")...)
		lent := trainedGradients(t, cfg)
		ghost := *cfg
		ghost.Objective.Gram = "ghost"
		same(t, name+", ghost", trainedGradients(t, &ghost), lent)
		halves := *cfg
		halves.Batch.Rows, halves.Batch.Accumulate = cfg.Batch.Rows/2, 2
		same(t, name+", accumulated", trainedGradients(t, &halves), lent)
		plain, known := *withMethod(t, cfg, "mean"), *cfg
		known.Objective.Override = []config.Override{{Match: "*", Method: "mean"}}
		same(t, name+", known weights", trainedGradients(t, &known), trainedGradients(t, &plain))
	}
}

// Dropout changes the losses of training from the second step on, as B is zero in the first; an
// update in the backward pass sees the same masks.
func TestAdapterDropout(t *testing.T) {
	traintest.RequireAdapter(t)
	run := func(overrides ...string) ([]float64, map[string][]float32) {
		tr := open(t, lora(t, append(overrides, "optim.lr=0.05", "schedule.warmup=0", "optim.clip=0.0")...))
		return steps(t, tr, 3), weightsOf(t, tr)
	}
	plain, _ := run()
	losses, weights := run("adapter.dropout=0.5")
	if losses[0] != plain[0] || losses[1] == plain[1] {
		t.Errorf("losses %v with dropout, %v without", losses, plain)
	}
	if other, _ := run("adapter.dropout=0.5", "run.seed=2"); other[1] == losses[1] {
		t.Error("another seed has the same masks")
	}
	const tokens = `adapter.targets=["embed_tokens", "up_proj"]`
	tied, tiedWeights := run("adapter.dropout=0.5", tokens)
	for _, c := range []struct {
		more    string
		losses  []float64
		weights map[string][]float32
	}{{"adapter.dora=false", losses, weights}, {tokens, tied, tiedWeights}} {
		if again, inBackward := run("adapter.dropout=0.5", "optim.in_backward=true", c.more); !slices.Equal(again, c.losses) ||
			!reflect.DeepEqual(inBackward, c.weights) {
			t.Errorf("%s in the backward pass: losses %v, want %v, or other weights", c.more, again, c.losses)
		}
	}
}

// An adapter of embedding and head is exported in every form that says it, and refused in
// the one that does not; PEFT's folder goes on. Tied and not.
func TestTokenAdapterModel(t *testing.T) {
	traintest.RequireAdapter(t)
	for name, write := range map[string]func(testing.TB, map[string]string) string{"tied": traintest.Run, "untied": traintest.UntiedRun} {
		cfg := load(t, write(t, nil), "adapter.kind=lora", "adapter.rank=4", `adapter.targets=["embed_tokens", "lm_head", "v_proj"]`,
			"schedule.steps=2", "checkpoint.best=false", "eval.every=0")
		sum, err := Run(context.Background(), cfg, UI{Out: io.Discard})
		if err != nil {
			t.Fatal(name, err)
		}
		dir := t.TempDir()
		folder, file := filepath.Join(dir, "merged"), filepath.Join(dir, "merged.gguf")
		if _, err := (export.Folder{From: sum.Model, Out: folder}).Write(); err != nil {
			t.Fatal(name, err)
		}
		if _, err := (export.GGUF{From: sum.Model, Out: file, Type: gguf.F32}).Write(); err != nil {
			t.Fatal(name, err)
		}
		for _, written := range []string{folder, file, sum.Model} {
			v := export.Verify{Source: sum.Model, Written: written, Bound: 1e-8, Device: DeviceOptions(cfg.Device, t.Output())}
			if d, err := v.Run(); err != nil || d.Tokens < 10 {
				t.Errorf("%s: %s: %v, %v", name, written, d, err)
			}
		}
		if err := (export.GGUFAdapter{From: sum.Model, Out: filepath.Join(dir, "lora.gguf")}).Write(); !errors.Is(err, model.ErrNoGGUFAdapter) {
			t.Errorf("%s: an adapter for llama.cpp: %v", name, err)
		}
		steps(t, open(t, load(t, cfg.Path(), "adapter.from="+sum.Model)), 1)
	}
}

// trainedGradients are those of the parameters that are trained, after the second
// step: in the first B is zero, and so are A's.
func trainedGradients(t *testing.T, cfg *config.Config) map[string][]float32 {
	t.Helper()
	tr := open(t, cfg)
	steps(t, tr, 2)
	out := map[string][]float32{}
	for _, p := range device.Params(tr.Arch) {
		if frozen(cfg, p.Spec) {
			continue
		}
		v, err := tr.Store.Read(bucket.Gradient, p.Name)
		if err != nil {
			t.Fatal(err)
		}
		out[p.Name] = v
	}
	return out
}

func same(t *testing.T, what string, got, want map[string][]float32) {
	t.Helper()
	if len(got) != len(want) || len(got) == 0 {
		t.Fatalf("%s: %d gradients, want %d", what, len(got), len(want))
	}
	for name, w := range want {
		if d := traintest.NMSE(got[name], w); !(d < 1e-5) {
			t.Errorf("%s: %s differs by %v", what, name, d)
		}
	}
}

// A run with an adapter resumes to the same bits from every step; its checkpoints hold
// nothing of the base.
func TestAdapterResume(t *testing.T) {
	traintest.RequireAdapter(t)
	overrides := []string{"objective.method=pcgrad", "batch.rows=3", "schedule.steps=4", "eval.every=2", "optim.lr=0.05", "schedule.warmup=0",
		"adapter.kind=lora", "adapter.rank=4", "batch.accumulate=2", "adapter.save=embed_tokens", "adapter.dora=true", "adapter.dropout=0.2"}
	want := uninterrupted(t, overrides...)
	if d := want.Differ(interruptedAtEveryStep(t, 4, overrides...)); d != "" {
		t.Error(d)
	}
	cfg := lora(t, "schedule.steps=1")
	if _, err := Run(context.Background(), cfg, UI{Out: io.Discard}); err != nil {
		t.Fatal(err)
	}
	path, err := latest(cfg.OutDir(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	r, err := safetensors.Open(filepath.Join(path, tensorsFile))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for _, name := range r.Names() {
		if !strings.Contains(name, ".lora_") {
			t.Errorf("the checkpoint holds %s", name)
		}
	}
}

// A run whose base model's weights have changed does not go on.
func TestAdapterBaseChanged(t *testing.T) {
	cfg := lora(t)
	dir := cfg.OutDir()
	if _, err := until("step 2/", running(cfg)); !errors.Is(err, ErrInterrupted) {
		t.Fatal(err)
	}
	traintest.Base(t, cfg.Resolve(cfg.Model.Path), func(name string, v []float32) { v[0]++ })
	if _, err := Resume(t.Context(), dir, nil, UI{}); !errors.Is(err, ErrData) ||
		!strings.Contains(err.Error(), "model.safetensors has changed") {
		t.Errorf("resumed with %v", err)
	}
}

// The final model is an adapter, which scores as the model that was trained, and from
// which another run begins.
func TestAdapterModel(t *testing.T) {
	cfg := lora(t, "schedule.steps=3", "checkpoint.best=false", "adapter.dora=true", "adapter.dropout=0.1",
		"adapter.alpha_pattern={\"mlp.up_proj\" = 4.0}")
	sum, err := Run(context.Background(), cfg, UI{Out: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	a, err := peft.ReadConfig(sum.Model)
	if err != nil {
		t.Fatal(err)
	}
	if a.Rank != 4 || a.Alpha != 8 || !a.Adapts("model.layers.0.mlp.up_proj") || a.Base != mustAbs(cfg.Resolve("base")) {
		t.Errorf("the adapter's configuration is %+v", a)
	}
	got, err := Evaluate(t.Context(), cfg, cfg.OutDir(), UI{Out: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	base, err := Evaluate(t.Context(), cfg, "", UI{Out: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	after, before := sum.After.Mean(true), sum.Before.Mean(true)
	if d := math.Abs(got.Mean(true) - after); d > 1e-6 || math.Abs(base.Mean(true)-before) > 1e-6 || math.Abs(after-before) < 1e-3 {
		t.Errorf("the adapter evaluates to %v, in the run to %v; the base to %v, in the run to %v", got.Mean(true), after,
			base.Mean(true), before)
	}
	if _, err := infer.Score(sum.Model, [][]uint32{{1, 2, 3}}, DeviceOptions(cfg.Device, os.Stderr)); err != nil {
		t.Error(err)
	}
	merged := filepath.Join(t.TempDir(), "merged")
	if _, err := (export.Folder{From: sum.Model, Out: merged}).Write(); err != nil {
		t.Fatal(err)
	}
	v := export.Verify{Source: sum.Model, Written: merged, Bound: 1e-8, Device: DeviceOptions(cfg.Device, t.Output())}
	if d, err := v.Run(); err != nil || d.Tokens < 10 {
		t.Errorf("merged: %v, %v", d, err)
	}
	again, err := Export{Out: filepath.Join(t.TempDir(), "again")}.Write(cfg.OutDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{peft.ConfigFile, peft.WeightsFile} {
		x, err := os.ReadFile(filepath.Join(sum.Model, f))
		y, err2 := os.ReadFile(filepath.Join(again.Model, f))
		if err != nil || err2 != nil || !bytes.Equal(x, y) {
			t.Errorf("%s of the last checkpoint is not that of the final model: %v %v", f, err, err2)
		}
	}
	on := load(t, cfg.Path(), "adapter.from="+sum.Model)
	tr := open(t, on)
	if a := tr.Arch.Adapter; a.Dropout != 0.1 || portableAdapter(on).Dropout != 0.1 {
		t.Errorf("goes on as %+v, on other machines as %+v", a, portableAdapter(on))
	}
	for name, v := range weightsOf(t, tr) {
		if strings.HasSuffix(name, peft.B) && slices.Max(v) == 0 {
			t.Errorf("%s is zero where another run goes on", name)
		}
	}
	steps(t, tr, 1)
}

// On two machines, by every exchange, an adapter is trained as on one; a machine has the
// base model by its files and gets of the others the adapter alone.
func TestAdapterOnTwoMachines(t *testing.T) {
	for name, settings := range map[string][]string{
		"gradients":  {"model.base_type=int8"},
		"parameters": {"cluster.sync=parameters"},
		"local":      {"cluster.resolve=local"},
		"outer":      {"cluster.outer=2"},
		"dropout":    {"adapter.dropout=0.3", "adapter.dora=true"},
		"tokens":     {"adapter.dropout=0.3", `adapter.targets=["embed_tokens", "q_proj"]`, "adapter.save="},
		"uneven":     {"adapter.dropout=0.3", "batch.accumulate=2", "optim.in_backward=false"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := lora(t, slices.Concat(exact, []string{"schedule.warmup=0", "batch.rows=6", "adapter.save=embed_tokens"}, settings)...)
			one := newGang(t, cfg, 1)
			one.steps(2)
			want := values(t, one.all[0], bucket.Weight)
			one.stop()
			g := newGang(t, cfg, 2)
			g.steps(2)
			g.replicas(name)
			got := values(t, g.all[0], bucket.Weight)
			if e := traintest.NMSE(got, want); e > 1e-6 && name != "local" && name != "outer" { // the others approximate
				t.Errorf("the weights differ: NMSE %.3g", e)
			}
			g.stop()
		})
	}
}

// The base model lies on the device in few bits, and what is trained on it is a model
// that evaluates to the same; a resume is exact.
func TestBaseType(t *testing.T) {
	var f32 float64
	for _, c := range []struct {
		name   string
		bytes  float64 // of a matrix's value
		differ float64 // of the loss, at most
	}{{"", 4, 0}, {"bf16", 2, 1e-2}, {"f16", 2, 1e-3}, {"int8", 2.25, 1e-2}, {"nf4", 2.25, 0.1}} { // of 16 columns in blocks of 32 and 64
		cfg := lora(t, "model.base_type="+c.name, "schedule.steps=3")
		tr := open(t, cfg)
		bytes, values := 0.0, 0.0
		for _, p := range tr.Store.Layout.Frozen {
			if w := tr.Store.Weight(p.Name); !p.Kind.Vector() {
				bytes, values = bytes+float64(w.Bytes()), values+float64(p.Size())
			}
		}
		if got := bytes / values; math.Abs(got-c.bytes) > 0.2 {
			t.Errorf("%s: %.3f bytes a value of the base, want %v", c.name, got, c.bytes)
		}
		loss := steps(t, tr, 1)[0]
		if f32 == 0 {
			f32 = loss
		}
		if d := math.Abs(loss - f32); d > c.differ || d == 0 && c.name != "" {
			t.Errorf("%s: the loss is %v, with float32 %v", c.name, loss, f32)
		}
		sum, err := Run(context.Background(), cfg, UI{Out: io.Discard})
		if err != nil {
			t.Fatal(err)
		}
		e, err := Evaluate(t.Context(), cfg, sum.Model, UI{Out: io.Discard})
		if err != nil {
			t.Fatal(err)
		}
		if d := math.Abs(e.Mean(true) - sum.After.Mean(true)); d > 1e-6 {
			t.Errorf("%s: evaluates to %v, in the run to %v", c.name, e.Mean(true), sum.After.Mean(true))
		}
	}
	overrides := []string{"adapter.kind=lora", "model.base_type=int8", "batch.rows=3", "schedule.steps=2", "eval.every=2"}
	if d := uninterrupted(t, overrides...).Differ(interruptedAtEveryStep(t, 2, overrides...)); d != "" {
		t.Error(d)
	}
}
