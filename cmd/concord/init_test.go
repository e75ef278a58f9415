package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"concord/internal/config"
	"concord/internal/train"
	"concord/internal/train/traintest"
)

// The run file that init writes for a device trains within its memory: as it is where there is
// room, else in less memory, else with an adapter; every line says why it is there. Where
// nothing fits there is no file.
func TestInitFitsTheDevice(t *testing.T) {
	traintest.RequireAdapter(t)
	dir := t.TempDir()
	traintest.Base(t, filepath.Join(dir, "base"), nil)
	if err := os.Mkdir(filepath.Join(dir, "data"), 0o755); err != nil {
		t.Fatal(err)
	}
	for i, lang := range traintest.Langs {
		file(t, filepath.Join(dir, "data"), lang+".jsonl", traintest.Examples(i, 0, 40))
	}
	planned := int64(0)
	for i, c := range []struct {
		card, memory string // a run may use 0.8 of a card
		says, lacks  string
	}{
		{"1GB", "819MB", "", "without"},
		{"2MB", "1638KB", "without batch.logits_chunk", "an adapter is trained"},
		{"1MB", "819KB", "without batch.rows = 2, batch.accumulate = 4", "an adapter is trained"},
		{"700KB", "560KB", "without batch.rows = 1, batch.accumulate = 8", "an adapter is trained"},
	} {
		run := filepath.Join(dir, fmt.Sprintf("run%d.toml", i))
		code, out, errs := concord(t, "", "init", filepath.Join(dir, "data"), "--model", filepath.Join(dir, "base"), "-o", run, "--card", c.card)
		if code != 0 || !strings.Contains(out, "a card of "+c.card) || !strings.Contains(out, c.says) || strings.Contains(out, c.lacks) {
			t.Fatalf("%s: %d\n%s%s", c.card, code, out, errs)
		}
		cfg, err := config.Load(run, nil)
		if err != nil || cfg.Batch.Rows*cfg.Batch.Accumulate != 8 {
			t.Fatalf("%s: a step of %d × %d rows, %v", c.card, cfg.Batch.Rows, cfg.Batch.Accumulate, err)
		}
		plain := []string{"train", run, "--plain", "-o", "device.memory=" + c.memory, "-o", "schedule.epochs=0", "-o", "schedule.steps=2",
			"-o", "memory.fit=off", "-o", "run.dir=" + filepath.Join(dir, "runs")}
		if code, out, errs := concord(t, "", plain...); code != 0 {
			t.Errorf("%s: the run does not train in %s: %d\n%s%s", c.card, c.memory, code, out, errs)
		}
		commented(t, run)
		if m := cfg.Batch.Rows; planned > 0 && int64(m) > planned {
			t.Errorf("%s: more rows at one time than on a larger card", c.card)
		}
		planned = int64(cfg.Batch.Rows)
	}
	run := filepath.Join(dir, "none.toml")
	code, _, errs := concord(t, "", "init", filepath.Join(dir, "data"), "--model", filepath.Join(dir, "base"), "-o", run, "--card", "100KB")
	if _, err := os.Stat(run); code != exitDevice || err == nil || !strings.Contains(errs, "fix: a smaller model") {
		t.Errorf("where nothing fits: %d, %v\n%s", code, err, errs)
	}
	run = filepath.Join(dir, "here.toml")
	code, out, errs := concord(t, "", "init", filepath.Join(dir, "data"), "--model", filepath.Join(dir, "base"), "-o", run)
	if code != 0 || !strings.Contains(out, "that a run may use on ") || strings.Contains(out, "a card of") {
		t.Errorf("this device: %d\n%s%s", code, out, errs)
	}
}

// Every setting that a plan may rest on is in the run file, and is named where the file says what it
// is there for.
func TestInitWritesEveryProposal(t *testing.T) {
	settings := map[string]string{}
	for i, key := range train.ProposedKeys {
		settings[key] = fmt.Sprint(i + 2)
	}
	l := lengths{seqLen: 64, rows: 8, device: fitted{name: "a card", proposal: train.Proposal{Settings: settings, Adapter: true}}}
	text := l.settings("model", "")
	for key, v := range settings {
		_, name, _ := strings.Cut(key, ".")
		if line := fmt.Sprintf("\n%s = %s # ", name, v); !strings.Contains(text, line) || !strings.Contains(l.device.why(), key+" = "+v) {
			t.Errorf("%s is not written, or not named:\n%s", key, text)
		}
	}
}

// commented wants a comment on every setting of the run file.
func commented(t testing.TB, path string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "#") && strings.Contains(line, " = ") && !strings.Contains(line, " # ") {
			t.Errorf("no comment: %s", line)
		}
	}
}

// Rows are as many as make a usual step of short ones, but leave an epoch its steps, and hold
// every language.
func TestRowsOf(t *testing.T) {
	for _, c := range []struct {
		seqLen, languages int
		tokens            float64
		want              int
	}{{512, 3, 1e9, 8}, {1024, 3, 1e9, 8}, {64, 3, 1e9, 64}, {128, 3, 1e9, 32}, {192, 3, 1e9, 16}, {64, 3, 64 * 50 * 20, 16}, {64, 3, 5000, 8},
		{64, 12, 5000, 12}, {64, 100, 1e9, 100}} {
		if got := rowsOf(c.seqLen, c.languages, c.tokens); got != c.want {
			t.Errorf("%+v: %d rows", c, got)
		}
	}
}
