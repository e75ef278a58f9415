package train

import (
	"context"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"strings"
	"time"

	"concord/gpu"
	"concord/internal/config"
	"concord/internal/corpus"
	"concord/internal/data"
	"concord/internal/device"
	"concord/internal/infer"
	"concord/internal/model"
	"concord/internal/report"
	"concord/internal/rundir"
	"concord/tensor"
)

// evaluator measures bits per byte of every language's held-out examples.
type evaluator struct {
	langs    []string
	seen     []bool
	heldout  []data.Examples // all there are
	sample   sample          // of them
	fixed    bool            // the sample stays
	cfg      config.Eval
	count    []int                 // examples that are measured
	progress func(report.Progress) // or nil
	batches  *data.Evaluation
	rows     int
	seqLen   int
}

// newEvaluator packs a sample of the held-out examples into batches of cfg's shape; nil is the
// one that eval.rows and eval.error begin with.
func newEvaluator(c *corpus.Corpus, cfg *config.Config, s *sample) (*evaluator, error) {
	v := &evaluator{rows: cfg.Batch.Rows, seqLen: cfg.Batch.SeqLen, cfg: cfg.Eval, fixed: s != nil || cfg.Eval.Error == 0}
	for i, set := range c.Sets {
		v.langs, v.seen, v.heldout = append(v.langs, set.Lang), append(v.seen, c.Seen[i]), append(v.heldout, set.Heldout)
	}
	if s == nil {
		first := newSample(c, cfg.Eval)
		s = &first
	}
	return v, v.pack(*s)
}

// pack makes the batches of a sample.
func (v *evaluator) pack(s sample) error {
	v.sample, v.count = s, nil
	var examples []data.Examples
	for i, all := range v.heldout {
		held := s.of(i, all)
		v.count, examples = append(v.count, held.Len()), append(examples, held)
	}
	batches, err := data.NewEvaluation(examples, v.rows, v.seqLen)
	v.batches = batches
	return DataError(err)
}

// measure is run, and the first time with as many examples as eval.error takes:
// the sample grows, and is measured anew as a whole, until it suffices. chose says that it did.
func (v *evaluator) measure(ctx context.Context, e *tensor.Engine, m model.Model, b *model.Batch, step int) (
	out report.Eval, chose bool, err error,
) {
	for {
		if out, err = v.run(ctx, e, m, b, step); err != nil || v.fixed {
			return out, chose, err
		}
		out.Relate(nil)
		more, grows := v.sample.grown(&out, v.cfg)
		if chose, v.fixed = true, !grows; v.fixed {
			return out, chose, nil
		}
		if err := v.pack(more); err != nil {
			return out, false, err
		}
	}
}

// run measures the model as it stands. m and b have the evaluator's shape.
func (v *evaluator) run(ctx context.Context, e *tensor.Engine, m model.Model, b *model.Batch, step int) (report.Eval, error) {
	start := time.Now()
	s := v.newSums()
	var pending *gpu.Readback // one batch ahead, so that the GPU does not wait for the host
	var current, before *data.Batch
	for i := 0; i <= v.batches.Len(); i++ {
		if ctx.Err() != nil {
			return report.Eval{}, ctx.Err()
		}
		var next *gpu.Readback
		if before = current; i < v.batches.Len() {
			if current = v.batches.Batch(i); current.Err != nil {
				return report.Eval{}, DataError(current.Err)
			}
			if err := b.Upload(infer.Tokens(current, m.Dims().Objectives)); err != nil {
				return report.Eval{}, DataError(err)
			}
			m.EvalLoss(b)
			next = e.Dev.Read(m.Loss().View())
		}
		if pending != nil {
			if err := s.add(before, pending); err != nil {
				return report.Eval{}, classify(err)
			}
		}
		pending = next
		v.tell(step, i)
	}
	out := report.Eval{Kind: "eval", Step: step, Seconds: time.Since(start).Seconds()}
	for m, lang := range v.langs {
		out.Rows = append(out.Rows, report.EvalRow{Lang: lang, Seen: v.seen[m], NLL: report.Float(s.nll[m]),
			Tokens: s.tokens[m], Bytes: s.bytes[m],
			Examples: v.count[m], Heldout: v.heldout[m].Len(), BitsPerByte: report.Float(data.BitsPerByte(s.nll[m], s.bytes[m])), Docs: s.docs[m]})
	}
	return out, nil
}

// tell says that so many batches are measured.
func (v *evaluator) tell(step, done int) {
	if v.progress == nil {
		return
	}
	docs := 0
	for _, n := range v.count {
		docs += n
	}
	v.progress(report.Progress{Step: step, Done: done, Of: v.batches.Len(), Docs: docs})
}

// sums are an evaluation's, by language.
type sums struct {
	nll           []float64
	tokens, bytes []int
	docs          [][]report.Doc
}

func (v *evaluator) newSums() *sums {
	n := len(v.langs)
	s := &sums{nll: make([]float64, n), tokens: make([]int, n), bytes: make([]int, n), docs: make([][]report.Doc, n)}
	for m := range s.docs {
		s.docs[m] = make([]report.Doc, v.count[m])
	}
	return s
}

func (s *sums) add(b *data.Batch, r *gpu.Readback) error {
	loss, err := device.Floats(r)
	if err != nil {
		return err
	}
	for i, label := range b.Labels {
		if label != data.Ignore {
			s.nll[b.Lang[i/b.SeqLen]] += float64(loss[i])
		}
	}
	for _, d := range b.Docs {
		doc := report.Doc{Bytes: d.Bytes}
		for i := d.Start; i < int(b.DocEnd[d.Start]); i++ {
			if b.Labels[i] != data.Ignore {
				doc.NLL += float64(loss[i])
			}
		}
		s.docs[d.Lang][d.Index] = doc
	}
	for m := range s.nll {
		s.tokens[m] += b.Supervised[m]
		s.bytes[m] += b.Bytes[m]
	}
	return nil
}

// Evaluate measures the run file's held-out data on the model in dir: a Hugging
// Face folder, a run's folder, or "" for the run file's base model.
func Evaluate(ctx context.Context, cfg *config.Config, dir string, ui UI) (report.Eval, error) {
	return EvaluateLike(ctx, cfg, dir, nil, ui)
}

// EvaluateLike is Evaluate on the examples that like measured; nil: as eval.rows and
// eval.error say. A model with another tokenizer may have fewer of them.
func EvaluateLike(ctx context.Context, cfg *config.Config, dir string, like *report.Eval, ui UI) (report.Eval, error) {
	if dir == "" {
		dir = cfg.Resolve(cfg.Model.Path)
	}
	dir, err := rundir.ModelDir(dir)
	if err != nil {
		return report.Eval{}, err
	}
	cp := *cfg
	cp.Model.Path, cp.Model.Init, cp.Adapter = mustAbs(dir), config.InitPretrained, config.Adapter{}
	c, err := OpenCorpus(&cp)
	if err != nil {
		return report.Eval{}, err
	}
	for _, d := range c.Records() {
		if d.TooLong > 0 || d.Empty > 0 || d.Masked > 0 {
			fmt.Fprintf(ui.warn(), "concord: %s: %d examples longer than data.max_len (%s), %d empty, %d without a supervised token\n", d.Lang,
				d.TooLong, d.Overlong, d.Empty, d.Masked)
		}
	}
	base, err := baseOf(cfg)
	if err != nil {
		return report.Eval{}, err
	}
	inf, err := infer.OpenTyped(dir, base, DeviceOptions(cfg.Device, ui.warn()), cfg.Batch.Rows, cfg.Batch.SeqLen)
	if err != nil {
		return report.Eval{}, located(cfg, err)
	}
	defer inf.Close()
	var same *sample
	if like != nil {
		s := sampleOf(like, cfg.Eval.Seed)
		same = &s
	}
	v, err := newEvaluator(c, cfg, same)
	if err != nil {
		return report.Eval{}, err
	}
	screen := report.New(report.Options{Out: ui.Out, Terminal: ui.Terminal, Width: ui.Width, Quiet: ui.Quiet || ui.Out == nil})
	v.progress = screen.Evaluating
	b := inf.Net.NewBatch()
	defer b.Release()
	out, chose, err := v.measure(ctx, inf.Engine, inf.Net, b, 0)
	out.Relate(nil)
	if chose && err == nil {
		tellSample(&out, cfg.Eval, func(text string) {
			fmt.Fprintln(ui.warn(), "concord:", strings.ReplaceAll(text, "\n", "\n         "))
		})
	}
	if err == nil {
		err = answers(ctx, &cp, c, inf, &out, ui)
	}
	if err != nil && ctx.Err() != nil {
		return out, as(ErrInterrupted, fmt.Errorf("evaluation interrupted; nothing was changed"))
	}
	return out, err
}

// answers adds those that eval.samples asks for.
func answers(ctx context.Context, cfg *config.Config, c *corpus.Corpus, inf *infer.Model, e *report.Eval, ui UI) error {
	q, err := newQuestions(c, cfg, func(text string) { fmt.Fprintln(ui.warn(), "concord:", text) })
	if err != nil {
		return err
	}
	s, err := q.speaker(inf.Net, c, baseFolder(cfg))
	if s == nil {
		return err
	}
	defer s.Release()
	return q.ask(ctx, s, e)
}

func mustAbs(p string) string {
	if a, err := filepath.Abs(p); err == nil {
		return a
	}
	return p
}

// meanSeen is the figure that the best checkpoint is chosen by: the mean bits per byte of
// the trained languages, +Inf when not measurable.
func meanSeen(e report.Eval) float64 {
	if m := e.Mean(true); !math.IsNaN(m) {
		return m
	}
	return math.Inf(1)
}

// UI is the user's screen.
type UI struct {
	Out      io.Writer // results and progress
	Warn     io.Writer // warnings
	Terminal bool      // Out is a terminal of Width columns
	Width    int
	Quiet    bool // no progress, because Out takes JSON
	// Watch, if not nil, gets every record in place of the progress on Out, until
	// the report.End; Commands are the keys of the watcher.
	Watch    func(record any)
	Commands <-chan Command
	// Record, if not nil, gets every record besides; on a worker those of its steps.
	Record func(record any)
	// Folder, if not nil, is called with the run's folder before the first record.
	Folder func(dir string)
	// Joined, if not nil, is called with the join line of a run on many machines.
	Joined func(line string)
}

func (u UI) warn() io.Writer {
	if u.Warn == nil {
		return io.Discard
	}
	return u.Warn
}
