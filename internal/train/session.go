package train

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"time"

	"concord/internal/infer"
	"concord/internal/report"
	"concord/internal/rundir"
	"concord/internal/step"
)

// session is one process of a run: from its start or a resume to its end or an
// interruption.
type session struct {
	*Trainer
	dir     string
	state   state
	eval    *evaluator
	ask     *questions     // nil: none
	speaker *infer.Speaker // answers them
	report  *report.Reporter
	started time.Time
	ui      UI
	paused  bool
}

// loop trains to the end.
func (t *Trainer) loop(ctx context.Context, dir string, s state, ui UI) (*Summary, error) {
	if err := trimMetrics(rundir.Metrics(dir), t.Done, s.Last); err != nil {
		return nil, DataError(fmt.Errorf("%s: %w", rundir.MetricsFile, err))
	}
	metrics, err := os.OpenFile(rundir.Metrics(dir), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, DataError(fmt.Errorf("cannot write metrics: %w", err))
	}
	defer metrics.Close()
	cosines, err := report.ReadCosines(rundir.Metrics(dir))
	if err != nil {
		return nil, DataError(fmt.Errorf("cannot read metrics: %w", err))
	}
	forget(dir)
	if err := errors.Join(t.patience(&s, rundir.Metrics(dir)), t.sample(&s, rundir.Metrics(dir))); err != nil {
		return nil, DataError(err)
	}
	x := &session{Trainer: t, dir: dir, state: s, started: time.Now(), ui: ui,
		report: report.New(report.Options{Out: ui.Out, Terminal: ui.Terminal, Width: ui.Width, Quiet: ui.Quiet, JSONL: metrics,
			Cosines: cosines, LogEvery: t.logEvery(), Watch: ui.Watch, Tap: ui.Record})}
	defer x.report.Close()
	if x.eval, err = newEvaluator(t.corpus, t.cfg, s.Sample); err != nil {
		return nil, err
	}
	x.keepSample()
	x.eval.progress = x.report.Evaluating
	if err := x.openQuestions(); err != nil {
		return nil, err
	}
	defer x.closeQuestions()
	if ui.Folder != nil {
		ui.Folder(dir)
	}
	x.report.Begin(x.header())
	x.report.Compare(s.Baseline, s.Last)
	if t.Done == 0 && s.Baseline == nil && t.cfg.Eval.First {
		if err := x.measure(ctx); err != nil {
			return nil, x.stopped(ctx, err)
		}
		x.state.Baseline = x.state.Last
	}
	if x.evalDue() { // the interruption came before it
		if err := x.after(ctx); err != nil {
			return nil, x.stopped(ctx, err)
		}
	}
	for t.Done < t.corpus.Steps && !x.state.Patience.Over() {
		if ctx.Err() != nil {
			return nil, x.stopped(ctx, ctx.Err())
		}
		if err := x.advance(ctx); err != nil {
			if errors.Is(err, context.Canceled) {
				return nil, x.stopped(ctx, err)
			}
			return nil, x.failed(err)
		}
		if err := x.after(ctx); err != nil {
			return nil, x.stopped(ctx, err)
		}
		if err := x.control(ctx); err != nil {
			return nil, x.stopped(ctx, err)
		}
	}
	return x.finish(ctx)
}

// advance makes one step and records it, with a probe where one is due.
func (x *session) advance(ctx context.Context) error {
	if every := x.cfg.Probe.Every; every > 0 && x.machines == nil && (x.Done+1)%every == 0 {
		r, p, err := x.Probe(ctx)
		if err != nil {
			return err
		}
		x.report.Step(r)
		x.report.Record(p)
	} else {
		r, err := x.Step(ctx)
		if errors.Is(err, step.ErrCaughtUp) {
			x.say("took over the weights of step %d from another machine", x.Done)
			if err := x.lostLeadership(); err != nil {
				return err
			}
			return x.unsaved(x.recent.fillRecord(rundir.Metrics(x.dir), x.Done))
		}
		if err != nil {
			return err
		}
		x.recent.remember(r)
		if err := x.lostLeadership(); err != nil { // its successor records the step
			return err
		}
		x.report.Step(r)
	}
	if (x.Done-1)%x.gramEvery() == 0 || x.cfg.OuterSteps() > 0 {
		if g, ok := x.Grams(); ok {
			x.report.Record(g)
		}
	}
	return nil
}

// after evaluates and saves where a step is due for it.
func (x *session) after(ctx context.Context) error {
	improved := false
	if x.evalDue() {
		if err := x.measure(ctx); err != nil {
			return err
		}
		m := meanSeen(*x.state.Last)
		improved = x.cfg.Checkpoint.Best && !math.IsInf(m, 1) && (x.state.BestStep == 0 || m < x.state.Best)
		if improved {
			x.state.Best, x.state.BestStep = m, x.Done
		}
	}
	if err := x.report.Err(); err != nil {
		return x.unsaved(err)
	}
	if every := x.cfg.Checkpoint.Every; improved || every > 0 && x.crossed(every) && x.Done < x.corpus.Steps {
		return x.save(ctx)
	}
	return nil
}
