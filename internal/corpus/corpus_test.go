package corpus

import (
	"errors"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"concord/internal/data"
	"concord/internal/fault"
	"concord/internal/train/traintest"
)

// options are those of a corpus in a new folder, with so many training examples of each of
// traintest.Langs and six held-out ones.
func options(t *testing.T, examples ...int) Options {
	t.Helper()
	dir := t.TempDir()
	base := filepath.Join(dir, "base")
	traintest.Base(t, base, nil)
	o := Options{Model: base, Folder: base, MaxLen: 16, Sampler: data.SamplerOptions{Rows: 4, SeqLen: 16, Seed: 3}, Length: Length{Steps: 6}}
	for i, lang := range traintest.Langs {
		path, heldout := filepath.Join(dir, lang+".jsonl"), filepath.Join(dir, lang+".heldout.jsonl")
		traintest.WriteFile(t, path, traintest.Examples(i, 0, examples[i]))
		traintest.WriteFile(t, heldout, traintest.Examples(i, 200, 206))
		o.Sources = append(o.Sources, data.Source{Lang: lang, Paths: []string{path}, Heldout: []string{heldout}, Train: true})
	}
	return o
}

func open(t *testing.T, o Options) *Corpus {
	t.Helper()
	c, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Prompts are the corpus's own texts, of every language.
func TestPrompts(t *testing.T) {
	out, err := open(t, options(t, 18, 18, 18)).Prompts(5)
	if err != nil || len(out) != 5 || out[0] == out[1] {
		t.Errorf("%q, %v", out, err)
	}
}

// A mixture of 95 and 5: the rare language is always with the other, the other hardly
// ever with it.
func TestMeetingsOfAMixture(t *testing.T) {
	o := options(t, 190, 10, 1)
	o.Length = Length{Epochs: 3}
	c := open(t, o)
	all := c.Records()
	aa, bb := float64(all[0].Met), float64(all[1].Met)
	if !(aa > 0.1 && aa < 0.4) || bb != 1 || math.IsNaN(float64(all[2].Met)) {
		t.Errorf("aa %v, bb %v, cc %v", aa, bb, all[2].Met)
	}
	if text := strings.Join(c.Warnings(Steps{Rows: 4, Accumulate: 1, Method: "pcgrad"}, all), "\n"); !strings.Contains(text, "one language") {
		t.Errorf("not told: %s", text)
	}
	two := 0.0
	for step := range c.Steps {
		langs := map[int]bool{}
		for _, m := range c.Sampler.Batch(step).Lang {
			langs[m] = true
		}
		if len(langs) > 1 {
			two++
		}
	}
	if got := c.Met(); math.Abs(got-two/float64(c.Steps)) > 1e-9 {
		t.Errorf("%v of the steps hold two languages, told %v", two/float64(c.Steps), got)
	}
}

// Another shape of the batch changes neither the length of the run nor the first corpus.
func TestResampled(t *testing.T) {
	o := options(t, 18, 18, 18)
	o.Length = Length{Epochs: 2}
	c := open(t, o)
	rows, steps := len(c.Sampler.Batch(0).Lang), c.Steps
	o.Sampler.Rows *= 2
	d, err := c.Resampled(o.Sampler)
	if err != nil || d.Steps != steps || len(d.Sampler.Batch(0).Lang) != 2*rows || len(c.Sampler.Batch(0).Lang) != rows {
		t.Errorf("%v: %d steps of %d rows, the first one's %d of %d", err, d.Steps, len(d.Sampler.Batch(0).Lang), steps, rows)
	}
}

// A setting that the data does not fit is refused by its key, with a fix.
func TestOpenRefuses(t *testing.T) {
	for key, change := range map[string]func(*Options){
		"objective.weights.xx": func(o *Options) { o.Named = map[string][]string{"objective.weights": {"aa", "xx"}} },
		"eval.patience": func(o *Options) {
			o.Patience = true
			for i := range o.Sources {
				o.Sources[i].Heldout = nil
			}
		},
	} {
		o := options(t, 18, 18, 18)
		change(&o)
		var s *fault.Setting
		if _, err := Open(o); !errors.As(err, &s) || s.Key != key || s.Fix == "" {
			t.Errorf("%s: %v", key, err)
		}
	}
}
