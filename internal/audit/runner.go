package audit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"concord/internal/param"
	"concord/internal/report"
	"concord/internal/rundir"
	"concord/internal/train"
)

// audit is one on its way.
type audit struct {
	o      Options
	out    string
	base   train.Varied // of every run, its held-out examples in halves
	langs  []string     // trained on
	tokens []float64    // of training data, by language
	unseen []string     // only measured
	params []param.Spec // of the model; none where its form tells nothing before it is loaded
	layers int
	lr     float64 // the run file's
	seed   uint64
	unit   int64 // positions of a step

	plan     lock
	results  map[string]*Result
	controls map[string]*control

	ui    train.UI
	start time.Time
	spent int64 // tokens trained on in this call
	made  int   // runs in this call
	why   string
}

func metrics(dir string) string { return rundir.Metrics(dir) }

// all makes runs until nothing is left to do or the budget of this call is used.
func (a *audit) all(ctx context.Context) error {
	if err := a.lengths(ctx); err != nil {
		return err
	}
	for {
		s, ok := a.next()
		if err := a.plan.write(a.out); err != nil {
			return err
		}
		if !ok {
			return nil
		}
		if a.made > 0 && !a.affordable(s) {
			a.why = "the budget of this call is used; the same command goes on"
			return nil
		}
		if err := a.one(ctx, s); err != nil {
			return err
		}
	}
}

// remedyCost is the price of a step where gradients by language are resolved, in steps of the
// mixture, before it was measured.
const remedyCost = 2

// cost is the time of a run, in steps of the mixture.
func (a *audit) cost(s Spec) float64 {
	switch s.Arm {
	case armAlone:
		return a.share(s) * float64(a.plan.Steps)
	case armMixture:
		return float64(a.plan.Steps)
	}
	return remedyCost * float64(a.plan.Steps)
}

// affordable says that a run fits the rest of the call's budget.
func (a *audit) affordable(s Spec) bool {
	if a.o.Tokens > 0 {
		want := float64(a.unit) * float64(a.plan.Steps)
		if s.Arm == armAlone {
			want *= a.share(s)
		}
		return a.spent+int64(want) <= a.o.Tokens
	}
	if a.o.Budget == 0 {
		return true
	}
	want, n := 0.0, 0.0
	for _, r := range a.results { // as long as its like
		if r.Arm == s.Arm && (s.Arm != armAlone || r.Only == s.Only) && r.Error == "" {
			want, n = want+r.Seconds, n+1
		}
	}
	if n > 0 {
		want /= n
	} else {
		want = a.plan.StepSeconds*a.cost(s) + a.plan.EvalSeconds
	}
	return time.Since(a.start).Seconds()+want <= a.o.Budget.Seconds()
}

// spread is about how many runs on all languages an audit is made of; a run's length
// follows from it and the budget.
const (
	spreadTuning   = 6  // three rates of the mixture and of all languages alone
	spreadJudging  = 6  // three seeds of both
	spreadRemedies = 12 // some remedies, three seeds each
	spreadRuns     = spreadTuning + spreadJudging + remedyCost + spreadRemedies
)

// lengths fixes the steps of a run, in the first call: a step is timed and divided into
// the budget.
func (a *audit) lengths(ctx context.Context) error {
	p := &a.plan
	if p.Steps > 0 {
		return nil
	}
	steps := 0
	switch {
	case a.o.Steps > 0:
		steps = a.o.Steps
	case a.o.Tokens > 0:
		steps = int(a.o.Tokens / a.unit / spreadRuns)
	default:
		if err := a.time(ctx); err != nil {
			return err
		}
		left := a.o.Budget.Seconds() - time.Since(a.start).Seconds() - spreadRuns*p.EvalSeconds
		steps = int(left / spreadRuns / p.StepSeconds)
	}
	p.Steps = min(max(steps, fewestSteps), max(p.RunSteps, fewestSteps))
	if a.o.Steps > 0 {
		p.Steps = a.o.Steps
	}
	note := ""
	if steps < fewestSteps {
		note = "; the budget is too small for that in one call: it stops in between, and the same command goes on (or --steps, --budget)"
	}
	a.printf(" runs of %d steps (the run file's has %d), %s%s", p.Steps, p.RunSteps, mixing(a.base), note)
	return nil
}

// timed is the steps of the run that times a step.
const timed = 4

// time measures a step and an evaluation.
func (a *audit) time(ctx context.Context) error {
	a.plan.Steps = timed
	defer func() { a.plan.Steps = 0 }()
	c := a.run(Spec{Arm: armMixture, LR: a.lr, Seed: a.seed})
	c.Run.Name = "timing"
	start := time.Now()
	r, err := a.train(ctx, c, &Result{})
	if err != nil {
		return err
	}
	a.plan.StepSeconds = r.Step
	a.plan.EvalSeconds = max(0, time.Since(start).Seconds()-timed*r.Step)
	a.printf(" a step takes %.2f s, an evaluation with loading %.1f s", a.plan.StepSeconds, a.plan.EvalSeconds)
	return os.RemoveAll(filepath.Join(a.out, "runs", "timing"))
}

// train makes a run from its start and reads its outcome. Its configuration was derived
// from the run file's, so the run file's own rules are applied to it first.
func (a *audit) train(ctx context.Context, c train.Varied, r *Result) (*Result, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if err := os.RemoveAll(c.Folder()); err != nil { // of a call that was killed
		return nil, train.DataError(err)
	}
	sum, err := c.Train(ctx, train.UI{Warn: a.ui.Warn, Quiet: true, Out: io.Discard})
	if err != nil {
		return nil, err
	}
	return r, r.read(sum)
}

// one makes a run and keeps its result. It returns an error only for a fault that ends the audit.
func (a *audit) one(ctx context.Context, s Spec) error {
	start := time.Now()
	c := a.run(s)
	c.Eval.First = s == a.tuning("")[0]
	r, err := a.train(ctx, c, &Result{Spec: s})
	var path *os.PathError
	switch {
	case err == nil:
	case ctx.Err() != nil || errors.Is(err, train.ErrInterrupted):
		return fmt.Errorf("%w with %d runs made; every whole run is kept. The same command goes on", train.ErrInterrupted, len(a.results))
	case errors.Is(err, train.ErrDevice) || errors.As(err, &path) || len(a.results) == 0:
		return err
	default:
		r = &Result{Spec: s, Error: err.Error()}
	}
	r.Seconds = time.Since(start).Seconds()
	a.spent, a.made = a.spent+r.Tokens, a.made+1
	if err := a.keep(r); err != nil {
		return err
	}
	a.printf("%s", a.line(r))
	return nil
}

// line tells a run.
func (a *audit) line(r *Result) string {
	what := r.Arm
	if r.Only != "" {
		what = r.Only + " alone"
	}
	if r.Data != "" {
		what = r.Data + ": " + what
	}
	out := fmt.Sprintf(" run %d  %s, lr %g, seed %d: ", len(a.results), what, r.LR, r.Seed)
	switch {
	case r.Error != "":
		first, _, _ := strings.Cut(r.Error, "\n")
		out += "failed: " + first
	case r.Only != "":
		out += fmt.Sprintf("%.3f bits per byte", r.Bits[r.Only])
	case len(r.Bits) == 0:
		out += fmt.Sprintf("%d snapshots of the gradients", len(r.Grams))
	default:
		out += fmt.Sprintf("%.3f bits per byte, mean of the trained languages", mean(r, a.langsOf(r.Data)))
	}
	return out + "  (" + report.Duration(time.Duration(r.Seconds*float64(time.Second))) + ")"
}

func (a *audit) printf(format string, args ...any) {
	if !a.ui.Quiet && a.ui.Out != nil {
		fmt.Fprintf(a.ui.Out, format+"\n", args...)
	}
}
