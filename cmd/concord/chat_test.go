package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"concord/internal/train/traintest"
)

// A chat over standard input: each line is a question with all before it, /new
// forgets, and one answer a question is on standard output.
func TestChat(t *testing.T) {
	traintest.RequireAdapter(t)
	base := filepath.Join(t.TempDir(), "base")
	traintest.Base(t, base, nil)
	ask := func(stdin string, flags ...string) (code int, out, errs string) {
		return concord(t, stdin, append([]string{"chat", base, "--max-tokens", "3"}, flags...)...)
	}
	if code, _, errs := ask("hi\n"); code != exitData || !strings.Contains(errs, "no chat template") ||
		!strings.Contains(errs, "--template chatml") {
		t.Fatalf("without a template: exit code %d\n%s", code, errs)
	}
	file(t, base, "chat_template.jinja", `{% for m in messages %}{{ m.role[0] + m.content + '\n' }}{% endfor %}{% if `+
		`add_generation_prompt %}a{% endif %}`)
	code, out, errs := ask("hi\n\nyou\n/new\nhi\n/quit\nno", "--json", "--system", "s")
	if code != 0 {
		t.Fatalf("exit code %d\n%s", code, errs)
	}
	var lengths []int
	for d := json.NewDecoder(strings.NewReader(out)); d.More(); {
		var answer struct {
			Prompt []uint32 `json:"prompt_ids"`
			Text   string
		}
		if err := d.Decode(&answer); err != nil {
			t.Fatal(err)
		}
		lengths = append(lengths, len(answer.Prompt))
	}
	if len(lengths) != 3 || lengths[0] != len("ss\nuhi\na") || lengths[1] <= lengths[0]+len("\nuyou\na")-1 || lengths[2] != lengths[0] {
		t.Errorf("asked with %v tokens: want a question, the same and another, and the first again", lengths)
	}
	for _, says := range []string{"chat template of chat_template.jinja", "stops at <|eos|> ("} {
		if !strings.Contains(errs, says) {
			t.Errorf("it does not say %q:\n%s", says, errs)
		}
	}
	if code, out, _ := ask("hi"); code != 0 || !strings.HasSuffix(out, "\n") || strings.HasPrefix(out, "hi") {
		t.Errorf("the last line without its end: exit code %d, %q", code, out)
	}
	if code, out, errs := ask("hi\nyou\n", "--ab", base); code != 0 || strings.Count(out, "── "+base+"\n") != 4 {
		t.Errorf("two models: exit code %d, %q\n%s", code, out, errs)
	} else if a, b, _ := strings.Cut(strings.TrimPrefix(out, "── "+base+"\n"), "── "+base+"\n"); !strings.HasPrefix(b, a) {
		t.Errorf("the same model twice answers %q and %q", a, b)
	}
	if code, _, errs := ask("hi\n", "--context", "-1"); code != exitUsage || !strings.Contains(errs, "--context") {
		t.Errorf("exit code %d\n%s", code, errs)
	}
	if code, _, errs := concord(t, "", "generate", "--model", base, "--raw", "--system", "x", "hi"); code != exitUsage ||
		!strings.Contains(errs, "--raw") {
		t.Errorf("exit code %d\n%s", code, errs)
	}
}

// --ab base is the run's own base model, asked by the run's template; of a folder of no
// run it is not known.
func TestChatBase(t *testing.T) {
	traintest.RequireAdapter(t)
	runFile := traintest.Run(t, map[string]string{"data": `template = "chatml"`, "schedule": "steps = 2",
		"eval": "every = 0\nfirst = false\nlast = false", "batch": "seq_len = 64\nrows = 3", "optim": "lr = 0.5"})
	dir := filepath.Dir(runFile)
	run, base := filepath.Join(dir, "runs", "tiny"), filepath.Join(dir, "base")
	if code, _, errs := concord(t, "", "train", runFile, "--plain"); code != 0 {
		t.Fatal(errs)
	}
	answer := func(args ...string) string {
		t.Helper()
		code, out, errs := concord(t, "hi\n", append([]string{"chat", "--max-tokens", "8"}, args...)...)
		if code != 0 {
			t.Fatalf("%v: exit code %d\n%s", args, code, errs)
		}
		return out
	}
	tuned, plain := answer(run), answer(base, "--template", "chatml")
	if tuned == plain {
		t.Fatal("training has changed nothing: the test tells the models apart by nothing")
	}
	for _, model := range []string{run, filepath.Join(run, "model")} {
		if got, want := answer(model, "--ab", "base"), "── "+model+"\n"+tuned+"── base ("+base+")\n"+plain; got != want {
			t.Errorf("%s: %q, want %q", model, got, want)
		}
	}
	if code, _, errs := concord(t, "hi\n", "chat", base, "--template", "chatml", "--ab", "base"); code != exitUsage ||
		!strings.Contains(errs, "neither a run nor an adapter") {
		t.Errorf("of a folder: exit code %d\n%s", code, errs)
	}
}
