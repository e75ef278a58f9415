package corpus

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"concord/internal/data"
	"concord/internal/report"
)

// Records tells the counts of every language's files, and the use that the run makes
// of it.
func (c *Corpus) Records() []report.Data {
	out := make([]report.Data, len(c.Sets))
	epochs, met, m := c.Sampler.Epochs(c.Steps), c.meetings(), 0
	for i, s := range c.Sets {
		all := s.TrainStats
		out[i] = report.Data{Lang: s.Lang, Seen: c.Seen[i], Documents: s.Documents, Examples: all.Examples, Heldout: s.HeldoutStats.Examples,
			Tokens: all.Tokens, Supervised: all.Supervised, Bytes: all.Bytes,
			TooLong: all.TooLong + s.HeldoutStats.TooLong, Empty: all.Empty + s.HeldoutStats.Empty,
			Masked: all.FullyMasked + s.HeldoutStats.FullyMasked, Pieces: all.Pieces + s.HeldoutStats.Pieces,
			Overlong: fate(c.options.Overlong, all.Pieces+s.HeldoutStats.Pieces), Shared: s.HeldoutStats.Shared, Duplicates: all.Duplicates,
			Rendering: c.rendering(s), NoTools: all.NoTools + s.HeldoutStats.NoTools,
			Straddling: all.Straddling + s.HeldoutStats.Straddling, OwnMarks: all.OwnMarks + s.HeldoutStats.OwnMarks,
			Epochs: report.Float(math.NaN()), Met: report.Float(math.NaN()), Notes: append(slices.Clone(s.Notes), c.drawn[s.Lang]...)}
		if s.Train.Len() > 0 {
			out[i].Epochs, out[i].Met = report.Float(epochs[m]), report.Float(met.of[m])
			m++
		}
	}
	return out
}

// fate names the treatment, by data.overlong, of documents that were too long.
func fate(overlong string, pieces int) string {
	switch {
	case overlong == data.Truncate:
		return "truncated"
	case pieces > 0:
		return "split"
	}
	return "dropped"
}

// meetings tells how often a run's languages meet in a step.
type meetings struct {
	any  float64   // share of steps that hold two languages or more
	of   []float64 // by language: share of its steps that hold another too; NaN for none
	rows []float64 // by language: share of the rows
}

// Met is the share of the run's steps that hold two languages or more.
func (c *Corpus) Met() float64 { return c.meetings().any }

// meetings looks at the run's steps, of a long run at the first; the draw
// repeats itself.
func (c *Corpus) meetings() meetings {
	n := len(c.Sampler.Languages())
	out := meetings{of: make([]float64, n), rows: make([]float64, n)}
	steps := min(c.Steps, 1<<14)
	has, all := make([]float64, n), 0.0
	for step := range steps {
		rows, langs := c.Sampler.StepRows(step), 0
		for m, k := range rows {
			out.rows[m], all = out.rows[m]+float64(k), all+float64(k)
			if k > 0 {
				langs++
			}
		}
		if langs > 1 {
			out.any += 1 / float64(steps)
		}
		for m, k := range rows {
			if k > 0 {
				has[m]++
				if langs > 1 {
					out.of[m]++
				}
			}
		}
	}
	for m := range n {
		if out.of[m] /= has[m]; n == 1 {
			out.of[m] = math.NaN()
		}
		out.rows[m] /= all
	}
	return out
}

// The bounds of the warnings.
const (
	fewHeldout = 20   // held-out examples
	manyEpochs = 10   // passes over the same examples
	littleLoss = 0.05 // share of tokens with a loss
	seldomTwo  = 0.5  // share of steps with two languages
	mostMicro  = 64   // micro-batches that a fix may ask for
)

// Steps are a run's, as far as warnings depend on them.
type Steps struct {
	Rows       int    // of a micro-batch
	Accumulate int    // micro-batches
	Method     string // the first whose weights depend on more than one language; "" for none
	Outer      bool   // machines make steps alone, and resolve the changes
	BaseType   string // to which frozen weights are rounded; "" for none
	RunFile    string // its path
}

// Warnings lists the unusual things about a run's data and steps, each with the line that
// changes it.
func (c *Corpus) Warnings(how Steps, records []report.Data) []string {
	out := slices.Concat(c.MeetingWarning(how), c.turnWarning(), c.baseWarning(how))
	var none, few, often, little []string // languages, each with its figure
	for _, d := range records {
		if !d.Seen {
			continue
		}
		switch {
		case d.Heldout == 0:
			none = append(none, d.Lang)
		case d.Heldout < fewHeldout:
			few = append(few, fmt.Sprintf("%s: %d", d.Lang, d.Heldout))
		}
		if d.Epochs > manyEpochs {
			often = append(often, fmt.Sprintf("%s: %.0f times", d.Lang, float64(d.Epochs)))
		}
		if share := float64(d.Supervised) / float64(d.Tokens); share < littleLoss {
			little = append(little, fmt.Sprintf("%s: %.1f%%", d.Lang, 100*share))
		}
	}
	warn := func(format string, langs []string, fix string) {
		if len(langs) > 0 {
			out = append(out, fmt.Sprintf(format, strings.Join(langs, ", "))+"\nfix: "+fix)
		}
	}
	warn("nothing is held out (%s): not measured, and not in the mean that model-best is chosen by", none,
		"holdout = 0.05, or heldout = \"FILE\", in their [[data.source]]")
	warn("few documents are held out (%s): their figures will say little", few,
		"a larger holdout, or heldout = \"FILE\", in their [[data.source]]")
	warn("every example is read many times (%s)", often,
		fmt.Sprintf("fewer steps, more data, or data.temperature nearer to 1 (now %g)", c.options.Sampler.Temperature))
	warn("few tokens are trained on (%s)", little, "train_on = \"all\" in their [[data.source]], if their prompts are to be learnt too")
	return out
}

// MeetingWarning says so when most steps hold one language only, and the method acts
// on differences between languages.
func (c *Corpus) MeetingWarning(how Steps) []string {
	met := c.meetings()
	if met.any >= seldomTwo || len(met.rows) < 2 || how.Outer || how.Method == "" {
		return nil
	}
	rows := how.Rows * how.Accumulate
	need := int(math.Ceil(1 / (1 - slices.Max(met.rows)))) // rows, one of them of another language
	fix := fmt.Sprintf("batch.accumulate = %d", max(how.Accumulate+1, (need+how.Rows-1)/how.Rows))
	if need > mostMicro*how.Rows || met.any > 0 {
		fix += ", or data.temperature = 5, which draws rarer languages more often"
	}
	return []string{fmt.Sprintf("in %.0f%% of the steps all rows are of one language (%d a step, of %d languages): %s has "+
		"nothing to resolve there and is the same as mean\nfix: %s", 100*(1-met.any), rows, len(met.rows), how.Method, fix)}
}

// baseWarning says so where held-out figures are of a base that is rounded for the device, and
// the model that is written, or used with the adapter, has the exact one.
func (c *Corpus) baseWarning(how Steps) []string {
	if how.BaseType == "" || strings.EqualFold(how.BaseType, string(c.Model.DType)) {
		return nil
	}
	exact := []string{"eval", how.RunFile, "--model", "RUN", "-o", "model.base_type="}
	if strings.Contains(how.BaseType, "embeddings") {
		exact = append(exact, "-o", "model.embedding_type=")
	}
	return []string{fmt.Sprintf("held-out figures and answers are of the base in %s, as it is trained with; the model "+
		"that is written keeps the "+
		"exact base\nfix: none is needed; the written model is measured by %s", how.BaseType,
		report.Command(exact...))}
}
