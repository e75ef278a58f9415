// Package traintest makes tiny runs for tests: a random model of a few thousand
// parameters in the Hugging Face layout, a byte-level tokenizer, and some dozen
// examples of invented languages. A step of such a run takes milliseconds on a
// software rasterizer. Everything is a function of the options alone.
package traintest

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"concord/gpu"
	"concord/internal/model"
	"concord/internal/optest"
	"concord/internal/param"
	"concord/internal/safetensors"
	"concord/internal/tokenizer"
)

// Vocab is the fixture's vocabulary: 256 bytes, BOS and EOS.
const Vocab = 258

// Langs are the fixture's languages that a run trains on; Unseen is only
// evaluated.
var Langs = []string{"aa", "bb", "cc"}

// Unseen is the language that is evaluated but not trained on.
const Unseen = "dd"

// RequireAdapter skips the test where there is no GPU adapter; with
// REQUIRE_GPU=1, as CI sets it, that is a failure. Devices of the process are kept from
// test to test, see gpu.KeepDevices. A software rasterizer gets no threads of its own: the
// models of these tests are so small that waking them takes longer than their work. The tests
// of kernels (tensor, bucket, internal/model) keep them.
func RequireAdapter(t testing.TB) {
	t.Helper()
	noThreads()
	gpu.KeepDevices() // a step of a tiny run takes a tenth of the time that its kernels take to compile
	_, err := gpu.Adapters()
	switch {
	case err == nil:
	case os.Getenv("REQUIRE_GPU") != "":
		t.Fatalf("no GPU adapter: %v", err)
	default:
		t.Skipf("no GPU adapter: %v", err)
	}
}

// noThreads leaves a setting of the user's. Mesa reads it when it opens the first adapter.
var noThreads = sync.OnceFunc(func() {
	if os.Getenv("LP_NUM_THREADS") == "" {
		os.Setenv("LP_NUM_THREADS", "0")
	}
})

// CacheHome gives the test an empty folder for the caches of concord, and leaves Mesa its own
// cache, in which it finds the kernels that it has compiled before.
func CacheHome(t testing.TB) {
	t.Helper()
	if base, err := os.UserCacheDir(); err == nil && os.Getenv("MESA_SHADER_CACHE_DIR") == "" {
		t.Setenv("MESA_SHADER_CACHE_DIR", base)
	}
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
}

// Run writes a run file with its base model and data into a new folder and
// returns the run file's path. settings are further TOML lines by section,
// which win over the fixture's own: {"batch": "rows = 2"}.
func Run(t testing.TB, settings map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	Base(t, filepath.Join(dir, "base"), nil)
	return runIn(t, dir, settings)
}

// UntiedRun is Run with a base model whose head has a weight of its own.
func UntiedRun(t testing.TB, settings map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	base(t, filepath.Join(dir, "base"), strings.Replace(configJSON, `"tie_word_embeddings": true`, `"tie_word_embeddings": false`, 1), nil)
	return runIn(t, dir, settings)
}

// FamilyRun is Run with a base model of the family that config, its config.json,
// asks for. Its vocabulary must have 258 entries.
func FamilyRun(t testing.TB, config string, settings map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	base := filepath.Join(dir, "base")
	c, err := model.ParseConfig([]byte(config))
	if err != nil {
		t.Fatal(err)
	}
	values := map[string][]float32{}
	state := uint64(1)
	for _, s := range model.ParamSpecs(c) {
		v := make([]float32, s.Size())
		for i := range v {
			state = state*6364136223846793005 + 1442695040888963407
			v[i] = float32(float64(state>>11)/(1<<53)-0.5) * 0.4
		}
		values[s.Name] = v
	}
	if err := model.Write(base, "", c, safetensors.F32, func(name string) ([]float32, error) { return values[name], nil }); err != nil {
		t.Fatal(err)
	}
	Tokenizer(t, base)
	return runIn(t, dir, settings)
}

func runIn(t testing.TB, dir string, settings map[string]string) string {
	t.Helper()
	for i, lang := range append(slices.Clone(Langs), Unseen) {
		WriteFile(t, filepath.Join(dir, lang+".jsonl"), Examples(i, 0, 18))
		WriteFile(t, filepath.Join(dir, lang+".heldout.jsonl"), Examples(i, 18, 24))
	}
	return RunFile(t, dir, settings)
}

// sections are the fixture's settings, one key a line.
func sections(dir string) map[string]string {
	return map[string]string{
		"run":        "name = \"tiny\"\nseed = 3\ndir = " + quote(filepath.Join(dir, "runs")),
		"model":      "path = \"base\"\nsave_dtype = \"f32\"",
		"batch":      "rows = 6\nseq_len = 16",
		"objective":  "method = \"pcgrad\"",
		"optim":      "lr = 1e-2",
		"schedule":   "steps = 6",
		"eval":       "every = 3",
		"checkpoint": "every = 2",
		"log":        "every = 1",
		"device":     "autotune = false\nadapter = " + quote(os.Getenv("CONCORD_ADAPTER")),
	}
}

// RunFile writes dir/run.toml for the model and data in dir.
func RunFile(t testing.TB, dir string, settings map[string]string) string {
	t.Helper()
	all := sections(dir)
	for s, lines := range settings {
		all[s] = merge(all[s], lines)
	}
	var b strings.Builder
	b.WriteString("schema = 1\n")
	for _, s := range []string{"run", "model", "data", "batch", "objective", "optim", "schedule", "eval", "checkpoint", "log",
		"device", "memory", "cluster"} {
		if all[s] != "" {
			fmt.Fprintf(&b, "[%s]\n%s\n", s, all[s])
		}
	}
	for _, lang := range Langs {
		fmt.Fprintf(&b, "[[data.source]]\nlang = %q\npath = \"%[2]s.jsonl\"\nheldout = \"%[2]s.heldout.jsonl\"\n", lang, lang)
	}
	fmt.Fprintf(&b, "[[data.source]]\nlang = %q\nheldout = \"%[1]s.heldout.jsonl\"\ntrain = false\n", Unseen)
	path := filepath.Join(dir, "run.toml")
	WriteFile(t, path, b.String())
	return path
}

// merge replaces lines of base that set a key that over sets.
func merge(base, over string) string {
	key := func(line string) string { k, _, _ := strings.Cut(line, "="); return strings.TrimSpace(k) }
	set := map[string]bool{}
	for line := range strings.Lines(over) {
		set[key(line)] = true
	}
	var out strings.Builder
	for line := range strings.Lines(base) {
		if !set[key(line)] {
			out.WriteString(strings.TrimSuffix(line, "\n") + "\n")
		}
	}
	return out.String() + over
}

func quote(s string) string { b, _ := json.Marshal(s); return string(b) } // TOML's strings are JSON's

// Examples are lines [from, to) of language lang, prompt and completion: the
// same prompts in every language, answers by a rule of the language's own.
func Examples(lang, from, to int) string {
	var b strings.Builder
	for i := from; i < to; i++ {
		answer := []byte{' '}
		for k := range 2 + i%3 {
			answer = append(answer, byte('a'+(i*(lang+2)+k*(lang+3)+5*lang)%20))
		}
		fmt.Fprintf(&b, "{\"prompt\": \"%c%c:\", \"completion\": %q}\n", 'A'+i%7, 'a'+i%11, answer)
	}
	return b.String()
}

// Base writes a model folder with weights drawn from a fixed sequence. change,
// where given, may alter each tensor's values before they are written.
func Base(t testing.TB, dir string, change func(name string, values []float32)) {
	t.Helper()
	base(t, dir, configJSON, change)
}

func base(t testing.TB, dir, config string, change func(name string, values []float32)) {
	t.Helper()
	WriteFile(t, filepath.Join(dir, model.ConfigFile), config)
	Tokenizer(t, dir)
	c, err := model.ReadConfig(dir)
	if err != nil {
		t.Fatal(err)
	}
	var entries []safetensors.Entry
	state := uint64(1)
	for _, s := range model.ParamSpecs(c) {
		values := make([]float32, s.R*s.C)
		for i := range values {
			state = state*6364136223846793005 + 1442695040888963407 // Knuth's MMIX generator
			values[i] = float32(float64(state>>11)/(1<<53)-0.5) * 0.2
			if s.Kind == param.Norm {
				values[i] = 1
			}
		}
		if change != nil {
			change(s.Name, values)
		}
		entries = append(entries, safetensors.Entry{Name: s.Name, Shape: s.Dims(), DType: safetensors.F32,
			Data: func() ([]float32, error) { return values, nil }})
	}
	if err := safetensors.WriteModel(dir, entries, nil, 0); err != nil {
		t.Fatal(err)
	}
}

const configJSON = `{
  "architectures": ["LlamaForCausalLM"], "model_type": "llama",
  "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2,
  "num_attention_heads": 2, "num_key_value_heads": 1, "vocab_size": 258,
  "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
  "hidden_act": "silu", "tie_word_embeddings": true, "torch_dtype": "float32",
  "bos_token_id": 256, "eos_token_id": 257
}
`

// Tokenizer writes a tokenizer of single bytes, BOS and EOS into dir.
func Tokenizer(t testing.TB, dir string) {
	t.Helper()
	tok, err := tokenizer.Train(slices.Values([]string{""}), tokenizer.TrainOptions{VocabSize: Vocab,
		Specials: []string{tokenizer.BOSToken, tokenizer.EOSToken}})
	if err != nil {
		t.Fatal(err)
	}
	if err := tok.Save(filepath.Join(dir, "tokenizer.json")); err != nil {
		t.Fatal(err)
	}
	WriteFile(t, filepath.Join(dir, "tokenizer_config.json"), `{"bos_token": "<|bos|>", "eos_token": "<|eos|>", "add_bos_token": true}`)
}

// WriteFile writes a file and the folders above it.
func WriteFile(t testing.TB, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// NMSE is |a − b|² / |b|²; +Inf for other lengths and for values that are not finite.
func NMSE(a, b []float32) float64 {
	if len(a) != len(b) {
		return math.Inf(1)
	}
	if e := optest.NMSE(a, b); !math.IsNaN(e) {
		return e
	}
	return math.Inf(1)
}
