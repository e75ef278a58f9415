package exchange

import (
	"context"
	"encoding/hex"
	"errors"
	"math"

	"concord/bucket"
	"concord/internal/cluster/protocol"
	"concord/internal/cluster/worker"
	"concord/internal/data"
	"concord/internal/fault"
	"concord/internal/objective"
	"concord/internal/report"
	"concord/internal/safetensors"
	"concord/internal/step"
)

// Distributed is this machine's side of a run on many, which all exchanges but Single
// are built on.
type Distributed struct {
	*step.Replica
	opt     Options
	self    scheme
	member  *worker.Member // nil until connected
	fetched string         // folder for states that are fetched
	plan    *worker.Step   // of the current step
	warm    bool           // a step was computed
	root    string         // of the last exchange
	pending pendingLosses

	offered []bucket.State // the states that a newcomer fetches: the weights first
	alike   []bucket.State // the states that all machines hold to the same bits

	localState bool                 // this machine's methods carry state that others do not
	feedback   map[string][]float32 // of quantised rows, as restored, until connected
	local      localFolder
}

// scheme is the part of an exchange that differs, for the code that all of them share.
type scheme interface {
	Networked
	// work lists the rows of a batch, shape the sizes of the groups' rows.
	work(b *data.Batch) protocol.Work
	shape() worker.Shape
	// exchangeBatch is the batch that all machines compute for the exchange that follows n steps.
	exchangeBatch(n int) *data.Batch
	// replicated are further values of a group that all machines hold alike.
	replicated(group int) []float32
	// bring hands over the state that a checkpoint or the start has given this machine alone.
	bring()
	// undo gives this machine back its state before the step that was begun.
	undo() error
	// localTensors are the tensors that only this machine holds, for its own checkpoint; restoreLocal
	// goes on from there.
	localTensors() ([]safetensors.Entry, error)
	restoreLocal(f *safetensors.Reader, s Saved) error
}

func newDistributed(r *step.Replica, o Options) *Distributed {
	return &Distributed{Replica: r, opt: o, offered: r.States(), alike: r.States()}
}

// Link is a machine's way into a run.
type Link struct {
	Member  *worker.Member
	Fetched string // folder for states that are fetched
	Local   string // folder for the state that only this machine holds; "" where it is in the run's checkpoints
	Log     func(format string, args ...any)
}

// Machines implements Networked.
func (d *Distributed) Machines() *Distributed { return d }

// Connect makes the machine one of the run's.
func (d *Distributed) Connect(l Link) {
	l.Member.Configure(d.self.shape(), d.offer)
	d.member, d.fetched = l.Member, l.Fetched
	d.local.path, d.local.log = l.Local, l.Log
}

// Bring hands over the state that this machine has from the start or a checkpoint, where it is
// the one that brings the run's state.
func (d *Distributed) Bring() {
	d.self.bring()
	d.member.SetErrorFeedback(d.feedback)
	d.feedback = nil
}

func (d *Distributed) bring() {}

// Member is this machine among the others.
func (d *Distributed) Member() *worker.Member { return d.member }

// StepShape gives the sizes of the steps of this run.
func (d *Distributed) StepShape() worker.Shape { return d.self.shape() }

func (d *Distributed) shape() worker.Shape {
	var names []string
	segments := d.Objective.Segments()
	for m := range segments {
		names = append(names, d.Langs[m*len(d.Langs)/segments])
	}
	return d.shapeOf(names...)
}

// shapeOf is the shape of groups with a row for each of the names.
func (d *Distributed) shapeOf(names ...string) worker.Shape {
	s := worker.Shape{Device: d.Engine.Dev.Info().Name, Segments: len(names), Langs: len(d.Langs), Parameters: d.opt.Sharded,
		Names: names, StepName: "step", Codec: d.opt.Codec}
	if d.opt.OuterSteps > 0 {
		s.StepName = "outer step"
	}
	s.Check = func(meta []byte, tokens []int) error {
		return bucket.CheckShared(meta, len(d.Langs), tokens, d.Objective.Check)
	}
	s.CheckSolution = func(b []byte) error { return bucket.CheckSolution(b, len(d.Langs)) }
	first := 0
	for k, x := range d.slices() {
		if x.From == 0 {
			first = k
		}
		s.Groups, s.Leads = append(s.Groups, x.Size()), append(s.Leads, first)
		if d.opt.Sharded {
			s.Moments = append(s.Moments, momentBytes(d.Replica, x.Group))
		}
	}
	return s
}

// slices are the parts of resolve groups that one machine owns. Groups stay whole where the owner
// keeps their moments, where the length of the whole is needed (outer steps), and where they are
// resolved element by element.
func (d *Distributed) slices() []bucket.Slice {
	l := d.Store.Layout
	return l.Slices(d.opt.Slice, func(i int) bool {
		return !d.opt.Sharded && d.opt.OuterSteps == 0 && (d.opt.Local || !d.Objective.ByElement(l.Groups[i].Rule))
	})
}

// Work lists the rows of exchange n's batch, for the machine that plans it.
func (d *Distributed) Work(n int) protocol.Work {
	return d.self.work(d.self.exchangeBatch(d.StepAfter(n)))
}

func (d *Distributed) work(b *data.Batch) protocol.Work { return d.workOf(b, d.Starts(b)) }

// workOf is the rows of a batch with the segments that begin at starts.
func (d *Distributed) workOf(b *data.Batch, starts []int) protocol.Work {
	w := protocol.Work{Lang: b.Lang, Segments: len(starts) - 1, Langs: len(d.Langs), Segment: make([]int, b.Rows), Tokens: make([]int, b.Rows)}
	seg := 0
	for r := range b.Rows {
		for starts[seg+1] <= r*b.SeqLen {
			seg++
		}
		w.Segment[r] = seg
		for _, label := range b.Labels[r*b.SeqLen : (r+1)*b.SeqLen] {
			if label != data.Ignore {
				w.Tokens[r]++
			}
		}
	}
	return w
}

func (d *Distributed) exchangeBatch(n int) *data.Batch { return d.Sampler.Batch(n) }

// Exchanges is the number of exchanges before the next step. The other machines count
// those as steps.
func (d *Distributed) Exchanges() int {
	h := max(1, d.opt.OuterSteps)
	return (d.Done + h - 1) / h
}

// StepAfter is the step that follows so many exchanges.
func (d *Distributed) StepAfter(exchanges int) int {
	return min(exchanges*max(1, d.opt.OuterSteps), d.Steps)
}

// enter waits for the plan of the exchange in which b is computed, and does as it
// asks for first.
func (d *Distributed) enter(ctx context.Context, b *data.Batch) error {
	if d.member == nil {
		return errors.New("exchange: a run with cluster.listen makes steps with its machines only\n  fix: -o cluster.listen=\"\"")
	}
	if b.Err != nil {
		return fault.Data(b.Err)
	}
	s, err := d.member.Begin(ctx, d.Exchanges(), d.self.work(b))
	if err != nil {
		return err
	}
	d.plan = s
	if s.Check {
		if err := d.compare(); err != nil {
			return err
		}
	}
	if s.Snapshot {
		return d.offer()
	}
	return nil
}

// assignLocalBatch waits for the plan of b's step and takes this machine's share of b.
func (d *Distributed) assignLocalBatch(ctx context.Context, b *data.Batch) (*step.Part, error) {
	if err := d.enter(ctx, b); err != nil {
		return nil, err
	}
	s := d.plan
	if s.Saved {
		d.saveLocalState(s.Saving())
	}
	n := s.Share.Size()
	if n == 0 {
		return d.NoPart(), nil
	}
	rows, micro, err := d.shapeFor(n)
	if err != nil {
		return nil, err
	}
	starts := data.Cut(d.Starts(b), s.Share.From*b.SeqLen, n*b.SeqLen, rows*micro*b.SeqLen)
	return d.NewPart(b.Part(s.Share.From, s.Share.To, rows*micro), rows, micro, starts), nil
}

// shapeFor shapes the replica for n rows: as few micro-batches as hold them, of equal
// size.
func (d *Distributed) shapeFor(n int) (rows, micro int, err error) {
	micro = (n + d.Settings.Rows - 1) / d.Settings.Rows
	rows = (n + micro - 1) / micro
	if d.Model == nil || d.Model.Dims().Rows != rows || !d.warm {
		d.plan.Cold()
	}
	d.warm = true
	return rows, micro, d.Shape(rows)
}

// updateAll ends a step of b in which every machine applies all gradients.
func (d *Distributed) updateAll(b *data.Batch, groups bucket.Report) (step.Outcome, error) {
	losses := d.finalLosses(b)
	clip, err := d.Update(groups, d.Done, b.Supervised)
	if err != nil {
		return step.Outcome{}, err
	}
	d.Objective.RecordLosses(losses)
	return step.Outcome{Groups: groups, Losses: losses, LR: d.LR(d.Done), Clip: clip, Steps: 1, Exchange: d.traffic()}, nil
}

// finalLosses is the committed step's losses by language, NaN where nothing was
// counted; b.Supervised becomes the tokens that were.
func (d *Distributed) finalLosses(b *data.Batch) []float64 {
	k := d.plan.Outcome()
	d.root = hex.EncodeToString(k.Root[:])
	out := objective.Unknown(len(b.Supervised))
	for m, n := range d.counted(b) {
		if b.Supervised[m] = n; n > 0 {
			out[m] = k.Loss[m] / float64(n)
		}
	}
	return out
}

// counted is the committed step's tokens by language: those of b that were not lost
// with a machine. It is known once the step is committed.
func (d *Distributed) counted(b *data.Batch) []int {
	out := make([]int, len(b.Supervised))
	copy(out, d.plan.Outcome().Tokens)
	return out
}

// traffic is the part of the step's record about the other machines.
func (d *Distributed) traffic() *report.Exchange {
	s := d.plan.Timing()
	r := &report.Exchange{Workers: s.Workers, Rows: d.plan.Share.Size(), Seconds: s.Exchange.Seconds(), Exposed: s.Waited.Seconds(),
		SentBytes: s.Sent, ReceivedBytes: s.Received, Missing: s.Missing}
	r.Hidden = report.Float(math.NaN())
	if r.Seconds > 0 {
		r.Hidden = report.Float(max(0, 1-r.Exposed/r.Seconds))
	}
	return r
}

// Retry implements step.Exchange: a step may be planned anew when a machine is lost,
// and this machine may have to fetch later weights.
func (d *Distributed) Retry(ctx context.Context, err error) error {
	if d.member == nil {
		return err
	}
	d.pending.done(false)
	if d.Resolver != nil {
		d.Resolver.Interrupted()
	}
	if failed := d.Undo(); failed != nil {
		return errors.Join(err, failed)
	}
	state := errors.Is(err, worker.ErrState)
	if !state && !errors.Is(err, worker.ErrRedo) {
		return err
	}
	if err := d.self.undo(); err != nil || !state { // before the state is offered or saved as that before the step
		return err
	}
	if err := d.CatchUp(ctx); err != nil {
		return err
	}
	return step.ErrCaughtUp
}

// saved is the state before the next step, besides tensors.
func (d *Distributed) saved() Saved { return Saved{State: d.State(), Carry: d.self.Carry()} }

// Carry implements Exchange.
func (d *Distributed) Carry() Carry { return Carry{Root: d.root} }

// Entries implements Exchange.
func (d *Distributed) Entries() []safetensors.Entry { return nil }

// Reader implements Exchange.
func (d *Distributed) Reader(context.Context) step.Source { return d.Store }

// Restore implements Exchange.
func (d *Distributed) Restore(f *safetensors.Reader, c Carry) (err error) {
	d.root = c.Root
	d.feedback, err = readFeedback(f)
	return err
}

// Release implements step.Exchange.
func (d *Distributed) Release() {}

// Plan is the current step's, nil before the first.
func (d *Distributed) Plan() *worker.Step { return d.plan }
