package train

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"concord/internal/config"
	"concord/internal/infer"
	"concord/internal/report"
	"concord/internal/rundir"
	"concord/internal/safetensors"
)

// sampled are the evaluations of the run in dir.
func sampled(t *testing.T, dir string) (out []report.Eval) {
	t.Helper()
	b, err := os.ReadFile(rundir.Metrics(dir))
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(b) {
		var e report.Eval
		if json.Unmarshal(line, &e) == nil && e.Kind == "eval" {
			out = append(out, e)
		}
	}
	return out
}

// Of which answers there is no score is said by language.
func TestUnscored(t *testing.T) {
	q := questions{most: 2, list: []question{{lang: "aa", wanted: make([]uint32, 3)}, {lang: "aa", wanted: make([]uint32, 2)},
		{lang: "bb", wanted: make([]uint32, 1)}, {lang: "cc", wanted: make([]uint32, 7)}}}
	if got, want := q.unscored(), "aa 1 of 2, up to 3 tokens; cc 1 of 1, up to 7 tokens"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	cfg := tiny(t, "eval.samples=2", "eval.sample_tokens=1", "schedule.steps=1", "eval.last=false")
	var warned strings.Builder
	if _, err := Run(t.Context(), cfg, UI{Out: io.Discard, Warn: &warned}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(warned.String(), "longer answers of the data are shown and not scored") {
		t.Errorf("a run says %q", warned.String())
	}
}

// Answers at evaluations are those that the tuned model gives, to prompts that stay the
// same, and asking changes no bit of the run.
func TestAnswers(t *testing.T) {
	settings := []string{"eval.samples=2", "eval.sample_tokens=5", "schedule.steps=4", "eval.every=2"}
	cfg := tiny(t, settings...)
	var out strings.Builder
	if _, err := Run(t.Context(), cfg, UI{Out: &out}); err != nil {
		t.Fatal(err)
	}
	evals := sampled(t, cfg.OutDir())
	if len(evals) != 3 {
		t.Fatalf("%d evaluations", len(evals))
	}
	last := evals[2]
	for _, e := range evals {
		if len(e.Answers) != 8 { // of 4 languages
			t.Fatalf("step %d: %d answers", e.Step, len(e.Answers))
		}
		for i, a := range e.Answers {
			if a.Prompt != last.Answers[i].Prompt || a.Wanted == "" || !a.Scored {
				t.Errorf("step %d: %+v", e.Step, a)
			}
		}
		for _, r := range e.Rows {
			if r.Answers != 2 || r.Exact == nil || r.ChrF == nil || !(r.ChrF.Value >= 0 && r.ChrF.Value <= 100) {
				t.Errorf("step %d: %+v", e.Step, r)
			}
		}
	}
	a := last.Answers[0]
	got, err := infer.Generate(cfg.OutDir(), infer.Generation{Prompt: a.Prompt, Raw: true, MaxTokens: 5, TopP: 1},
		DeviceOptions(cfg.Device, io.Discard))
	if err != nil || got.Text != a.Answer || (got.Stopped != "length") != a.Ended {
		t.Errorf("the tuned model answers %+v (%v), the evaluation has %+v", got, err, a)
	}
	for _, text := range []string{" answers ", "exact match", "chrF2", "→"} {
		if !strings.Contains(out.String(), text) {
			t.Errorf("%q is not on the screen:\n%s", text, out.String())
		}
	}
	plain := tiny(t, "schedule.steps=4", "eval.every=2")
	if _, err := Run(t.Context(), plain, UI{Out: &strings.Builder{}}); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(modelBytes(t, plain), modelBytes(t, cfg)) {
		t.Error("asking the model changes it")
	}
}

func modelBytes(t *testing.T, cfg *config.Config) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(cfg.OutDir(), rundir.ModelFolder, safetensors.SingleFile))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestAnswersResumeExactly(t *testing.T) {
	settings := []string{"eval.samples=1", "eval.sample_tokens=3", "schedule.steps=3", "eval.every=1"}
	if d := uninterrupted(t, settings...).Differ(interruptedAtEveryStep(t, 3, settings...)); d != "" {
		t.Error(d)
	}
}

// What all prompts share is not shown, up to marks and line ends.
func TestShorten(t *testing.T) {
	cfg := tiny(t)
	c, err := OpenCorpus(cfg)
	if err != nil {
		t.Fatal(err)
	}
	q := &questions{}
	for _, text := range []string{"You help.\nuser says one thing?\nassistant:\n", "You help.\nuser says another?\nassistant:\n"} {
		ids, err := c.Tokenizer.Encode(text, true)
		if err != nil {
			t.Fatal(err)
		}
		q.list = append(q.list, question{ids: ids})
	}
	q.shorten(c.Tokenizer)
	shown := []string{q.list[0].shown, q.list[1].shown}
	if want := []string{"user says one thing?", "user says another?"}; !slices.Equal(shown, want) {
		t.Errorf("%q, want %q", shown, want)
	}
}
