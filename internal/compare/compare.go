// Package compare runs one fine-tune under many configurations with the same
// token budget, and writes one report: the experiment that says whether
// resolving gradient conflicts is worth it on somebody's own data.
//
// The baseline is not plain training but tuned scalarisation, which the
// literature finds hard to beat (Kurin et al. 2022, arXiv:2201.04122; Xin et al.
// 2022): learning rates, sampling temperatures and static weights. Learning rate and
// temperature are tried under every configuration. Each tuned setting is chosen on one
// half of the held-out examples (split.go) and under seeds of its own, and judged on the
// other half under other seeds, next to a reference that sees the same batches.
//
// The way through it: a Grid (grid.go) becomes a list of Spec (plan.go); the runner
// (runner.go) makes each an ordinary run folder below OUT/runs and keeps its
// Result (result.go); families of configurations, statistics and the verdict
// (report.go, verdict.go, internal/stats) become report.json, .md, .csv and .html.
// OUT/compare.lock.json (lock.go) pins the settings that the runs have in common. A
// comparison that was stopped, anywhere, continues where it was, to the same
// report but for times. Start reading at Run.
package compare

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"concord/internal/rundir"
	"concord/internal/study"
	"concord/internal/train"
)

// Options are the things that a comparison is asked for.
type Options struct {
	Run        train.Varied // the run file's
	Grid       Grid
	Out        string // its folder; "" is RUN.DIR/NAME-compare
	Jobs       int    // runs at one time; 0 is 1. More than one make the times worthless
	KeepModels bool   // keep every run's model
	Results    string // file of finished runs to begin with and to add to (records.go); "" is none
	Command    string // as the user typed it, for the report
}

// Run makes the runs that are missing and writes the report. Cancelling ctx
// finishes the step, saves and returns train.ErrInterrupted; the same call
// continues. Errors are *UsageError, other mistakes of
// the user's (fault.IsUsage), or of train's kinds. A run
// that fails is part of the report and no error.
func Run(ctx context.Context, o Options, ui train.UI) (*Report, error) {
	warn := &study.Once{W: ui.Warn}
	run := o.Run
	if err := o.Grid.check(run.LR, run.Data.Temperature, run.Run.Seed); err != nil {
		return nil, err
	}
	if err := o.Grid.checkData(run.Data); err != nil {
		return nil, err
	}
	out := cmp.Or(o.Out, run.Folder()+"-compare")
	if err := os.MkdirAll(out, 0o755); err != nil {
		return nil, train.DataError(fmt.Errorf("cannot make the comparison's folder: %w", err))
	}
	release, err := rundir.Occupy(out, warn)
	if err != nil {
		return nil, err
	}
	defer release()
	r, err := prepare(o, out, warn)
	if err != nil {
		return nil, err
	}
	warn.Before = r.breakLine
	r.ui = train.UI{Out: ui.Out, Warn: warn, Quiet: ui.Quiet}
	stopped := r.all(ctx)
	rep, err := r.report(o.Command)
	if err != nil {
		return nil, err
	}
	if err := rep.write(out); err != nil {
		return nil, err
	}
	return rep, stopped
}

// prepare reads and checks everything that needs no device, and pins it.
func prepare(o Options, out string, warn io.Writer) (*runner, error) {
	r := &runner{out: out, jobs: max(1, o.Jobs), keepModels: o.KeepModels, results: map[string]*Result{}, base: o.Run}
	if err := r.readData(o.Run); err != nil {
		return nil, err
	}
	if err := r.pin(o, warn); err != nil {
		return nil, err
	}
	study.SayPatience(warn, o.Run, "comparison")
	halves, err := Split(ownSettings(o.Run), filepath.Join(out, "data"), warn)
	if err != nil {
		return nil, err
	}
	r.base = halves
	return r, r.lock.write(out)
}

// readData checks the data and takes from it the counts that static weights depend on.
func (r *runner) readData(run train.Varied) error {
	// the run file's own objective may be none of the comparison's
	plain := Spec{Config{Method: familyMean, LR: run.LR, Temperature: run.Data.Temperature}, run.Run.Seed}
	plan, err := plain.apply(run, run.Run.Dir, nil).Check()
	if err != nil {
		return err
	}
	r.facts = facts{tokens: map[string]int{}, seed: run.Run.Seed, steps: plan.Steps}
	for _, d := range plan.Data {
		if d.Seen {
			r.facts.langs, r.facts.tokens[d.Lang] = append(r.facts.langs, d.Lang), d.Tokens
		}
	}
	return nil
}

// pin makes the lock, from the one that is there if it may be continued, and the
// plan.
func (r *runner) pin(o Options, warn io.Writer) error {
	g := o.Grid
	g.sweepStatic(r.facts.langs)
	now, err := newLock(o.Run, g)
	if err != nil {
		return err
	}
	before, err := readLock(r.out)
	if err != nil {
		return err
	}
	if before != nil {
		if err := before.continues(now, r.out); err != nil {
			return err
		}
		now.Grid, now.Examples = merge(before.Grid, now.Grid), before.Examples
	}
	if err := now.Grid.checkObjectives(o.Run, r.facts.langs); err != nil {
		return err
	}
	r.grid, r.lock = now.Grid, now
	if err := r.readResults(); err != nil {
		return err
	}
	if err := r.takeRecords(o.Results, warn); err != nil {
		return err
	}
	r.specs = r.plan()
	if before == nil {
		return nil
	}
	now.Version = before.Version
	return before.sameVersion(train.BuildVersion(), r.out, r.missing())
}

// ownSettings are the run file's with those of every run of a comparison: it
// measures once, at its end, unless -o eval.every asks for more, and keeps no
// more than the checkpoint it would be resumed from.
func ownSettings(c train.Varied) train.Varied {
	if !c.OnCommandLine("eval.every") {
		c.Eval.Every = 0
	}
	c.Eval.First, c.Eval.Last, c.Eval.Patience, c.Eval.MinGain = false, true, 0, 0 // all of its runs are equally long
	c.Checkpoint.Keep, c.Checkpoint.Best = 1, false
	return c
}
