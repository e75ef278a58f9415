package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"concord/internal/config"
	"concord/internal/corpus"
	"concord/internal/train/traintest"
)

// From a folder of data and a model to a run file that is checked, and what the data
// verbs say of it.
func TestInitAndData(t *testing.T) {
	dir := t.TempDir()
	traintest.Base(t, filepath.Join(dir, "base"), nil)
	for _, f := range []struct {
		name     string
		lang     int
		from, to int
	}{{"data/aa.train.jsonl", 0, 0, 60}, {"data/aa.heldout.jsonl", 0, 60, 67}, {"data/bb/one.jsonl", 1, 0, 30},
		{"data/bb/two.jsonl", 1, 30, 60}, {"data/cc.test.jsonl", 2, 0, 9}} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, f.name)), 0o755); err != nil {
			t.Fatal(err)
		}
		file(t, dir, f.name, traintest.Examples(f.lang, f.from, f.to))
	}
	run := filepath.Join(dir, "run.toml")
	code, out, errs := concord(t, "", "init", filepath.Join(dir, "data"), "--model", filepath.Join(dir, "base"), "-o", run)
	if code != 0 || !strings.Contains(out, "concord train") {
		t.Fatalf("init: %d\n%s%s", code, out, errs)
	}
	cfg, err := config.Load(run, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := cfg.Data.Source
	if len(s) != 3 || s[0].Lang != "aa" || s[0].Heldout.String() != "data/aa.heldout.jsonl" || len(s[1].Path) != 2 ||
		s[1].Holdout != 12 || cfg.Memory.Fit != config.FitAuto || s[2].Train || cfg.Model.Path != "base" || cfg.Batch.SeqLen != 64 {
		text, _ := os.ReadFile(run)
		t.Errorf("the run file:\n%s", text)
	}
	if code, _, errs := concord(t, "", "init", filepath.Join(dir, "data"), "--model", filepath.Join(dir, "base"), "-o",
		run); code != exitUsage || !strings.Contains(errs, "already") {
		t.Errorf("a run file that is there: %d, %s", code, errs)
	}
	var stats []corpus.Stats
	code, out, errs = concord(t, "", "data", "stats", run, "--json")
	if err := json.Unmarshal([]byte(out), &stats); code != 0 || err != nil || len(stats) != 3 || stats[0].Documents != 67 ||
		stats[0].Heldout != 7 || stats[1].Heldout < 12 || stats[2].Trained || stats[0].BytesToken <= 0 {
		t.Errorf("stats: %d, %v\n%s%s", code, err, out, errs)
	}
	code, out, errs = concord(t, "", "data", "mask", run, "--lang", "bb", "-n", "1")
	if code != 0 || !strings.Contains(out, "tokens are trained") || !strings.Contains(out, "«") || strings.Contains(out, "aa:") {
		t.Errorf("mask: %d\n%s%s", code, out, errs)
	}
	if code, _, errs := concord(t, "", "data", "mask", run, "--lang", "zz"); code != exitData || !strings.Contains(errs, "aa") {
		t.Errorf("mask of a language that is not there: %d, %s", code, errs)
	}
}

// A folder as people have it: columns with other names, one file of many languages, files that
// are no data; and what init cannot know is told with the flag that says it.
func TestInitOfMixedFolder(t *testing.T) {
	dir := t.TempDir()
	traintest.Base(t, filepath.Join(dir, "base"), nil)
	if err := os.Mkdir(filepath.Join(dir, "data"), 0o755); err != nil {
		t.Fatal(err)
	}
	var qa, other, many strings.Builder
	other.WriteString("pregunta,respuesta\r\n")
	for i := range 10 {
		fmt.Fprintf(&qa, "\uFEFF{\"question\":\"q%d\",\"answer\":\"a\"}\r\n\r\n"[3*min(i, 1):], i)
		fmt.Fprintf(&other, "p%d,r\r\n", i)
		fmt.Fprintf(&many, "{\"inputs\":\"i%d\",\"targets\":\"t\",\"language\":\"%c\"}\n", i, 'x'+i%2)
	}
	for name, text := range map[string]string{"qa.jsonl": qa.String(), "es.csv": other.String(), "all.jsonl": many.String(),
		"README.txt": "mine", "notes.md": "todo"} {
		file(t, filepath.Join(dir, "data"), name, text)
	}
	run := filepath.Join(dir, "run.toml")
	args := []string{"init", filepath.Join(dir, "data"), "--model", filepath.Join(dir, "base"), "-o", run}
	if code, _, errs := concord(t, "", args...); code != exitData || !strings.Contains(errs, "es.csv") ||
		!strings.Contains(errs, "--columns 'prompt=…") {
		t.Errorf("columns that nobody knows: %d, %s", code, errs)
	}
	args = append(args, "--columns", "prompt=pregunta;completion=respuesta")
	if code, _, errs := concord(t, "", args...); code != exitData || !strings.Contains(errs, "--template chatml") {
		t.Errorf("no template: %d, %s", code, errs)
	}
	code, out, errs := concord(t, "", append(args, "--template", "chatml")...)
	for _, want := range []string{"skipped README.txt, notes.md", "es: 2, qa: 2",
		`qa.jsonl: read with columns = {completion = "answer", prompt = "question"}`} {
		if code != 0 || !strings.Contains(out, want) {
			t.Fatalf("%d, want %q\n%s%s", code, want, out, errs)
		}
	}
	cfg, err := config.Load(run, nil)
	if err != nil {
		t.Fatal(err)
	}
	if s := cfg.Data.Source; len(s) != 3 || s[0].LangColumn != "language" || s[0].Lang != "" || s[1].Columns["prompt"] != "pregunta" ||
		s[2].Lang != "qa" || s[2].Holdout != 2 || cfg.Data.Template != "chatml" {
		text, _ := os.ReadFile(run)
		t.Errorf("the run file:\n%s", text)
	}
}

// Every language has a row of a step, and every setting that init writes has a comment.
func TestInitOfTwelveLanguages(t *testing.T) {
	dir := t.TempDir()
	traintest.Base(t, filepath.Join(dir, "base"), nil)
	if err := os.Mkdir(filepath.Join(dir, "data"), 0o755); err != nil {
		t.Fatal(err)
	}
	for i := range 12 {
		file(t, filepath.Join(dir, "data"), fmt.Sprintf("l%02d.jsonl", i), traintest.Examples(i%3, 0, 12))
	}
	file(t, filepath.Join(dir, "data"), "unseen.test.jsonl", traintest.Examples(0, 20, 26))
	run := filepath.Join(dir, "run.toml")
	code, out, errs := concord(t, "", "init", filepath.Join(dir, "data"), "--model", filepath.Join(dir, "base"), "-o", run)
	cfg, err := config.Load(run, nil)
	if code != 0 || err != nil || cfg.Batch.Rows != 12 || !strings.Contains(out, "12 rows") {
		t.Fatalf("%d, %v\n%s%s", code, err, out, errs)
	}
	commented(t, run)
}

// A file is shown and written as it is read; what is not known names the line that
// reads it.
func TestPeekAndConvert(t *testing.T) {
	dir := t.TempDir()
	qa := file(t, dir, "qa.csv", "question,answer\nuno,dos\ntres,cuatro\n")
	if code, _, errs := concord(t, "", "data", "peek", qa); code != exitData ||
		!strings.Contains(errs, `columns = {prompt = "question", completion = "answer"}`) {
		t.Errorf("peek: %d, %s", code, errs)
	}
	code, out, errs := concord(t, "", "data", "peek", qa, "-n", "1", "--columns", "prompt=question;completion=answer")
	if code != 0 || out != `{"prompt":"uno","completion":"dos"}`+"\n" {
		t.Errorf("peek with columns: %d, %s%s", code, out, errs)
	}
	to := filepath.Join(dir, "out.jsonl")
	if code, _, errs := concord(t, "", "data", "convert", qa, "-o", to, "--columns", "prompt=question;completion=answer"); code != 0 {
		t.Fatalf("convert: %d, %s", code, errs)
	}
	b, err := os.ReadFile(to)
	if err != nil || strings.Count(string(b), "\n") != 2 {
		t.Errorf("%q, %v", b, err)
	}
	if code, _, _ := concord(t, "", "data", "convert", qa, "-o", to); code != exitUsage {
		t.Errorf("a file that is there: %d", code)
	}
}
