// Package train is where everything meets: a run file becomes a model, data, a
// device and the loop over steps, with evaluation, checkpoints and reports.
//
// The way of one batch is Trainer.Step (step.go), one line a stage. Run and
// Resume (run.go) drive it; Evaluate, Score and Generate use the same model for
// inference. Everything here is driven by one goroutine.
package train

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"concord/bucket"
	"concord/gpu"
	"concord/internal/config"
	"concord/internal/model"
	"concord/internal/objective"
	"concord/internal/optim"
	"concord/internal/report"
	"concord/tensor"
)

// Trainer holds a run's state on the device.
type Trainer struct {
	cfg       *config.Config
	corpus    *corpus
	engine    *tensor.Engine
	store     *bucket.Store
	model     model.Model
	batch     *model.Batch
	objective *objective.Objective
	resolver  *bucket.Resolver
	adam      *optim.AdamW
	schedule  optim.Schedule
	langs     []string // trained on, in the order of a batch's segments

	team     *team          // on many machines; nil on one
	outer    *outer         // with outer steps
	shard    *optim.Shard   // of a sharded run, whose moments are not in the store
	restored map[int][]byte // its moments, by unit, until there is a team

	root      string               // on many machines, of the last exchange
	remainder map[string][]float32 // as restored, until there is a team; see apart
	gather    bool                 // the first step waits for as many machines as if it were the run's first

	ownRows bool // gradient rows never lie in activations' memory

	// The current step's.
	part       part
	scales     []float32 // ∂objective/∂loss of a token, by language
	losses     []*gpu.Readback
	lossByLang []float64 // nil until read
	resolved   bucket.Report
	clip       float64 // the last step's clipping factor

	step       int   // steps done
	tokens     int64 // read, padding not counted
	supervised int64 // of those, with a loss
}

// Open prepares a run without starting it or writing anything: for benchmarks
// and tests, which call Step themselves. Close frees it.
func Open(cfg *config.Config, warn io.Writer) (*Trainer, error) { return openTrainer(cfg, warn, false) }

// OpenOwnRows is Open with the gradient rows in memory of their own, never in
// that of activations: for measuring what lending saves.
func OpenOwnRows(cfg *config.Config, warn io.Writer) (*Trainer, error) {
	return openTrainer(cfg, warn, true)
}

func openTrainer(cfg *config.Config, warn io.Writer, ownRows bool) (*Trainer, error) {
	c, err := openCorpus(cfg)
	if err != nil {
		return nil, err
	}
	t, err := newTrainer(cfg, c, nil, warn, ownRows)
	if err != nil {
		return nil, err
	}
	if err := t.loadBase(); err != nil {
		t.Close()
		return nil, err
	}
	return t, nil
}

// Memory is the device memory in use, by role.
func (t *Trainer) Memory() gpu.Memory { return t.engine.Dev.Memory() }

// Device is what the trainer runs on.
func (t *Trainer) Device() *gpu.Device { return t.engine.Dev }

// newTrainer allocates everything on the device. choices are the kernel
// variants of an earlier part of the run, nil to choose anew. The weights are
// still zero: call loadBase or restore.
func newTrainer(cfg *config.Config, c *corpus, choices map[string]string, warn io.Writer, ownRows bool) (*Trainer, error) {
	t := &Trainer{cfg: cfg, corpus: c, langs: c.sampler.Languages(), ownRows: ownRows}
	var err error
	if t.objective, err = objective.New(cfg, t.langs, c.trainTokens(t.langs), cfg.Clustered()); err != nil {
		return nil, err
	}
	if cfg.OuterSteps() > 0 {
		t.outer = &outer{objective: t.objective}
		if t.objective, err = objective.New(cfg, t.langs, c.trainTokens(t.langs), false); err != nil {
			return nil, err
		}
	}
	if err := fitsModel(cfg, c.model); err != nil {
		return nil, err
	}
	if t.engine, err = openDevice(cfg.Device, choices, warn); err != nil {
		return nil, err
	}
	for _, note := range c.model.Notes {
		fmt.Fprintln(warn, "concord:", note)
	}
	if cfg.Batch.SeqLen%32 != 0 && !t.objective.Static() { // attention's tiles then hold two rows
		fmt.Fprintf(warn, "concord: batch.seq_len = %d is not a multiple of 32: should one language's values become non-finite, its neighbour's in the batch may too\n", cfg.Batch.SeqLen)
	}
	if err := t.allocate(); err != nil {
		t.Close()
		return nil, err
	}
	return t, nil
}

func (t *Trainer) allocate() (err error) {
	cfg := t.cfg
	if t.store, err = newStore(t.engine, t.bucketParams(), cfg.Objective.Scope, t.exchanged().Segments(), slices.Concat(t.kept()[1:], []bucket.State{bucket.Gradient})...); err != nil {
		return err
	}
	t.objective.Attach(t.store.Layout.Units)
	if t.outer != nil {
		if err := t.outer.attach(t); err != nil {
			return err
		}
	}
	if err := t.shape(cfg.Batch.Rows); err != nil {
		return err
	}
	if err := t.checkBudget(); err != nil {
		return err
	}
	o := cfg.Optim
	t.adam, err = optim.New(t.store, optim.Config{Beta1: o.Betas[0], Beta2: o.Betas[1], Eps: o.Eps, WeightDecay: o.WeightDecay, Clip: o.Clip})
	if err != nil {
		return err
	}
	if cfg.Sharded() {
		t.shard = t.adam.NewShard()
	}
	t.schedule = optim.Schedule{Kind: cfg.Schedule.Kind, LR: o.LR, MinRatio: cfg.Schedule.MinRatio, Warmup: warmup(cfg, t.corpus.steps), Total: int64(t.corpus.steps)}
	if err := t.schedule.Check(); err != nil {
		return &config.Error{Where: cfg.Where("schedule"), Msg: err.Error()}
	}
	return DeviceError(t.engine.Dev.Err())
}

// shape makes the model and the resolver for micro-batches of so many rows; on
// many machines a machine's share changes with its speed.
func (t *Trainer) shape(rows int) (err error) {
	if t.batch != nil {
		if t.model.Dims().Rows == rows {
			return nil
		}
		t.unshape()
	}
	cfg := t.cfg
	dims := model.Dims{Rows: rows, SeqLen: cfg.Batch.SeqLen, LogitsChunk: cfg.Batch.LogitsChunk, Objectives: t.objective.Segments()}
	if dims.LogitsChunk == 0 {
		dims.LogitsChunk = logitsChunk(t.engine.Dev, t.corpus.model.Vocab)
		if !t.objective.Static() { // a tied embedding's rows exist at the same time: the chunk makes room
			dims.LogitsChunk = max(64, dims.LogitsChunk/2/64*64)
		}
	}
	if t.model, err = model.New(t.engine, t.corpus.model, t.store, dims); err != nil {
		return t.sizeError(err)
	}
	t.batch = t.model.NewBatch()
	if t.resolver, err = bucket.NewResolver(t.store, t.resolverOptions()); err != nil {
		return DeviceError(err)
	}
	return nil
}

// resolverOptions say how the store's units are resolved.
func (t *Trainer) resolverOptions() bucket.Options {
	o := t.objective
	if o.Static() {
		return bucket.Options{Objectives: 1}
	}
	opt := bucket.Options{Objectives: len(t.langs), Solver: o, InFlight: t.cfg.Objective.InFlight, Tokens: t.cfg.Batch.Rows * t.cfg.Batch.SeqLen,
		MayFix: o.MayBeStatic(), Halves: t.cfg.Objective.Noise.Halves, Ghost: t.ghost()}
	if !t.ownRows {
		opt.Lend = t.model.Lendable()
	}
	if t.cfg.Objective.Metric == "adam" {
		opt.Metric = t.adamMetric
	}
	return opt
}

// bucketParams lists the model's parameters with the groups that the overrides
// make of them.
func (t *Trainer) bucketParams() []bucket.Param {
	ghost, o := t.ghost(), t.exchanged()
	if o.Shared() {
		ghost = nil
	}
	out := params(t.corpus.model)
	for i := range out {
		p := &out[i]
		p.Group = o.Group(p.Name)
		p.Single = o.Static() || o.StaticRule(p.Group) || ghost != nil && ghost(*p)
	}
	return out
}

// planned is the device memory of a whole step: what is allocated, and the
// gradient rows and a probe's copies of the weights, which come later.
func (t *Trainer) planned() int64 {
	n := t.engine.Dev.Memory().Current + t.resolver.RowBytes(t.cfg.Batch.Accumulate)
	if t.cfg.Probe.Every > 0 {
		n += probeBytes(t.store.Layout)
	}
	return n
}

// checkBudget refuses before the first step what would not fit in it.
func (t *Trainer) checkBudget() error {
	budget, rows := t.engine.Dev.Memory().Budget, t.resolver.RowBytes(t.cfg.Batch.Accumulate)
	if t.planned() <= budget {
		return nil
	}
	return DeviceError(fmt.Errorf("%w: a step needs %s, %s of it for the gradient rows of %d languages; the budget is %s\n  fix: objective.scope = \"tensor\", a smaller batch.rows or batch.seq_len, or more device.memory",
		gpu.ErrOutOfMemory, report.Bytes(t.planned()), report.Bytes(rows), len(t.langs), report.Bytes(budget)))
}

// sizeError tells a batch that the model cannot take from one that does not fit.
func (t *Trainer) sizeError(err error) error {
	if t.engine.Dev.Err() != nil {
		return DeviceError(fmt.Errorf("%w\n  fix: a smaller batch.rows or batch.seq_len, or more device.memory", err))
	}
	return DataError(err)
}

// fitsModel refuses settings that the model cannot take.
func fitsModel(cfg *config.Config, c model.Config) error {
	names := model.ParamSpecs(c)
	for i, o := range cfg.Objective.Override {
		if !slices.ContainsFunc(names, func(s model.Spec) bool { return o.Matches(s.Name) }) {
			return &config.Error{Where: cfg.Where(fmt.Sprintf("objective.override.%d.match", i)), Msg: fmt.Sprintf("%q fits none of the model's parameters, such as %s", o.Match, names[len(names)-1].Name), Fix: `match = "*embed*"`}
		}
	}
	return tooLong(cfg, c)
}

// tooLong refuses rows that the model has no positions for.
func tooLong(cfg *config.Config, c model.Config) error {
	if cfg.Batch.SeqLen <= c.MaxPositions {
		return nil
	}
	return &config.Error{Where: cfg.Where("batch.seq_len"), Msg: fmt.Sprintf("batch.seq_len: %d, the model's max_position_embeddings is %d", cfg.Batch.SeqLen, c.MaxPositions), Fix: fmt.Sprintf("seq_len = %d", c.MaxPositions)}
}

// logitsChunk is how many tokens' logits exist at one time. On a CPU 4 MiB of
// them are enough for the GEMM and small next to the activations; on a GPU each
// chunk reads the whole head again, so they may take a 32nd of the budget, and
// at most the 128 MiB that NewLinearCrossEntropy allows.
func logitsChunk(dev *gpu.Device, vocab int) int {
	bytes := int64(4 << 20)
	if dev.Info().Type != gpu.CPU {
		bytes = max(bytes, min(dev.Memory().Budget/32, 128<<20))
	}
	return max(64, int(bytes/4)/vocab/64*64)
}

// warmup is schedule.warmup in steps: a fraction of the run when below 1.
func warmup(cfg *config.Config, steps int) int64 {
	w := cfg.Schedule.Warmup
	if w < 1 {
		w = math.Round(w * float64(steps))
	}
	return int64(min(w, float64(steps)))
}

// loadBase fills the weights: the base model's, or random ones from the seed.
func (t *Trainer) loadBase() error {
	if t.cfg.Model.Init == "random" {
		return classify(model.InitRandom(t.engine, t.corpus.model, t.store, t.cfg.Run.Seed))
	}
	return loadWeights(t.engine, t.corpus.model, t.store, t.cfg.Resolve(t.cfg.Model.Path))
}

// loadWeights reads a Hugging Face folder into w.
func loadWeights(e *tensor.Engine, c model.Config, w model.Weights, dir string) error {
	if err := model.Load(e, dir, c, w); err != nil {
		if e.Dev.Err() != nil {
			return DeviceError(err)
		}
		return DataError(err)
	}
	return nil
}

// Close frees the device.
func (t *Trainer) Close() {
	if t.engine != nil {
		t.release()
		t.engine.Dev.Close()
	}
}

// release frees what the trainer allocated on the device.
func (t *Trainer) release() {
	t.unshape()
	if t.outer != nil && t.outer.resolver != nil {
		t.outer.resolver.Release()
	}
	if t.shard != nil {
		t.shard.Release()
	}
	if t.store != nil {
		t.store.Release()
	}
}

// unshape frees what depends on the rows of a micro-batch.
func (t *Trainer) unshape() {
	if t.resolver != nil {
		t.resolver.Release()
	}
	if t.batch != nil {
		t.batch.Release()
	}
	if t.model != nil {
		t.model.Release()
	}
	t.resolver, t.batch, t.model = nil, nil, nil
}

// divergence turns a non-finite gradient into ErrDiverged.
func divergence(err error) error {
	if nf := (*optim.NonFiniteError)(nil); errors.As(err, &nf) {
		return as(ErrDiverged, fmt.Errorf("%w\n  the weights are those of the step before; fix: a lower optim.lr, or optim.clip = 1.0", err))
	}
	return classify(err)
}
