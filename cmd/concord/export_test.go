package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"concord/internal/train/traintest"
)

// A run is exported in every format, with its proof; so is a model; what is not
// possible is said, and nothing is left in the run's folder.
func TestExportFormats(t *testing.T) {
	traintest.RequireAdapter(t)
	traintest.CacheHome(t)
	path := traintest.Run(t, map[string]string{"schedule": "steps = 1"})
	if code := run([]string{"train", "--plain", path}); code != 0 {
		t.Fatal(code)
	}
	dir := filepath.Join(filepath.Dir(path), "runs", "tiny")
	adapter := "--adapter=" + os.Getenv("CONCORD_ADAPTER")
	for _, c := range []struct {
		args []string
		made string
		code int
	}{
		{[]string{dir, "--format", "gguf", "--dtype", "f16", "--verify"}, filepath.Join(dir, "model-step-1-f16.gguf"), 0},
		{[]string{dir, "--format", "gguf"}, filepath.Join(dir, "model-step-1-f32.gguf"), 0},
		{[]string{dir, "--format", "safetensors", "--verify"}, filepath.Join(dir, "model-step-1"), 0},
		{[]string{dir, "--format", "safetensors"}, "", exitData}, // is there
		{[]string{dir, "--format", "gguf", "--dtype", "q4_k"}, "", exitUsage},
		{[]string{dir, "--format", "onnx"}, "", exitUsage},
		{[]string{filepath.Join(dir, "model"), "--format", "gguf", "--dtype", "bf16"}, filepath.Join(dir,
			"model-bf16.gguf"), 0},
		{[]string{filepath.Join(dir, "model"), "--checkpoint", "best", "--format", "gguf"}, "", exitUsage},
		{[]string{filepath.Join(dir, "model")}, "", exitUsage}, // is a folder already
		{[]string{filepath.Join(dir, "nothing")}, "", exitData},
		{[]string{filepath.Join(dir, "model-bf16.gguf"), "--out", filepath.Join(dir, "back")}, filepath.Join(dir, "back"), 0},
	} {
		if code := run(append([]string{"export", adapter}, c.args...)); code != c.code {
			t.Errorf("%q: exit code %d, want %d", c.args, code, c.code)
		}
		if _, err := os.Stat(c.made); c.made != "" && err != nil {
			t.Error(err)
		}
	}
	left, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range left {
		if strings.HasPrefix(f.Name(), ".export") {
			t.Errorf("%s is left", f.Name())
		}
	}
}

// What is made of an adapter's run is proved to be the run's, in every form; an adapter
// for llama.cpp comes back as PEFT's folder, from which a run begins. A change is found.
func TestVerify(t *testing.T) {
	traintest.RequireAdapter(t)
	traintest.CacheHome(t)
	path := traintest.Run(t, map[string]string{"schedule": "steps = 2"})
	for _, dora := range []string{"false", "true"} {
		if code := run([]string{"train", "--plain", "-o", "adapter.kind=lora", "-o", "adapter.rank=2", "-o",
			"adapter.dora=" + dora, path}); code != 0 {
			t.Fatal(code)
		}
	}
	dir := filepath.Join(filepath.Dir(path), "runs", "tiny")
	base, adapter := filepath.Join(filepath.Dir(path), "base"), "--adapter="+os.Getenv("CONCORD_ADAPTER")
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, c := range []struct {
		args []string
		code int
	}{
		{[]string{"verify", dir}, 0},
		{[]string{"verify", dir + "-2"}, 0}, // DoRA
		{[]string{"export", dir, "--format", "peft", "--dtype", "bf16", "--out", at("p")}, 0},
		{[]string{"verify", dir, at("p"), "--json"}, 0},
		{[]string{"export", dir + "-2", "--format", "peft", "--out", at("d"), "--verify"}, 0},
		{[]string{"verify", dir, at("d")}, exitData}, // another run's
		{[]string{"export", dir, "--format", "gguf", "--dtype", "q8_0", "--out", at("m.gguf")}, 0},
		{[]string{"verify", dir, at("m.gguf")}, 0},
		{[]string{"verify", dir + "-2", at("m.gguf")}, exitData},
		{[]string{"export", dir, "--format", "gguf-lora", "--out", at("a.gguf"), "--verify"}, 0},
		{[]string{"export", dir, "--format", "gguf-lora", "--out", at("a.gguf")}, exitData}, // is there
		{[]string{"export", dir, "--format", "gguf-lora", "--dtype", "q8_0"}, exitUsage},    // is float32
		{[]string{"export", dir + "-2", "--format", "gguf-lora"}, exitData},                 // DoRA
		{[]string{"export", base, "--format", "gguf-lora", "--out", at("b.gguf")}, exitData},
		{[]string{"import", at("a.gguf"), at("back")}, exitData},                    // of which base model
		{[]string{"import", at("a.gguf"), at("back"), "--base", at("p")}, exitData}, // is an adapter
		{[]string{"generate", "--model", at("a.gguf"), "Aa"}, exitData},
		{[]string{"import", at("a.gguf"), at("back"), "--base", base}, 0},
		{[]string{"import", at("m.gguf"), at("other"), "--base", base}, exitData},
		{[]string{"verify", dir, at("back")}, 0},
		{[]string{"train", "--plain", "-o", "adapter.from=" + at("back"), path}, 0},
		{[]string{"verify", dir, at("nothing")}, exitData},
		{[]string{"verify", base, at("p")}, exitData},
	} {
		if c.args[0] != "train" && c.args[0] != "import" {
			c.args = append(c.args, adapter)
		}
		if code := run(c.args); code != c.code {
			t.Errorf("%q: exit code %d, want %d", c.args, code, c.code)
		}
	}
}
