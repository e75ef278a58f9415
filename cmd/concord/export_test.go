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
		{[]string{filepath.Join(dir, "model"), "--format", "gguf", "--dtype", "bf16"}, filepath.Join(dir, "model-bf16.gguf"), 0},
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
