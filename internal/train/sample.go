package train

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"slices"
	"strings"

	"concord/internal/config"
	"concord/internal/corpus"
	"concord/internal/data"
	"concord/internal/report"
)

// sample is the choice of the held-out examples that evaluations measure. It is part of a
// checkpoint, so that every evaluation of a run measures the same ones.
type sample struct {
	Seed   uint64 `json:"seed"`
	Counts []int  `json:"counts"` // by language, the most that are measured; 0: all
	// Foremost are the first ones of the files, as runs took them that began before
	// there were samples.
	Foremost bool `json:"foremost,omitempty"`
}

// pilot is how many examples of a language the first guess at eval.error rests on: the
// standard deviation of so many is known within a tenth.
const pilot = 64

// newSample is the one that eval.rows and eval.error begin with.
func newSample(c *corpus.Corpus, cfg config.Eval) sample {
	s := sample{Seed: cfg.Seed, Counts: make([]int, len(c.Sets))}
	for i := range s.Counts {
		if s.Counts[i] = cfg.Rows; cfg.Error > 0 {
			s.Counts[i] = atMost(cfg.Rows, pilot)
		}
	}
	return s
}

// atMost is n within a bound; 0 is no bound.
func atMost(bound, n int) int {
	if bound > 0 {
		return min(bound, n)
	}
	return n
}

// of are the examples of a language that are measured.
func (s sample) of(lang int, all data.Examples) data.Examples {
	n := 0
	if lang < len(s.Counts) {
		n = s.Counts[lang]
	}
	if s.Foremost {
		return data.First(all, n)
	}
	return data.Sample(all, n, s.Seed)
}

// sampleOf is the sample of the examples that e measured.
func sampleOf(e *report.Eval, seed uint64) sample {
	s := sample{Seed: seed}
	for _, r := range e.Rows {
		n := 0 // all of them
		if r.Sampled() {
			n = r.Examples
		}
		s.Counts = append(s.Counts, n)
	}
	return s
}

// grown is the sample with which each language's figure is as exact as asked, from the
// figures of e, which measured s: sampling in steps, each size from the variance seen before
// (Cochran, Sampling Techniques, 3rd ed., 1977, section 4.7). more is false where nothing
// is to be added.
func (s sample) grown(e *report.Eval, cfg config.Eval) (out sample, more bool) {
	out = sample{Seed: s.Seed, Counts: slices.Clone(s.Counts)}
	for i, r := range e.Rows {
		room := atMost(cfg.Rows, r.Heldout)
		half := r.Interval.Half()
		if r.Examples >= room || !(half > cfg.Error) || math.IsInf(half, 0) {
			continue
		}
		// A fifth more than it seems to take, as the variance is an estimate.
		want := 1.2 * float64(r.Examples) * (half / cfg.Error) * (half / cfg.Error)
		out.Counts[i], more = int(math.Min(float64(room), math.Ceil(want))), true
	}
	return out, more
}

// choice says how many examples eval.error came to, and where those held out do not suffice.
func choice(e *report.Eval, cfg config.Eval) (text string, short []string) {
	most, least, all := 0, math.MaxInt, 0
	for _, r := range e.Rows {
		if r.Examples == 0 {
			continue
		}
		most, least, all = max(most, r.Examples), min(least, r.Examples), max(all, r.Heldout)
		half := r.Interval.Half()
		if half <= cfg.Error {
			continue
		}
		why, fix := "the language has no more", "a larger holdout in [[data.source]]"
		if r.Examples < r.Heldout {
			why, fix = "eval.rows", fmt.Sprintf("rows = %d in [eval]", r.Heldout)
		}
		short = append(short, fmt.Sprintf("%s: %s held-out examples are measured (%s): ± %.3g bits per byte, and eval.error asks "+
			"for ± %.3g\n  fix: %s, or error = %.2g in [eval]", r.Lang, report.Count(int64(r.Examples)), why, half, cfg.Error, fix, up(half)))
	}
	if most == 0 {
		return "", nil
	}
	n := report.Count(int64(most))
	if least < most {
		n = report.Count(int64(least)) + " to " + n
	}
	return fmt.Sprintf("eval.error = %.3g: every evaluation measures the same %s held-out examples of a language, of up to %s", cfg.Error, n,
		report.Count(int64(all))), short
}

// up is x with two digits, not below it.
func up(x float64) float64 {
	unit := math.Pow(10, math.Floor(math.Log10(x))-1)
	return math.Ceil(x/unit) * unit
}

// sample takes up the choice of the run's earlier processes. One that took over from another leader
// finds it on record, at path.
func (t *Trainer) sample(s *state, path string) error {
	if s.Sample == nil && (s.Step > 0 || s.Last != nil) && t.cfg.Eval.Error == 0 { // by a version without samples
		old := newSample(t.corpus, t.cfg.Eval)
		old.Foremost = true
		s.Sample = &old
	}
	if s.Sample != nil || t.leads == nil || t.cfg.Eval.Error == 0 {
		return nil
	}
	e, err := recorded(path)
	if e != nil {
		now := sampleOf(e, t.cfg.Eval.Seed)
		s.Sample = &now
	}
	return err
}

// recorded is the last evaluation on record at path, nil where there is none.
func recorded(path string) (last *report.Eval, err error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for line := range bytes.Lines(b) {
		var e report.Eval
		if json.Unmarshal(line, &e) == nil && e.Kind == "eval" {
			last = &e
		}
	}
	return last, err
}

// sampleSize is Varied.SampleSize.
func sampleSize(ctx context.Context, cfg *config.Config, ui UI) (int, error) {
	if cfg.Model.Init == config.InitRandom {
		return 0, &config.Error{Where: cfg.Where("eval.error"), Msg: `eval.error: how many examples it takes is measured on the ` +
			`base model, and with model.init = "random" there is none`, Fix: "rows = 500  # in [eval], in place of error"}
	}
	e, err := Evaluate(ctx, cfg, "", ui)
	n := 0
	for _, r := range e.Rows {
		n = max(n, r.Examples)
	}
	return n, err
}

// tellSample says the choice of eval.error.
func tellSample(e *report.Eval, cfg config.Eval, say func(string)) {
	text, short := choice(e, cfg)
	if text != "" {
		say(text)
	}
	if len(short) > 0 {
		say(strings.Join(short, "\n"))
	}
}
