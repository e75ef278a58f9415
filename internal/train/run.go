package train

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"time"

	"concord/bucket"
	"concord/internal/checkpoint"
	"concord/internal/config"
	"concord/internal/model"
	"concord/internal/report"
	"concord/internal/safetensors"
)

// Summary is what a finished run comes to.
type Summary struct {
	Dir    string       `json:"dir"`
	Model  string       `json:"model"`
	Before *report.Eval `json:"before,omitempty"`
	After  *report.Eval `json:"after,omitempty"`
	End    report.End   `json:"end"`
}

// finished is the summary of the run in dir if it came to its end and its model
// is still there, or nil: then there is something to do. s is its checkpoint's.
func finished(dir string, s state) *Summary {
	end, ok := lastEnd(filepath.Join(dir, metricsFile))
	out := filepath.Join(dir, modelFolder)
	weights := exists(filepath.Join(out, safetensors.SingleFile)) || exists(filepath.Join(out, safetensors.IndexFile))
	if !ok || end.Steps != s.Step || !weights || !exists(filepath.Join(out, model.ConfigFile)) {
		return nil
	}
	end.Output = out // the folder may have moved
	return &Summary{Dir: dir, Model: out, Before: s.Baseline, After: s.Last, End: end}
}

// print shows a finished run's closing table again.
func (s *Summary) print(ui UI) {
	r := report.New(report.Options{Out: ui.Out, Quiet: ui.Quiet})
	r.Printf(" run     %s is finished: there is nothing to resume", s.Dir)
	r.Compare(s.Before, s.After)
	r.End(s.End)
}

// Plan is what Check finds.
type Plan struct {
	Trained int           `json:"languages_trained"`
	Steps   int           `json:"steps"`
	Rows    int           `json:"rows"`
	SeqLen  int           `json:"seq_len"`
	Data    []report.Data `json:"data"`
}

// Check reads everything that a run needs but the weights, and opens no device.
func Check(cfg *config.Config) (Plan, error) {
	c, err := openCorpus(cfg)
	if err != nil {
		return Plan{}, err
	}
	langs := c.sampler.Languages()
	if _, err := newObjective(cfg, langs); err != nil {
		return Plan{}, err
	}
	return Plan{Trained: len(langs), Steps: c.steps, Rows: cfg.Batch.Rows * cfg.Batch.Accumulate, SeqLen: cfg.Batch.SeqLen, Data: dataRecords(c, cfg.Data.Overlong)}, nil
}

// Run trains as the run file says. Cancelling ctx finishes the step, saves and
// returns ErrInterrupted.
func Run(ctx context.Context, cfg *config.Config, ui UI) (*Summary, error) {
	c, err := openCorpus(cfg)
	if err != nil {
		return nil, err
	}
	files, err := fileHashes(cfg)
	if err != nil {
		return nil, err
	}
	t, err := newTrainer(cfg, c, nil, ui.warn())
	if err != nil {
		return nil, err
	}
	defer t.Close()
	if err := t.loadBase(); err != nil {
		return nil, err
	}
	dir, err := newRunDir(cfg, ui.warn())
	if err != nil {
		return nil, err
	}
	if err := writeLock(dir, lock{Version: BuildVersion(), RunFile: mustAbs(cfg.Path()), Config: cfg, Files: files}); err != nil {
		return nil, DataError(fmt.Errorf("cannot write to %s: %w", dir, err))
	}
	return t.loop(ctx, dir, state{}, ui)
}

// Resume continues the run in dir from its newest whole checkpoint, to the same
// bits as if it had not stopped.
func Resume(ctx context.Context, dir string, overrides []string, ui UI) (*Summary, error) {
	l, err := readLock(dir)
	if err != nil {
		return nil, err
	}
	cfg := config.Restore(l.RunFile, l.Config)
	if err := cfg.Override(overrides, []string{"eval.every", "eval.last", "checkpoint.", "log.", "device."}); err != nil {
		return nil, err
	}
	path, err := latest(dir, ui.warn())
	if err != nil {
		return nil, err
	}
	s, err := readState(path, cfg)
	if err != nil {
		return nil, err
	}
	if sum := finished(dir, s); sum != nil {
		sum.print(ui)
		return sum, nil
	}
	c, err := openCorpus(cfg)
	if err != nil {
		return nil, err
	}
	t, err := newTrainer(cfg, c, s.Choices, ui.warn())
	if err != nil {
		return nil, err
	}
	defer t.Close()
	if err := t.restore(path, s); err != nil {
		return nil, err
	}
	if err := trimMetrics(filepath.Join(dir, metricsFile), s); err != nil {
		return nil, DataError(fmt.Errorf("%s: %w", metricsFile, err))
	}
	return t.loop(ctx, dir, s, ui)
}

// newRunDir makes DIR/NAME, or DIR/NAME-2 … when that exists: a run never
// writes into another's folder.
func newRunDir(cfg *config.Config, warn io.Writer) (string, error) {
	base := cfg.OutDir()
	for n := 1; ; n++ {
		dir := base
		if n > 1 {
			dir = fmt.Sprintf("%s-%d", base, n)
		}
		if exists(dir) {
			if exists(filepath.Join(dir, checkpointFolder)) && !exists(filepath.Join(dir, modelFolder)) {
				fmt.Fprintf(warn, "concord: %s is an unfinished run; continue it with: concord resume %s\n", dir, dir)
			}
			continue
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return "", &config.Error{Where: cfg.Where("run.dir"), Msg: "cannot make the run's folder: " + err.Error(), Fix: `dir = "a folder that can be written to"`}
		}
		return dir, nil
	}
}

// session is one sitting of a run: from its start or a resume to its end or an
// interruption.
type session struct {
	*Trainer
	dir     string
	state   state
	eval    *evaluator
	report  *report.Reporter
	started time.Time
}

// loop trains to the end.
func (t *Trainer) loop(ctx context.Context, dir string, s state, ui UI) (*Summary, error) {
	metrics, err := os.OpenFile(filepath.Join(dir, metricsFile), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, DataError(fmt.Errorf("cannot write metrics: %w", err))
	}
	defer metrics.Close()
	x := &session{Trainer: t, dir: dir, state: s, started: time.Now(),
		report: report.New(report.Options{Out: ui.Out, Terminal: ui.Terminal, Width: ui.Width, Quiet: ui.Quiet, JSONL: metrics, LogEvery: t.cfg.Log.Every})}
	if x.eval, err = newEvaluator(t.corpus, t.cfg.Batch.Rows, t.cfg.Batch.SeqLen, t.cfg.Eval.Rows); err != nil {
		return nil, err
	}
	x.report.Begin(x.header())
	x.report.Compare(s.Baseline, s.Last)
	if t.step == 0 && s.Baseline == nil && t.cfg.Eval.First {
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
	for t.step < t.corpus.steps {
		if ctx.Err() != nil {
			return nil, x.stopped(ctx, ctx.Err())
		}
		r, err := t.Step()
		if err != nil {
			return nil, x.failed(err)
		}
		x.report.Step(r)
		if err := x.after(ctx); err != nil {
			return nil, x.stopped(ctx, err)
		}
	}
	return x.finish(ctx)
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
			x.state.Best, x.state.BestStep = m, x.step
		}
	}
	if err := x.report.Err(); err != nil {
		return x.unsaved(err)
	}
	if every := x.cfg.Checkpoint.Every; improved || every > 0 && x.step%every == 0 && x.step < x.corpus.steps {
		return x.save()
	}
	return nil
}

// evalDue says that the model as it stands is to be measured and was not yet.
// The first and the last measurement are not meant.
func (x *session) evalDue() bool {
	every := x.cfg.Eval.Every
	return every > 0 && x.step > 0 && x.step < x.corpus.steps && x.step%every == 0 && !x.measured() && len(x.eval.batches) > 0
}

// measured says that the model as it stands was evaluated.
func (x *session) measured() bool { return x.state.Last != nil && x.state.Last.Step == x.step }

// measure evaluates every language now.
func (x *session) measure(ctx context.Context) error {
	if len(x.eval.batches) == 0 {
		return nil
	}
	e, err := x.eval.run(ctx, x.engine, x.model, x.batch, x.step)
	if err != nil {
		return err
	}
	x.report.Eval(e)
	x.state.Last = &e
	return nil
}

// save writes a checkpoint.
func (x *session) save() error {
	x.state.Step, x.state.Tokens, x.state.Updates = x.step, x.tokens, x.adam.Steps()
	x.state.Method, x.state.Scope, x.state.Langs = x.cfg.Objective.Method, x.cfg.Objective.Scope, x.langs
	x.state.Choices = x.engine.TuneChoices()
	now := time.Now()
	x.state.Seconds += now.Sub(x.started).Seconds()
	x.started = now
	return x.unsaved(x.Trainer.save(x.dir, x.state))
}

// unsaved says what to do when a file of the run cannot be written.
func (x *session) unsaved(err error) error {
	if err == nil || errors.Is(err, ErrDevice) {
		return err
	}
	return DataError(fmt.Errorf("%w\n  fix: make room for the run's files, then: concord resume %s", err, x.dir))
}

// failed adds to a step's error what is left of the run.
func (x *session) failed(err error) error {
	path, step, _, none := checkpoint.Latest(filepath.Join(x.dir, checkpointFolder))
	if none != nil {
		return err
	}
	return fmt.Errorf("%w\n  the checkpoint of step %d is whole: %s", err, step, path)
}

// stopped saves after an interruption and says how to go on; other errors pass.
func (x *session) stopped(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	if err := x.save(); err != nil {
		return err
	}
	return interrupted(x.dir, x.step)
}

// finish measures, saves and exports the model.
func (x *session) finish(ctx context.Context) (*Summary, error) {
	if x.cfg.Eval.Last && !x.measured() {
		if err := x.measure(ctx); err != nil {
			return nil, x.stopped(ctx, err)
		}
	}
	if err := x.save(); err != nil {
		return nil, err
	}
	out := filepath.Join(x.dir, modelFolder)
	if err := model.Save(x.engine, out, x.cfg.Resolve(x.cfg.Model.Path), x.corpus.model, x.store, x.saveDType()); err != nil {
		return nil, x.unsaved(classify(err))
	}
	m := x.engine.Dev.Memory()
	end := report.End{Kind: "end", Steps: x.step, Seconds: x.state.Seconds, Tokens: x.tokens, PeakBytes: m.Peak, BytesByRole: map[string]int64{}, Output: out}
	for role, r := range m.Roles {
		end.BytesByRole[string(role)] = r.AtPeak
	}
	x.report.End(end)
	return &Summary{Dir: x.dir, Model: out, Before: x.state.Baseline, After: x.state.Last, End: end}, x.unsaved(x.report.Err())
}

// saveDType is model.save_dtype, by default the base model's.
func (x *session) saveDType() safetensors.DType {
	names := map[string]safetensors.DType{"bf16": safetensors.BF16, "f16": safetensors.F16, "f32": safetensors.F32}
	return cmp.Or(names[x.cfg.Model.SaveDtype], x.corpus.model.DType, safetensors.F32)
}

func (x *session) header() report.Header {
	info := x.engine.Dev.Info()
	mem := x.engine.Dev.Memory()
	cfg, fill := x.cfg, 0.0
	shares := x.corpus.sampler.Shares()
	for m, f := range x.corpus.sampler.Fill() {
		fill += shares[m] * f
	}
	name := cfg.Model.Path
	if cfg.Model.Init == "random" {
		name += " (random weights)"
	}
	return report.Header{Version: BuildVersion().Version, Name: cfg.Run.Name, Dir: x.dir,
		Model: fmt.Sprintf("%s, %d layers, hidden %d, vocabulary %d", name, x.corpus.model.Layers, x.corpus.model.Hidden, x.corpus.model.Vocab), Parameters: x.corpus.model.Parameters(),
		Device: info.Name, Backend: string(info.Backend), Software: info.Type == "cpu", Budget: mem.Budget, Planned: x.planned(),
		Method: cfg.Objective.Method, Scope: cfg.Objective.Scope, Buckets: numBuckets(x.store.Layout), Rows: cfg.Batch.Rows * cfg.Batch.Accumulate, SeqLen: cfg.Batch.SeqLen,
		Steps: x.corpus.steps, Start: x.step, Languages: x.langs, Packing: fill, Data: dataRecords(x.corpus, cfg.Data.Overlong)}
}

func numBuckets(l bucket.Layout) int {
	if l.Global {
		return 1
	}
	return len(l.Buckets)
}
