package step

import (
	"errors"
	"fmt"

	"concord/bucket"
	"concord/gpu"
	"concord/internal/data"
	"concord/internal/device"
	"concord/internal/fault"
	"concord/internal/model"
	"concord/internal/objective"
	"concord/internal/optim"
	"concord/internal/report"
	"concord/tensor"
)

// Replica is this machine's copy of the model on the device, with the optimizer and
// the memory of a step.
type Replica struct {
	Settings  Settings
	Arch      model.Config
	Sampler   *data.Sampler
	Engine    *tensor.Engine
	Store     *bucket.Store
	Model     model.Model
	Input     *model.Batch
	Objective *objective.Objective // resolves the gradients of this machine's steps
	Resolver  *bucket.Resolver
	Adam      *optim.AdamW
	Langs     []string // the tasks, in the order of a batch's segments

	Steps      int     // of the run
	Done       int     // of them
	Tokens     int64   // of their batches, padding not counted
	Supervised int64   // of those, with a loss
	Clip       float64 // the last step's clipping factor
	Norm       float64 // of the last step's gradient, where the next is clipped by it

	needs   Needs
	ownRows bool
	updater updater
}

// States are the values of AdamW that a run keeps of a parameter.
var States = []bucket.State{bucket.Weight, bucket.First, bucket.Second}

// New opens the device and allocates everything that steps with the exchange need on
// it, but for the gradient rows, which come with the first step. The weights are zeros:
// load them. Close frees it.
func New(o Options, exchange func(*Replica) (Exchange, error)) (*Trainer, error) {
	r, err := newReplica(o)
	if err != nil {
		return nil, err
	}
	t := &Trainer{Replica: r}
	x, err := exchange(r)
	if err == nil {
		t.Exchange, err = x, r.checkBudget()
	}
	if err != nil {
		t.Close()
		return nil, err
	}
	return t, nil
}

func newReplica(o Options) (*Replica, error) {
	set := o.Settings
	r := &Replica{Settings: set, Arch: o.Arch, Sampler: o.Sampler, Langs: o.Sampler.Languages(), Steps: o.Steps, needs: o.Needs,
		ownRows: o.OwnRows}
	var err error
	if r.Objective, err = objective.New(set.ObjectiveOf(r.Langs, o.Needs.Shared)); err != nil {
		return nil, err
	}
	if r.Engine = o.Engine; r.Engine == nil {
		if r.Engine, err = device.Open(o.Device); err != nil {
			return nil, err
		}
	}
	if set.SeqLen%32 != 0 && !r.Objective.Static() { // attention's tiles then hold two rows
		fmt.Fprintf(o.Device.Warn, "concord: batch.seq_len = %d is not a multiple of 32: should one language's values become non-finite, "+
			"its neighbour's in the batch may too\n", set.SeqLen)
	}
	if err := r.allocate(); err != nil {
		r.release()
		r.Engine.Dev.Close()
		return nil, err
	}
	return r, nil
}

func (r *Replica) allocate() (err error) {
	r.updater = r.newUpdater()
	states := r.States()[1:]
	if r.needs.HostMoments {
		states = nil
	}
	if !r.Settings.InBackward {
		states = append([]bucket.State{bucket.Gradient}, states...)
	}
	if r.Store, err = device.NewTypedStore(r.Engine, r.params(), r.Settings.Scope, r.rows(), r.Settings.Types, states...); err != nil {
		return err
	}
	r.Objective.Attach(r.Store.Layout.Groups)
	if err := r.Shape(r.Settings.Rows); err != nil {
		return err
	}
	if r.Adam, err = optim.New(r.Store, r.Settings.Optim); err != nil {
		return err
	}
	if err := r.Settings.Schedule.Check(); err != nil {
		return &fault.Setting{Key: "schedule", Msg: err.Error()}
	}
	return fault.Device(r.Engine.Dev.Err())
}

// rows is how many gradient rows a group has at most.
func (r *Replica) rows() int {
	n := r.Objective.Segments()
	if r.needs.AllRows {
		n = max(n, len(r.Langs))
	}
	return n
}

// params lists the model's parameters with the groups that the overrides make of
// them.
func (r *Replica) params() []bucket.Param {
	ghost, late, align := r.ghost(), r.late(), r.align()
	out := device.Params(r.Arch)
	for i := range out {
		p := &out[i]
		p.Align = align
		p.Frozen = r.Settings.Frozen(p.Spec)
		p.Rule = r.Objective.RuleOf(p.Name)
		p.Single = !r.needs.AllRows && (r.Objective.Static() || r.Objective.StaticRule(p.Rule) || ghost != nil && ghost(*p) || late != nil &&
			late(*p))
	}
	device.SetBase(out, r.Settings.Base)
	for i, p := range device.Params(r.Arch) {
		if r.ofAdapter(p.Spec) {
			out[i].Type = tensor.F32
		}
	}
	return out
}

// Shape makes the model and the resolver for micro-batches of so many rows: a
// machine's share of a batch may change with its speed.
func (r *Replica) Shape(rows int) (err error) {
	if r.Input != nil {
		if r.Model.Dims().Rows == rows {
			return nil
		}
		r.unshape()
	}
	set := r.Settings
	dims := model.Dims{Rows: rows, SeqLen: set.SeqLen, LogitsChunk: set.LogitsChunk, Objectives: r.Objective.Segments(),
		Checkpointing: set.Checkpointing, LateHead: r.lateHead(), Seed: set.Seed, Again: set.Again, Frozen: set.Frozen}
	if dims.LogitsChunk == 0 {
		dims.LogitsChunk = device.LogitsChunk(r.Engine.Dev, r.Arch.Vocab)
		if !r.Objective.Static() { // a tied embedding's rows exist at the same time: the chunk makes room
			dims.LogitsChunk = max(64, dims.LogitsChunk/2/64*64)
		}
	}
	if r.Model, err = model.New(r.Engine, r.Arch, r.Store, dims); err != nil {
		return r.sizeError(err)
	}
	r.Input = r.Model.NewBatch()
	if r.Resolver, err = bucket.NewResolver(r.Store, r.ResolverOptions()); err != nil {
		return fault.Device(err)
	}
	return nil
}

// BackwardAgain lets one forward pass be followed by several backward passes, see
// model.Dims.Again. Model, Input and Resolver are made anew.
func (r *Replica) BackwardAgain() error {
	r.Settings.Again = true
	r.unshape()
	return r.Shape(r.Settings.Rows)
}

// ResolverOptions say how the store's groups are resolved.
func (r *Replica) ResolverOptions() bucket.Options {
	o, set := r.Objective, r.Settings
	updates, _ := r.updater.(bucket.Updater)
	if o.Static() {
		return bucket.Options{Objectives: 1, Update: updates}
	}
	opt := bucket.Options{Objectives: len(r.Langs), Solver: o, InFlight: set.Objective.InFlight, Tokens: set.Rows * set.SeqLen,
		Static: o.MayBeStatic(), Halves: set.Objective.Noise.Halves, Ghost: r.ghost(), Late: r.late(), ByTokens: r.byTokens(), InTurn: r.inTurn,
		Update: updates, Whole: o.Elementwise()}
	if !r.ownRows {
		opt.Reuse = r.Model.Reusable()
	}
	if set.Objective.AdamMetric {
		opt.Metric = r.adamMetric
	}
	return opt
}

// Planned is the device memory of a whole step: all that is allocated but for staging,
// and the gradient rows and a probe's copies of the weights, which come later.
func (r *Replica) Planned() int64 {
	mem := r.Engine.Dev.Memory()
	n := mem.Current - mem.Roles[gpu.RoleStaging].Current + r.Resolver.RowBytes(r.Settings.Accumulate)
	if r.Settings.ProbeEvery > 0 {
		n += probeBytes(r.Store.Layout)
	}
	return n
}

// checkBudget refuses before the first step a plan that would not fit in it.
func (r *Replica) checkBudget() error {
	budget, rows := r.Engine.Dev.Memory().Budget, r.Resolver.RowBytes(r.Settings.Accumulate)
	if r.Planned() <= budget || !r.Engine.Dev.Refuses() {
		return nil
	}
	return fault.Device(fmt.Errorf("%w: a step needs %s, %s of it for the gradient rows of %d languages; the budget is %s\n  fix: "+
		"objective.scope = \"tensor\", %s",
		gpu.ErrOutOfMemory, report.Bytes(r.Planned()), report.Bytes(rows), len(r.Langs), report.Bytes(budget), r.lessMemory()))
}

// sizeError tells a batch that the model cannot take from one that does not fit.
func (r *Replica) sizeError(err error) error {
	if r.Engine.Dev.Err() != nil {
		return fault.Device(fmt.Errorf("%w\n  fix: %s", err, r.lessMemory()))
	}
	return fault.Data(err)
}

// lessMemory is the advice that makes any step smaller.
func (r *Replica) lessMemory() string {
	rest := "a smaller batch.rows or batch.seq_len, or more device.memory"
	if r.Settings.Checkpointing {
		return rest
	}
	return "memory.checkpointing = true, " + rest
}

// Close frees everything and the device.
func (t *Trainer) Close() {
	t.Release()
	t.Engine.Dev.Close()
}

// Release frees all that the trainer has allocated on the device, which stays open.
func (t *Trainer) Release() {
	if t.Exchange != nil {
		t.Exchange.Release()
		t.Exchange = nil
	}
	t.Replica.release()
}

func (r *Replica) release() {
	r.unshape()
	if r.Adam != nil {
		r.Adam.Release()
		r.Adam = nil
	}
	if r.Store != nil {
		r.Store.Release()
	}
}

// unshape frees the memory whose size depends on the rows of a micro-batch.
func (r *Replica) unshape() {
	if r.Resolver != nil {
		r.Resolver.Release()
	}
	if r.Input != nil {
		r.Input.Release()
	}
	if r.Model != nil {
		r.Model.Release()
	}
	r.Resolver, r.Input, r.Model = nil, nil, nil
}

// divergence gives a gradient that is not finite its kind.
func divergence(err error) error {
	if nf := (*optim.NonFiniteError)(nil); errors.As(err, &nf) || errors.Is(err, bucket.ErrNotFinite) {
		return fault.As(fault.ErrDiverged, fmt.Errorf("%w\n  the weights are those of the step before; fix: a lower optim.lr, or optim.clip "+
			"= 1.0", err))
	}
	return fault.Classify(err)
}
