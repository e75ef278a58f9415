package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"concord/gpu"
	"concord/internal/config"
	"concord/internal/fault"
	"concord/internal/train"
)

// device opens the preferred adapter, or skips; REQUIRE_GPU makes that a failure.
func device(t *testing.T, o gpu.Options) *gpu.Device {
	t.Helper()
	o.Adapter = os.Getenv("CONCORD_ADAPTER")
	dev, err := gpu.Open(o)
	if err != nil {
		if os.Getenv("REQUIRE_GPU") != "" {
			t.Fatalf("no GPU adapter: %v", err)
		}
		t.Skipf("no GPU adapter: %v", err)
	}
	t.Cleanup(dev.Close)
	return dev
}

// These tests are of function: no figure is too slow.

func TestGEMM(t *testing.T) {
	dev := device(t, gpu.Options{})
	shapes := []Shape{{"NN", 33, 17, 65, 1, ""}, {"NT", 1, 40, 24, 1, "decode"}, {"TN", 20, 30, 600, 1, ""},
		{"SEG", 20, 30, 40, 8, ""}, {"NN", 1 << 16, 1 << 16, 1 << 16, 1, ""}}
	r, err := GEMM(dev, shapes, 2, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	last := len(shapes) - 1
	if r.Best <= 0 || len(r.Shapes) != len(shapes) || r.Shapes[last].Skipped == "" || len(r.Shapes[last].Variants) > 0 {
		t.Fatalf("%+v", r)
	}
	for _, s := range r.Shapes[:last] {
		if s.GFLOPS <= 0 || s.Choice == "" || len(s.Variants) < 5 || !(s.OfVariants > 0 && s.OfVariants <= 1) ||
			!(s.OfDevice > 0 && s.OfDevice <= 1) {
			t.Errorf("%+v", s)
		}
	}
	if n := dev.Memory().Roles[gpu.RoleScratch].Current; n > 16<<20 {
		t.Errorf("%d bytes of scratch are left", n)
	}
	if _, err := json.Marshal(r); err != nil {
		t.Error(err)
	}
}

func TestParseShapes(t *testing.T) {
	got, err := ParseShapes([]string{"512", "2048x344x128"})
	if err != nil || len(got) != 8 || got[0].String() != "NN 512x512x512" || got[7].String() != "SEG 2048x344x128/8" {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"", "x", "1x2", "1x2x3x4", "0", "-1", "99999999", "1e3", "1x2x", "1x2xx"} {
		if _, err := ParseShapes([]string{bad}); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func TestGram(t *testing.T) {
	dev := device(t, gpu.Options{MemoryBudget: 256 << 20})
	r, err := Gram(dev, []int{1, 8, 17}, []int{1, 1001, 1 << 22}, 2)
	if err != nil {
		t.Fatal(err)
	}
	skipped := 0
	for _, x := range r.Rates {
		if x.Skipped != "" {
			skipped++
			continue
		}
		if !(x.GramGBs > 0 && x.CombineGBs > 0 && x.CopyGBs > 0 && x.GramOfCopy > 0 && x.CombineOfCopy > 0) {
			t.Errorf("%+v", x)
		}
	}
	if len(r.Rates) != 9 || skipped != 2 { // 17 rows of 16 MiB, and 8 with their copy, exceed the budget
		t.Errorf("%d rates, %d skipped: %+v", len(r.Rates), skipped, r.Rates)
	}
	if _, err := Gram(dev, []int{65}, []int{1}, 1); err == nil {
		t.Error("65 objectives were accepted")
	}
}

// tiny is a run file with a model of 16 dimensions and two languages.
func tiny(t *testing.T, overrides ...string) *config.Config {
	t.Helper()
	dir := t.TempDir()
	tok, err := os.ReadFile("../../examples/base/tokenizer.json")
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{
		"tokenizer.json": string(tok),
		"config.json": `{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 1024, "hidden_size": 16, "intermediate_size": 24,
 "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8, "hidden_act": "silu", "max_position_embeddings": 64,
 "rms_norm_eps": 1e-05, "rope_theta": 10000.0, "attention_bias": false, "mlp_bias": false, "tie_word_embeddings": true,
 "bos_token_id": 1022, "eos_token_id": 1023, "torch_dtype": "float32"}`,
		"de.txt": lines("Alle Menschen sind frei und gleich an Würde und Rechten geboren, Satz %d."),
		"es.txt": lines("Todos los seres humanos nacen libres e iguales en dignidad, frase %d."),
		"run.toml": `[model]
path = "."
init = "random"
[batch]
rows = 4
seq_len = 32
[objective]
method = "cagrad"
options = { c = 0.5 }
[schedule]
steps = 5
[[data.source]]
lang = "de"
path = "de.txt"
format = "lines"
holdout = 0.1
[[data.source]]
lang = "es"
path = "es.txt"
format = "lines"
holdout = 0.1
`}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	overrides = append(overrides, "device.adapter="+os.Getenv("CONCORD_ADAPTER"), "device.autotune=false")
	cfg, err := config.Load(filepath.Join(dir, "run.toml"), overrides)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func lines(format string) string {
	var b strings.Builder
	for i := range 40 {
		fmt.Fprintf(&b, format+"\n", i)
	}
	return b.String()
}

func TestStep(t *testing.T) {
	device(t, gpu.Options{})
	cfg := tiny(t)
	before, _ := filepath.Glob(filepath.Join(filepath.Dir(cfg.Path()), "*"))
	r, err := Step(train.Vary(cfg), StepOptions{Methods: []string{"mean", "pcgrad", "cagrad"}, Steps: 3, Warmup: 1, Profile: true})
	if err != nil {
		t.Fatal(err)
	}
	if got := slices.Sorted(maps.Keys(r.Methods)); !slices.Equal(got, []string{"cagrad", "mean", "pcgrad"}) {
		t.Fatalf("methods %v", got)
	}
	for name, m := range r.Methods {
		if !(m.StepSecondsMedian > 0 && m.StepSecondsMin > 0 && m.StepSecondsMin <= m.StepSecondsMedian) || m.PeakBytes <= 0 ||
			!(m.TokensPerSecond > 0) || len(m.Seconds) != 3 {
			t.Errorf("%s: %+v", name, m)
		}
		sum := int64(0)
		for _, n := range m.BytesByRole {
			sum += n
		}
		if sum != m.PeakBytes {
			t.Errorf("%s: the roles add up to %d of %d bytes", name, sum, m.PeakBytes)
		}
		checkPhases(t, name, m)
	}
	for _, pair := range []string{"pcgrad/mean", "cagrad/mean"} {
		if q := r.Ratios[pair]; !(q.Time > 0 && q.TimePaired > 0 && q.Memory > 0) || math.IsInf(q.Time, 0) {
			t.Errorf("%s: %+v", pair, q)
		}
	}
	if len(r.Ratios) != 2 || r.Tokens != 128 || r.Adapter == "" {
		t.Errorf("%+v", r)
	}
	if after, _ := filepath.Glob(filepath.Join(filepath.Dir(cfg.Path()), "*")); !slices.Equal(before, after) {
		t.Errorf("files were written: %v", after)
	}
	checkJSON(t, r)
}

// checkPhases: a method with rows has all phases, one without has no rows' ones.
func checkPhases(t *testing.T, name string, m MethodRate) {
	t.Helper()
	want := []string{"backward", "combine", "forward", "gram", "host", "optimizer", "solve"}
	if name == "mean" {
		want = []string{"backward", "forward", "host", "optimizer"}
	}
	if got := slices.Sorted(maps.Keys(m.PhaseSeconds)); !slices.Equal(got, want) {
		t.Errorf("%s: phases %v, want %v", name, got, want)
	}
}

// checkJSON holds the field names that other programs read.
func checkJSON(t *testing.T, r *StepResult) {
	t.Helper()
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Methods map[string]struct {
			Median float64 `json:"step_seconds_median"`
			Peak   int64   `json:"peak_bytes"`
		} `json:"methods"`
	}
	if err := json.Unmarshal(b, &got); err != nil || got.Methods["pcgrad"].Median <= 0 || got.Methods["mean"].Peak <= 0 {
		t.Errorf("%s: %v", b, err)
	}
}

func TestStepMistakes(t *testing.T) {
	device(t, gpu.Options{})
	cfg := tiny(t)
	good := StepOptions{Methods: []string{"mean"}, Steps: 1, Warmup: 1}
	for name, change := range map[string]func(*StepOptions){
		"no methods":     func(o *StepOptions) { o.Methods = nil },
		"twice":          func(o *StepOptions) { o.Methods = []string{"mean", "mean"} },
		"unknown method": func(o *StepOptions) { o.Methods = []string{"mean", "nosuch"} },
		"no steps":       func(o *StepOptions) { o.Steps = 0 },
		"no warm-up":     func(o *StepOptions) { o.Warmup = 0 },
	} {
		o := good
		change(&o)
		if _, err := Step(train.Vary(cfg), o); !fault.IsUsage(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Step(train.Vary(tiny(t, "device.memory=1MB")), good); !errors.Is(err, gpu.ErrOutOfMemory) {
		t.Errorf("with 1 MB: %v", err)
	}
}

// The baseline needs whole gradients, the methods themselves do not.
func TestMooInBackward(t *testing.T) {
	device(t, gpu.Options{})
	o := MooOptions{StepOptions: StepOptions{Methods: []string{"mean"}, Steps: 1, Warmup: 1}, Baseline: "pcgrad"}
	cfg := tiny(t, "optim.in_backward=true")
	var conf *config.Error
	if _, err := Moo(train.Vary(cfg), o); !errors.As(err, &conf) || !strings.Contains(conf.Fix, "optim.in_backward=false") {
		t.Errorf("with a baseline: %v", err)
	}
	o.Baseline = ""
	if _, err := Moo(train.Vary(cfg), o); err != nil {
		t.Error(err)
	}
}

// The baseline of separate passes has the tokens of the others' steps, and says how.
func TestMooPassesAccumulate(t *testing.T) {
	device(t, gpu.Options{})
	cfg := tiny(t, "batch.accumulate=2")
	var said strings.Builder
	o := MooOptions{StepOptions: StepOptions{Methods: []string{"mean"}, Steps: 1, Warmup: 1, Warn: &said}, Baseline: "pcgrad"}
	run := train.Vary(cfg)
	v := separatePasses(run, o)
	if rows, k := v.run.Batch.Rows, v.run.Batch.Accumulate; rows != 2*cfg.Batch.Rows || k != 1 ||
		!strings.Contains(said.String(), fmt.Sprintf("one batch of %d rows", 2*cfg.Batch.Rows)) {
		t.Errorf("%d rows × %d, said: %q", rows, k, said.String())
	}
	runs, err := openRuns([]variant{{name: "mean", run: withMethod(run, "mean")}, v}, &said)
	for _, r := range runs {
		defer r.close()
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range runs {
		if err := r.step(false); err != nil || r.tokens != runs[0].tokens {
			t.Errorf("%s: %d tokens a step, %s has %d (%v)", r.method, r.tokens, runs[0].method, runs[0].tokens, err)
		}
	}
}

// TestRacePrunes: candidates for the same work that are far behind are given up,
// different things that are measured side by side are not.
func TestRacePrunes(t *testing.T) {
	dev := device(t, gpu.Options{})
	sleeper := func(d time.Duration) *rival { return &rival{record: func() { time.Sleep(d) }} }
	for prune, want := range map[bool]int{true: 1, false: 3} {
		rivals := []*rival{sleeper(0), sleeper(300 * time.Millisecond)}
		if err := race(dev, 3, rivals, prune); err != nil {
			t.Fatal(err)
		}
		if len(rivals[0].seconds) != 3 || len(rivals[1].seconds) != want {
			t.Errorf("prune %v: %d and %d timings, want 3 and %d", prune, len(rivals[0].seconds), len(rivals[1].seconds), want)
		}
	}
}

func TestMedian(t *testing.T) {
	for want, x := range map[float64][]float64{2: {3, 1, 2}, 2.5: {4, 1, 2, 3}, 7: {7}} {
		if got := median(x); got != want {
			t.Errorf("median of %v is %v", x, got)
		}
	}
}
