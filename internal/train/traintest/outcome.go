package traintest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"concord/internal/peft"
)

// Outcome is everything of a finished run that must not depend on how often it
// was interrupted: the model's and the last checkpoint's files, and the metrics
// of steps and evaluations without their times.
type Outcome struct {
	files   map[string]string
	metrics []string
	pairs   int
}

// OutcomeOf reads the run in dir.
func OutcomeOf(t testing.TB, dir string) Outcome {
	t.Helper()
	o := Outcome{files: map[string]string{}}
	last, err := filepath.Glob(filepath.Join(dir, "checkpoints", "step-*")) // sorted
	if err != nil || len(last) == 0 {
		t.Fatalf("no checkpoint in %s: %v", dir, err)
	}
	weights, config := "model.safetensors", "config.json"
	if _, err := os.Stat(filepath.Join(dir, "model", peft.ConfigFile)); err == nil {
		weights, config = peft.WeightsFile, peft.ConfigFile
	}
	for name, p := range map[string]string{
		"model": filepath.Join(dir, "model", weights), "config": filepath.Join(dir, "model", config),
		"checkpoint": filepath.Join(last[len(last)-1], "tensors.safetensors"),
	} {
		b, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		project := filepath.Dir(filepath.Dir(dir)) // an adapter names its base model
		o.files[name] = strings.ReplaceAll(string(b), project, "")
	}
	for _, r := range Records(t, dir) {
		if r["kind"] == "step" || r["kind"] == "eval" {
			for _, measured := range []string{"seconds", "memory_bytes", "peak_bytes", "exchange"} {
				delete(r, measured)
			}
			if n, ok := r["negative_pairs"].(float64); ok {
				o.pairs += int(n)
			}
			b, err := json.Marshal(r) // keys in order
			if err != nil {
				t.Fatal(err)
			}
			o.metrics = append(o.metrics, string(b))
		}
	}
	return o
}

// Records reads a run's metrics.
func Records(t testing.TB, dir string) []map[string]any {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "metrics.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	var out []map[string]any
	for line := range bytes.Lines(b) {
		var r map[string]any
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatalf("metrics.jsonl: %v in %q", err, line)
		}
		out = append(out, r)
	}
	return out
}

// Conflicts is the number of negative pairs of languages over all steps and
// buckets.
func (o Outcome) Conflicts() int { return o.pairs }

// Model is the model alone: the rest may be of the machine that led, with the state that only
// that one holds.
func (o Outcome) Model() Outcome {
	return Outcome{files: map[string]string{"model": o.files["model"], "config": o.files["config"]}}
}

// Differ says how two outcomes differ, "" if they do not.
func (o Outcome) Differ(p Outcome) string {
	for name, b := range o.files {
		if other, ok := p.files[name]; !ok || other != b {
			return fmt.Sprintf("%s differs (%d and %d bytes)", name, len(b), len(other))
		}
	}
	if len(o.files) != len(p.files) {
		return "other files"
	}
	for i := range max(len(o.metrics), len(p.metrics)) {
		if a, b := at(o.metrics, i), at(p.metrics, i); a != b {
			return fmt.Sprintf("metrics differ in record %d:\n%s\n%s", i+1, a, b)
		}
	}
	return ""
}

func at(s []string, i int) string {
	if i < len(s) {
		return s[i]
	}
	return "(none)"
}
