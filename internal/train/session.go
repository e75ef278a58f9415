package train

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"concord/bucket"
	"concord/internal/checkpoint"
	"concord/internal/cluster"
	"concord/internal/model"
	"concord/internal/report"
	"concord/internal/step"
	"concord/internal/tokenizer"
)

// session is one sitting of a run: from its start or a resume to its end or an
// interruption.
type session struct {
	*Trainer
	dir     string
	state   state
	eval    *evaluator
	report  *report.Reporter
	started time.Time
	ui      UI
	paused  bool
}

// loop trains to the end.
func (t *Trainer) loop(ctx context.Context, dir string, s state, ui UI) (*Summary, error) {
	if err := trimMetrics(filepath.Join(dir, metricsFile), t.Done, s.Last); err != nil {
		return nil, DataError(fmt.Errorf("%s: %w", metricsFile, err))
	}
	metrics, err := os.OpenFile(filepath.Join(dir, metricsFile), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, DataError(fmt.Errorf("cannot write metrics: %w", err))
	}
	defer metrics.Close()
	cosines, err := report.ReadCosines(filepath.Join(dir, metricsFile))
	if err != nil {
		return nil, DataError(fmt.Errorf("cannot read metrics: %w", err))
	}
	forget(dir)
	x := &session{Trainer: t, dir: dir, state: s, started: time.Now(), ui: ui,
		report: report.New(report.Options{Out: ui.Out, Terminal: ui.Terminal, Width: ui.Width, Quiet: ui.Quiet, JSONL: metrics, Cosines: cosines, LogEvery: t.logEvery(), Watch: ui.Watch})}
	defer x.report.Close()
	if x.eval, err = newEvaluator(t.corpus, t.cfg.Batch.Rows, t.cfg.Batch.SeqLen, t.cfg.Eval.Rows); err != nil {
		return nil, err
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
	for t.Done < t.corpus.steps {
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
			return x.unsaved(x.recent.fillRecord(filepath.Join(x.dir, metricsFile), x.Done))
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
	if every := x.cfg.Checkpoint.Every; improved || every > 0 && x.crossed(every) && x.Done < x.corpus.steps {
		return x.save(ctx)
	}
	return nil
}

// evalDue says that the model as it stands is to be measured and was not yet.
// The first and the last measurement are not meant.
func (x *session) evalDue() bool {
	every := x.cfg.Eval.Every
	return every > 0 && x.Done > 0 && x.Done < x.corpus.steps && x.crossed(every) && !x.measured() && x.eval.batches.Len() > 0
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
	x.report.Eval(e)
	x.state.Last = &e
	return nil
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

// evaluate measures every language with the model as it stands.
func (x *session) evaluate(ctx context.Context) (report.Eval, error) {
	if err := x.Shape(x.cfg.Batch.Rows); err != nil {
		return report.Eval{}, err
	}
	e, err := x.eval.run(ctx, x.Engine, x.Model, x.Input, x.Done)
	if err == nil {
		x.relate(&e)
	}
	return e, err
}

// lostLeadership is why this machine must not write to the run's folder any more: another
// one leads, and writes there.
func (x *session) lostLeadership() error {
	if x.leads == nil {
		return nil
	}
	return x.leads()
}

// save writes a checkpoint. On many machines it waits for a disk that takes none,
// so that the steps since the last one are not lost: the others hold them.
func (x *session) save(ctx context.Context) error {
	err := x.trySave(ctx)
	if x.machines == nil || !onDisk(err) {
		return x.unsaved(err)
	}
	fmt.Fprintf(x.ui.warn(), "concord: step %d cannot be saved: %v\n  all machines wait for %v; fix: make room for the run's files in %s\n", x.Done, err, diskPatience, x.dir)
	for began := time.Now(); onDisk(err) && time.Since(began) < diskPatience; err = x.trySave(ctx) {
		select {
		case <-ctx.Done():
			return x.unsaved(err)
		case <-time.After(diskRetry):
		}
	}
	if err == nil {
		x.say("step %d is saved: going on", x.Done)
	}
	return x.unsaved(err)
}

// diskPatience is how long a run on many machines waits for a disk, and diskRetry
// between two attempts.
const (
	diskPatience = 10 * time.Minute
	diskRetry    = 5 * time.Second
)

// onDisk says that err is of a file: what a user can mend, and go on.
func onDisk(err error) bool {
	pe := (*fs.PathError)(nil)
	return errors.As(err, &pe) && !errors.Is(err, ErrDevice) && !errors.Is(err, ErrCluster)
}

// trySave is save, once.
func (x *session) trySave(ctx context.Context) error {
	if err := x.lostLeadership(); err != nil {
		return err
	}
	x.state.Saved = x.saved()
	x.state.Choices = x.Engine.TuneChoices()
	now := time.Now()
	x.state.Seconds += now.Sub(x.started).Seconds()
	x.started = now
	err := x.Trainer.save(ctx, x.dir, x.state)
	if err == nil && x.machines != nil {
		x.machines.Saved()
	}
	return err
}

// unsaved says what to do when a file of the run cannot be written.
func (x *session) unsaved(err error) error {
	if err == nil || errors.Is(err, ErrDevice) || errors.Is(err, ErrCluster) {
		return err
	}
	switch {
	case !onDisk(err): // an overflow in f16, say
		return DataError(fmt.Errorf("%w\n  the run is saved; fix: %s", err, report.Command("resume", x.dir, "-o", "model.save_dtype=bf16")))
	case x.machines != nil:
		return DataError(fmt.Errorf("%w\n  fix: make room for the run's files, then: %s; the other machines wait 10 minutes for a coordinator", err, report.Command("resume", x.dir)))
	}
	return DataError(fmt.Errorf("%w\n  fix: make room for the run's files, then: %s", err, report.Command("resume", x.dir)))
}

// failed adds to a step's error what is left of the run.
func (x *session) failed(err error) error {
	if e := (*cluster.EndedError)(nil); errors.As(err, &e) { // of this machine's own coordinator
		err = as(ErrCluster, errors.New(e.Text))
	}
	path, step, _, none := checkpoint.Latest(filepath.Join(x.dir, checkpointFolder))
	if none != nil {
		return err
	}
	return fmt.Errorf("%w\n  the checkpoint of step %d is whole: %s", err, step, path)
}

// stopped saves after an interruption and says how to go on; other errors pass.
func (x *session) stopped(ctx context.Context, err error) error {
	if ctx.Err() == nil || !errors.Is(err, context.Canceled) {
		return err
	}
	if err := x.lostLeadership(); err != nil {
		return err
	}
	if err := x.save(ctx); err != nil {
		return err
	}
	return interrupted(x.dir, x.Done)
}

// finish measures, saves and exports the model.
func (x *session) finish(ctx context.Context) (*Summary, error) {
	if x.cfg.Eval.Last && !x.measured() {
		if err := x.measure(ctx); err != nil {
			return nil, x.stopped(ctx, err)
		}
	}
	if err := x.save(ctx); err != nil {
		return nil, err
	}
	out := filepath.Join(x.dir, modelFolder)
	if err := x.saveModel(out); err != nil {
		return nil, x.unsaved(classify(err))
	}
	best, err := x.saveBest()
	if err != nil {
		return nil, x.unsaved(classify(err))
	}
	m := x.Engine.Dev.Memory()
	end := report.End{Kind: "end", Steps: x.Done, Seconds: x.state.Seconds, Tokens: x.Tokens, Supervised: x.Supervised, PeakBytes: m.Peak, BytesByRole: map[string]int64{}, Output: out, Best: best,
		Warnings: x.corpus.meetingWarning(x.cfg), Conflict: x.report.Conflict()}
	for role, r := range m.Roles {
		end.BytesByRole[string(role)] = r.AtPeak
	}
	x.report.End(end)
	return &Summary{Dir: x.dir, Model: out, Before: x.state.Baseline, After: x.state.Last, End: end}, x.unsaved(x.report.Err())
}

// saveBest exports the weights of the best evaluation on the way, where the last
// ones are worse, and returns their folder ("" = the last are the best).
func (x *session) saveBest() (string, error) {
	if x.state.BestStep == 0 || x.state.Last == nil || meanSeen(*x.state.Last) <= x.state.Best {
		return "", nil
	}
	path, err := checkpoint.At(filepath.Join(x.dir, checkpointFolder), x.state.BestStep)
	if err != nil {
		return "", nil // lost by an earlier crash; the last model is there
	}
	if err := x.restoreWeights(path); err != nil {
		return "", err
	}
	out := filepath.Join(x.dir, bestFolder)
	return out, x.saveModel(out)
}

// saveModel writes the model as it stands to the folder out.
func (x *session) saveModel(out string) error {
	dtype, err := saveDType(x.cfg.Model.SaveDtype, x.corpus.model)
	if err != nil {
		return err
	}
	if err := model.Save(x.Engine, out, x.cfg.Resolve(x.cfg.Model.Path), x.corpus.model, x.Store, dtype); err != nil {
		return err
	}
	return saveTemplate(x.cfg, out)
}

func (x *session) header() report.Header {
	info := x.Engine.Dev.Info()
	mem := x.Engine.Dev.Memory()
	cfg, steps := x.cfg, x.corpus.steps
	fill := x.corpus.sampler.TokensIn(steps) / float64(steps*cfg.Batch.Rows*cfg.Batch.Accumulate*cfg.Batch.SeqLen)
	data := x.corpus.dataRecords(cfg.Data.Overlong)
	epochs := 0.0
	for _, n := range x.corpus.sampler.Epochs(steps) {
		epochs += n / float64(len(x.Langs))
	}
	name := cfg.Model.Path
	if cfg.Model.Init == "random" {
		name += " (random weights)"
	}
	bos, eos := specials(x.corpus.tokenizer)
	return report.Header{BOS: bos, EOS: eos, Version: BuildVersion().Version, Name: cfg.Run.Name, Dir: x.dir,
		Model: fmt.Sprintf("%s, %d layers, hidden %d, vocabulary %d", name, x.corpus.model.Layers, x.corpus.model.Hidden, x.corpus.model.Vocab), Parameters: x.corpus.model.Parameters(),
		Device: info.Name, Backend: string(info.Backend), Software: info.Type == "cpu", Budget: mem.Budget, Planned: x.Planned(),
		Method: cfg.Objective.Method, Scope: cfg.Objective.Scope, Buckets: numBuckets(x.Store.Layout), Rows: cfg.Batch.Rows * cfg.Batch.Accumulate, SeqLen: cfg.Batch.SeqLen,
		Steps: steps, Start: x.Done, Languages: x.Langs, Epochs: epochs, Packing: fill, Met: x.corpus.meetings().any, Data: data, Warnings: x.corpus.warnings(cfg, data), Settings: settings(cfg)}
}

// specials are the tokens that begin and end an example, "" where there is none.
func specials(tok *tokenizer.Tokenizer) (bos, eos string) {
	if id, ok := tok.BOS(); ok && tok.AddsBOS() {
		bos, _ = tok.IDToToken(id)
	}
	if id, ok := tok.EOS(); ok {
		eos, _ = tok.IDToToken(id)
	}
	return bos, eos
}

func numBuckets(l bucket.Layout) int {
	if l.Global {
		return 1
	}
	return len(l.Buckets)
}
