package compare

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"concord/internal/report"
	"concord/internal/train"
)

// runner makes a comparison's runs.
type runner struct {
	out        string
	grid       Grid
	lock       *lock
	base       train.Varied // of every run, its held-out examples in halves
	facts      facts
	specs      []Spec
	complete   bool // specs are all there will be
	jobs       int
	records    *records // nil: none are kept
	keepModels bool
	ui         train.UI

	mu      sync.Mutex // guards the rest
	results map[string]*Result
	took    map[bool][]time.Duration // their times, by whether they resolve gradients
	open    bool                     // a heading without its result is on the screen
}

// dir is the folder of a run.
func (r *runner) dir(s Spec) string { return filepath.Join(r.out, "runs", s.Slug()) }

// readResults finds the runs that earlier processes have made.
func (r *runner) readResults() error {
	known := append(r.grid.tuning(r.facts.langs), r.grid.judging(r.configs())...)
	for _, s := range known {
		res, err := readResult(r.dir(s))
		if err != nil {
			return err
		}
		if res == nil {
			continue
		}
		if res.Spec != s {
			return train.DataError(fmt.Errorf("%s holds the result of another run\n  fix: delete that folder; the run is then made again", r.dir(s)))
		}
		r.results[s.Slug()] = res
	}
	return nil
}

// all makes the missing runs: the first alone, because weights by difficulty
// follow from its measurement of the base model, then so many at one time. It
// returns the error that stopped it.
func (r *runner) all(ctx context.Context) error {
	r.took = map[bool][]time.Duration{}
	todo, err := r.todo(r.specs)
	if err != nil {
		return err
	}
	if n := len(r.specs) - len(todo); n > 0 {
		r.printf(" %d of %s runs are done already", n, r.total())
	}
	if err := r.sample(ctx); err != nil {
		return err
	}
	if len(todo) > 0 && todo[0] == r.specs[0] {
		if err := r.one(ctx, todo[0]); err != nil {
			return err
		}
		todo = todo[1:]
	}
	r.facts.base = r.baseline()
	if err := r.pool(ctx, todo); err != nil {
		return err
	}
	tuned := len(r.specs)
	r.specs = r.plan() // now that the choice of the first seeds is known
	r.foretell()
	if todo, err = r.todo(r.specs[tuned:]); err != nil {
		return err
	}
	return r.pool(ctx, todo)
}

// sample turns eval.error into a number of examples, once for all runs: those of every
// learning rate and seed measure the same ones.
func (r *runner) sample(ctx context.Context) error {
	if r.base.Eval.Error == 0 {
		return nil
	}
	if r.lock.Examples == 0 {
		n, err := r.base.SampleSize(ctx, train.UI{Warn: r.ui.Warn})
		if err != nil {
			return err
		}
		if r.lock.Examples = n; n > 0 {
			if err := r.lock.write(r.out); err != nil {
				return err
			}
		}
	}
	r.printf(" eval.error = %.3g: every run measures at most %s held-out examples of each half of a language, the same ones",
		r.base.Eval.Error, report.Count(int64(r.lock.Examples)))
	r.base.Eval.Rows, r.base.Eval.Error = r.lock.Examples, 0
	return nil
}

// todo are the runs that are missing. Those that are not are tidied up, should
// an earlier process have ended before it came to that.
func (r *runner) todo(specs []Spec) (out []Spec, err error) {
	for _, s := range specs {
		if res := r.results[s.Slug()]; !res.done() {
			out = append(out, s)
		} else if err := r.cleanUp(res); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// pool makes runs, r.jobs at one time, until one stops it.
func (r *runner) pool(ctx context.Context, todo []Spec) error {
	var stop atomic.Bool // the runs at work finish
	next := make(chan Spec)
	errs := make(chan error, r.jobs)
	for range r.jobs {
		go func() {
			var err error
			for s := range next {
				if !stop.Load() {
					if err = r.one(ctx, s); err != nil {
						stop.Store(true)
					}
				}
			}
			errs <- err
		}()
	}
	for _, s := range todo {
		next <- s
	}
	close(next)
	var all []error
	for range r.jobs {
		all = append(all, <-errs)
	}
	return first(all)
}

// first is the error that stopped the others: not an interruption, where there
// is another.
func first(errs []error) (out error) {
	for _, err := range errs {
		if err != nil && (out == nil || errors.Is(out, train.ErrInterrupted)) {
			out = err
		}
	}
	return out
}

// one makes a run, or continues it, and keeps its result. It returns an error
// only for a fault that stops the comparison.
func (r *runner) one(ctx context.Context, s Spec) error {
	if ctx.Err() != nil {
		return r.interrupted()
	}
	r.begin(s)
	start := time.Now()
	weights, err := s.Weights.weights(r.facts)
	var sum *train.Summary
	if err == nil {
		sum, err = r.run(ctx, s, weights)
	}
	if errors.Is(err, train.ErrInterrupted) {
		r.breakLine()
		return r.interrupted()
	}
	if fatal(err) {
		r.breakLine()
		return err
	}
	res, err := newResult(s, r.dir(s), r.facts.langs, err)
	if err != nil {
		return err
	}
	if s.Weights.Kind != "" {
		res.Applied = weights
	}
	if sum != nil && res.Error == "" {
		res.Docs = documents(sum.After)
	}
	if err := res.write(r.dir(s)); err != nil {
		return err
	}
	if err := r.record(res, time.Since(start)); err != nil {
		return err
	}
	return r.cleanUp(res)
}

// run trains as s says, from the last checkpoint where there is one.
func (r *runner) run(ctx context.Context, s Spec, weights map[string]float64) (*train.Summary, error) {
	dir, quiet := r.dir(s), train.UI{Out: r.ui.Out, Warn: r.ui.Warn, Quiet: true}
	if train.Resumable(dir) {
		return train.Resume(ctx, dir, nil, quiet)
	}
	if err := os.RemoveAll(dir); err != nil { // killed before its first checkpoint
		return nil, train.DataError(err)
	}
	c := s.apply(r.base, filepath.Dir(dir), weights)
	if s.Only != "" {
		s.alone(&c, r.facts)
	}
	if s.Mixing != "" { // as many steps as the others, for any draw
		c.Schedule.Steps, c.Schedule.Epochs, c.Schedule.Tokens = r.facts.steps, 0, 0
	}
	c.Eval.First = s == r.specs[0]
	return c.Train(ctx, quiet)
}

// record adds a result and says so.
func (r *runner) record(res *Result, took time.Duration) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.results[res.Slug] = res
	if err := r.records.add(res); err != nil {
		return err
	}
	kind := resolves(res.Method)
	r.took[kind] = append(r.took[kind], took)
	line := ""
	if !r.open {
		line = r.heading(r.tried(), res.Spec)
	}
	r.open = false
	if res.Error != "" {
		line += "failed: " + firstLine(res.Error)
	} else {
		line += fmt.Sprintf("seen %.3f  unseen %s", average(res.Valid, true), decimal(average(res.Valid, false), 3))
	}
	line += "  (" + report.Duration(took) + ")"
	if r.missing()+r.later() > 0 {
		line += fmt.Sprintf("  ETA %s", report.Duration(r.eta()))
	}
	r.printf("%s", line)
	if res.Cause == "device" && len(r.results) == 1 { // no adapter, say: nothing would run
		return train.DeviceError(errors.New(res.Error))
	}
	return nil
}

// eta is the time that the missing runs will take, at the pace of those made.
func (r *runner) eta() time.Duration {
	pace := func(kind bool) time.Duration {
		sum, n := time.Duration(0), 0
		for k, list := range r.took {
			if k != kind && len(r.took[kind]) > 0 {
				continue
			}
			for _, d := range list {
				sum, n = sum+d, n+1
			}
		}
		return sum / time.Duration(max(n, 1))
	}
	total := time.Duration(0)
	for _, s := range r.specs {
		if !r.results[s.Slug()].done() {
			total += pace(resolves(s.Method))
		}
	}
	total += time.Duration(r.later()) * pace(true)
	return total / time.Duration(r.jobs)
}

// baseline is the base model's bits per byte by language on the validation
// half, as the first run measured it before its first step; nil if it did not.
func (r *runner) baseline() map[string]float64 {
	res := r.results[r.specs[0].Slug()]
	if res == nil || res.Base == nil {
		return nil
	}
	out := map[string]float64{}
	for _, s := range res.Base {
		out[s.Lang] = float64(s.BitsPerByte)
	}
	return out
}

// cleanUp removes the large files of a run that needs no further attempt.
func (r *runner) cleanUp(res *Result) error {
	if !res.done() {
		return nil
	}
	model, rest := train.Leftovers(r.dir(res.Spec))
	if !r.keepModels {
		rest = append(rest, model)
	}
	for _, p := range rest {
		if err := os.RemoveAll(p); err != nil {
			return train.DataError(err)
		}
	}
	return nil
}

// heading says which run of how many.
func (r *runner) heading(n int, s Spec) string {
	heat := ""
	if len(r.grid.Temperatures) > 1 {
		heat = ", T " + number(s.Temperature)
	}
	return fmt.Sprintf(" run %d/%s  %s, lr %s%s, seed %d: ", n, r.total(), s.Config, number(s.LR), heat, s.Seed)
}

// begin writes a run's heading at its start; its result follows on the line,
// where one run is made at a time.
func (r *runner) begin(s Spec) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.jobs > 1 || r.ui.Quiet || r.ui.Out == nil {
		return
	}
	fmt.Fprint(r.ui.Out, r.heading(r.tried()+1, s))
	r.open = true
}

// breakLine ends an open line before something else is written.
func (r *runner) breakLine() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open {
		fmt.Fprintln(r.ui.Out)
		r.open = false
	}
}

// interrupted says how far the comparison is.
func (r *runner) interrupted() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return fmt.Errorf("%w with %d of %s runs to go; everything is saved. The same command continues", train.ErrInterrupted,
		r.missing()+r.later(), r.total())
}

func (r *runner) printf(format string, args ...any) {
	if !r.ui.Quiet && r.ui.Out != nil {
		fmt.Fprintf(r.ui.Out, format+"\n", args...)
	}
}
