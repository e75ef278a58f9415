package train

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"concord/internal/config"
	"concord/internal/train/traintest"
)

// edited is the fixture's run file with a change.
func edited(t *testing.T, from, to string, overrides ...string) *config.Config {
	t.Helper()
	path := traintest.Run(t, nil)
	b, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(b), from) {
		t.Fatalf("%q is not in the run file: %v", from, err)
	}
	traintest.WriteFile(t, path, strings.Replace(string(b), from, to, 1))
	return load(t, path, overrides...)
}

func warned(t *testing.T, cfg *config.Config) string {
	t.Helper()
	p, err := Check(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(p.Warnings, "\n")
}

// A method that never sees two languages in a step is told of before the run, with a
// fix that works, and again at its end.
func TestLanguagesThatNeverMeet(t *testing.T) {
	const says = "all rows are of one language"
	for _, method := range []string{"pcgrad", "mgda", "famo", "gradnorm", "graddrop"} {
		if text := warned(t, load(t, traintest.Run(t, nil), "batch.rows=1", "objective.method="+method)); !strings.Contains(text,
			"in 100% of the steps "+says) || !strings.Contains(text, "fix: batch.accumulate = 2") {
			t.Errorf("%s, one row a step:\n%s", method, text)
		}
	}
	for _, fine := range [][]string{{"batch.rows=1", "objective.method=mean"}, {"batch.rows=1", "objective.method=token-mean"},
		{"batch.rows=1", "objective.method=rlw"}, {"batch.rows=1", "batch.accumulate=2"}, {"batch.rows=2"}, {}} {
		cfg := load(t, traintest.Run(t, nil), fine...)
		if text := warned(t, cfg); strings.Contains(text, says) {
			t.Errorf("%v:\n%s", fine, text)
		}
	}
	cfg := tiny(t, "batch.rows=1", "schedule.steps=3", "eval.every=0")
	out, err := until("", running(cfg))
	if err != nil || strings.Count(out, says) != 2 || !strings.Contains(out, "0% of the steps hold two languages or more") {
		t.Errorf("%v:\n%s", err, out)
	}
}

// A trained language without held-out examples is said at the start and stays in the
// closing table; the mean tells of how many languages it is.
func TestNothingIsHeldOut(t *testing.T) {
	traintest.RequireAdapter(t)
	cfg := edited(t, "heldout = \"bb.heldout.jsonl\"\n", "", "schedule.steps=2", "eval.every=1")
	out, err := until("", running(cfg))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"nothing is held out (bb): not measured, and not in the mean that model-best is " +
		"chosen by\n         fix: holdout", "bb       seen    not measured", "2 of 3", "few documents are held out (aa: 6, cc: 6): their figures will say little",
		"few documents are held out (aa: 6,"} {
		if !strings.Contains(out, want) {
			t.Errorf("not told: %q\n%s", want, out)
		}
	}
	if strings.Contains(out, "NaN") {
		t.Errorf("NaN:\n%s", out)
	}
}

// Figures of a rounded base are said to be that, where rounding changes it.
func TestFiguresOfARoundedBase(t *testing.T) {
	for base, said := range map[string]bool{"int8": true, "nf4": true, "f16": true, "": false} {
		for _, untrained := range []string{"adapter.kind=lora", `model.freeze=["*mlp*"]`} {
			cfg := load(t, traintest.Run(t, nil), untrained, "model.base_type="+base)
			if text := warned(t, cfg); strings.Contains(text, "of the base in "+base+",") != said {
				t.Errorf("%s, base_type %q: %s", untrained, base, text)
			}
		}
	}
}

func TestOtherWarnings(t *testing.T) {
	text := warned(t, load(t, traintest.Run(t, nil), "schedule.steps=100"))
	if !strings.Contains(text, "every example is read many times (aa: ") || !strings.Contains(text, "fix: fewer steps") {
		t.Errorf("many epochs:\n%s", text)
	}
	cfg := edited(t, "", "")
	long := ""
	for i := range 30 {
		long += fmt.Sprintf("{\"prompt\": \"%s%c\", \"completion\": \"x\"}\n", strings.Repeat("ab", 30), 'a'+i)
	}
	traintest.WriteFile(t, cfg.Resolve("aa.jsonl"), long)
	if text := warned(t, load(t, cfg.Path(), "batch.seq_len=64", "schedule.steps=2")); !strings.Contains(text,
		"few tokens are trained on (aa: 3.2%)\nfix: train_on") {
		t.Errorf("long prompts:\n%s", text)
	}
}
