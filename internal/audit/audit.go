// Package audit answers, for somebody's own data and model, whether languages hurt each
// other when they are trained together, which, where in the model, and which of the usual
// remedies would help: in a bounded budget, with intervals, and with "not distinguishable"
// as an answer.
//
// The measurement: each language alone against the mixture, at equal tokens of it, equal
// numbers of updates and the same rows in the same order, the learning rate tuned for both
// on a seed of its own (as in arXiv:2212.07530); the first-order effect of one language's step on another's loss, from
// gradients; remedies in short runs, paired by seed with the plain mixture.
//
// The way through it: a run file becomes Spec after Spec (schedule.go says which is next,
// from the results that are there and the budget), each an ordinary short run below
// OUT/runs (runner.go, spec.go) whose Result is kept; findings.go makes of the results
// the text of the report (report.go, text.go, html.go). A call stops within its budget; the next one
// goes on. Start reading at Run.
package audit

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"concord/internal/compare"
	"concord/internal/rundir"
	"concord/internal/study"
	"concord/internal/train"
)

// Options are the things that an audit is asked for.
type Options struct {
	Run      train.Varied  // the run file's
	Out      string        // its folder; "" is RUN.DIR/NAME-audit
	Budget   time.Duration // of this call; 0: no bound
	Tokens   int64         // to train on in this call; 0: no bound. One of the two bounds is given
	Steps    int           // of a run on all languages; 0: from the budget
	Seeds    int           // most that judge; 0 is 12
	Margin   float64       // bits per byte below which a difference does not matter; 0 is 0.01
	Remedies string        // when they are tried: "" and RemediesHurt where a language is hurt, RemediesAll in any case, RemediesNone never
	Controls bool          // also constructed data, on which the outcome is known
	Command  string        // as the user typed it, for the report
}

// When remedies are tried.
const (
	RemediesHurt = "hurt"
	RemediesAll  = "all"
	RemediesNone = "none"
)

// defaults and bounds of options.
const (
	defaultSeeds  = 12
	defaultMargin = 0.01
	fewestSeeds   = 3 // for a verdict
	fewestSteps   = 8 // of a run
)

// Run goes on with the audit until it is done or the budget of this call is used, and
// writes the report. Cancelling ctx ends it likewise, with train.ErrInterrupted. Errors
// are mistakes of the user's (fault.IsUsage) or of train's kinds.
func Run(ctx context.Context, o Options, ui train.UI) (*Report, error) {
	start := time.Now()
	o.Seeds, o.Margin = cmp.Or(o.Seeds, defaultSeeds), cmp.Or(o.Margin, defaultMargin)
	out := cmp.Or(o.Out, o.Run.Folder()+"-audit")
	if err := os.MkdirAll(out, 0o755); err != nil {
		return nil, train.DataError(fmt.Errorf("cannot make the audit's folder: %w", err))
	}
	warn := &study.Once{W: ui.Warn}
	release, err := rundir.Occupy(out, warn)
	if err != nil {
		return nil, err
	}
	defer release()
	a, err := prepare(o, out, warn)
	if err != nil {
		return nil, err
	}
	a.start, a.ui = start, train.UI{Out: ui.Out, Warn: warn, Quiet: ui.Quiet}
	stopped := a.all(ctx)
	rep := a.report()
	if err := rep.write(out); err != nil {
		return nil, err
	}
	return rep, stopped
}

// prepare reads and checks everything that needs no device, and pins it.
func prepare(o Options, out string, warn io.Writer) (*audit, error) {
	plan, err := plain(o.Run).Check()
	if err != nil {
		return nil, err
	}
	a := &audit{o: o, out: out, results: map[string]*Result{}, seed: o.Run.Run.Seed, unit: int64(plan.Rows * plan.SeqLen)}
	total := 0
	for _, d := range plan.Data {
		switch {
		case d.Seen && d.Heldout == 0:
			return nil, train.DataError(fmt.Errorf("%s: nothing of it is held out, so the audit cannot see what happens to "+
				"it\n  fix: holdout = 0.1 in its [[data.source]]", d.Lang))
		case d.Seen:
			a.langs, a.tokens = append(a.langs, d.Lang), append(a.tokens, float64(d.Tokens))
			total += d.Tokens
		case d.Heldout > 0:
			a.unseen = append(a.unseen, d.Lang)
		}
	}
	if len(a.langs) < 2 {
		return nil, train.DataError(fmt.Errorf("the run file trains on one language: an audit needs two that could hurt each other"))
	}
	if err := a.pin(o.Run, plan.Steps); err != nil {
		return nil, err
	}
	study.SayPatience(warn, o.Run, "audit")
	if e := o.Run.Eval; e.Error > 0 {
		fmt.Fprintf(warn, "concord: %s: eval.error is not for audits, which work within a budget: every run measures %d held-out examples of "+
			"each half of a language, the same ones (a lower eval.rows: fewer)\n", o.Run.Where("eval.error"), fewRows(e.Rows))
	}
	if a.base, err = compare.Split(plain(o.Run), filepath.Join(out, "data"), warn); err != nil {
		return nil, err
	}
	if o.Controls {
		if err := a.makeControls(); err != nil {
			return nil, err
		}
	}
	return a, a.readResults()
}
