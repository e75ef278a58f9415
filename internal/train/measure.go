package train

import (
	"context"
	"fmt"
	"slices"
	"time"

	"concord/internal/report"
)

// evalDue says that the model as it stands is to be measured and was not yet.
// The first and the last measurement are not meant.
func (x *session) evalDue() bool {
	every := x.cfg.Eval.Every
	return every > 0 && x.Done > 0 && x.Done < x.corpus.Steps && x.crossed(every) && !x.measured() && x.eval.batches.Len() > 0
}

// measured says that the model as it stands was evaluated.
func (x *session) measured() bool { return x.state.Last != nil && x.state.Last.Step == x.Done }

// measure evaluates every language now.
func (x *session) measure(ctx context.Context) error {
	if x.eval.batches.Len() == 0 {
		return nil
	}
	e, err := x.evaluate(ctx)
	if err != nil {
		return err
	}
	x.count(&e)
	x.report.Eval(e)
	e.Answers = nil // they are on record: no part of a checkpoint
	x.state.Last = &e
	return nil
}

// openQuestions makes the questions that eval.samples asks for. Its memory is taken before the first
// step, where a lack of it costs nothing.
func (x *session) openQuestions() (err error) {
	say := func(text string) { fmt.Fprintln(x.ui.warn(), "concord:", text) }
	if x.ask, err = newQuestions(x.corpus, x.cfg, say); err == nil {
		x.speaker, err = x.ask.speaker(x.Model, x.corpus, baseFolder(x.cfg))
	}
	return err
}

func (x *session) closeQuestions() {
	if x.speaker != nil {
		x.speaker.Release()
	}
}

// relate gives e its intervals and its changes from the first evaluation.
func (x *session) relate(e *report.Eval) {
	if e.Step == 0 && x.state.Baseline == nil {
		x.state.BaselineNLL = nil
		for _, r := range e.Rows {
			nll := make([]float32, len(r.Docs))
			for i, d := range r.Docs {
				nll[i] = float32(d.NLL)
			}
			x.state.BaselineNLL = append(x.state.BaselineNLL, nll)
		}
		e.Relate(nil)
		return
	}
	e.Relate(x.baseline(e))
}

// baseline is the first evaluation with the documents of e, nil where there was none.
func (x *session) baseline(e *report.Eval) *report.Eval {
	b := x.state.Baseline
	if b == nil || len(b.Rows) != len(e.Rows) || len(x.state.BaselineNLL) != len(e.Rows) {
		return b
	}
	out := *b
	out.Rows = slices.Clone(b.Rows)
	for i := range out.Rows {
		nll := x.state.BaselineNLL[i]
		if len(nll) != len(e.Rows[i].Docs) {
			return b
		}
		out.Rows[i].Docs = slices.Clone(e.Rows[i].Docs) // of the same bytes
		for k := range nll {
			out.Rows[i].Docs[k].NLL = float64(nll[k])
		}
	}
	return &out
}

// keepSample makes the sample a part of the checkpoints, as soon as it stays.
func (x *session) keepSample() {
	if x.eval.fixed {
		s := x.eval.sample
		x.state.Sample = &s
	}
}

// evaluate measures every language with the model as it stands.
func (x *session) evaluate(ctx context.Context) (report.Eval, error) {
	if err := x.Shape(x.cfg.Batch.Rows); err != nil {
		return report.Eval{}, err
	}
	start := time.Now()
	e, chose, err := x.eval.measure(ctx, x.Engine, x.Model, x.Input, x.Done)
	if err == nil {
		x.keepSample()
		if chose {
			tellSample(&e, x.cfg.Eval, func(text string) { x.say("%s", text) })
		}
		x.relate(&e)
		err = x.ask.ask(ctx, x.speaker, &e)
	}
	e.Seconds = time.Since(start).Seconds()
	return e, err
}
