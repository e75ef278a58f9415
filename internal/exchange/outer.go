package exchange

import (
	"context"
	"iter"
	"slices"

	"concord/bucket"
	"concord/internal/cluster/protocol"
	"concord/internal/cluster/worker"
	"concord/internal/data"
	"concord/internal/fault"
	"concord/internal/objective"
	"concord/internal/step"
)

// Outer has the machines make H steps by themselves, each on its share of every batch,
// before they exchange their changes: the languages' changes are resolved bucket by
// bucket as gradients are in every step of other runs, and an outer optimizer, SGD with
// Nesterov's momentum, applies them (DiLoCo; Douillard et al., 2311.08105). Within its
// steps a machine resolves the languages that it has.
//
// Every machine does the work of the outer optimizer alike on the CPU in float32, to the
// same bits. AdamW's moments belong to each machine alone.
type Outer struct {
	*Distributed
	changes  *objective.Objective // resolves the changes; the replica's own is of the steps
	resolver *bucket.Resolver
	outer    nesterov
	before   *snapshot // while an outer step is under way

	batch *data.Batch // of all inner steps
	inner int         // how many
	sums  []float64   // of their losses on this machine, by language
}

func newOuter(d *Distributed) (x *Outer, err error) {
	r := d.Replica
	x = &Outer{Distributed: d}
	x.self, x.localState, x.alike = x, true, d.alike[:1]
	if x.changes, err = objective.New(d.Settings.ObjectiveOf(d.Langs, true)); err != nil {
		return nil, err
	}
	x.changes.Attach(r.Store.Layout.Groups)
	x.outer = newNesterov(d.opt.OuterLR, d.opt.OuterMomentum, r.Store.Layout.Groups)
	x.resolver, err = bucket.NewResolver(r.Store, bucket.Options{Objectives: len(r.Langs), Solver: x.changes})
	return x, fault.Device(err)
}

// Release implements step.Exchange.
func (x *Outer) Release() {
	if x.resolver != nil {
		x.resolver.Release()
	}
}

// Begin implements step.Exchange: this machine computes its share of every batch of
// the outer step that follows n steps.
func (x *Outer) Begin(ctx context.Context, n int) (step.LocalBatch, error) {
	if err := x.undo(); err != nil { // the outer step is done again
		return step.LocalBatch{}, err
	}
	batch, of := x.batchOf(n)
	if err := x.enter(ctx, batch); err != nil {
		return step.LocalBatch{}, err
	}
	x.changes.Begin(int64(n), batch.Supervised, nil, nil)
	if err := x.takeSnapshot(); err != nil {
		return step.LocalBatch{}, err
	}
	if x.plan.Saved {
		x.saveLocalState(x.plan.Saving())
	}
	x.batch, x.inner, x.sums = batch, slices.Max(of)+1, make([]float64, len(x.Langs))
	return step.LocalBatch{Batch: batch, Micros: x.innerSteps(n, of)}, nil
}

// batchOf is the batches of the outer step that begins at step n, joined, and which of
// them each row is from.
func (x *Outer) batchOf(n int) (*data.Batch, []int) {
	var all []*data.Batch
	for k := range max(1, min(x.opt.OuterSteps, x.Steps-n)) {
		all = append(all, x.Sampler.Batch(n+k))
	}
	return data.Join(all)
}

func (x *Outer) exchangeBatch(n int) *data.Batch {
	b, _ := x.batchOf(n)
	return b
}

func (x *Outer) work(b *data.Batch) protocol.Work {
	w := x.workOf(b, b.Starts)
	w.Whole = true
	return w
}

func (x *Outer) shape() worker.Shape { return x.shapeOf(x.Langs...) }

// innerSteps gives the micro-batches of this machine's inner steps, and makes each
// step's update after its last one.
func (x *Outer) innerSteps(n int, of []int) iter.Seq2[step.Micro, error] {
	return func(yield func(step.Micro, error) bool) {
		parts, err := x.innerParts(of)
		if err != nil {
			yield(step.Micro{}, err)
			return
		}
		for k, p := range parts {
			if total(p.Supervised) == 0 { // nothing to learn from
				continue
			}
			micros, err := x.beginInner(n+k, p)
			if err == nil {
				for m, err := range micros {
					if !yield(m, err) {
						return
					}
				}
				err = x.finishInner(n+k, p)
			}
			if err != nil {
				yield(step.Micro{}, err)
				return
			}
		}
	}
}

// innerParts is this machine's rows of each inner step.
func (x *Outer) innerParts(of []int) (parts []*step.Part, err error) {
	share := x.plan.Share
	mine, most := make([][]int, x.inner), 0
	for r := share.From; r < share.To; r++ {
		mine[of[r]] = append(mine[of[r]], r)
		most = max(most, len(mine[of[r]]))
	}
	if most == 0 {
		return nil, nil
	}
	rows, micro, err := x.shapeFor(most)
	if err != nil {
		return nil, err
	}
	for _, picked := range mine {
		b := x.batch.Pick(picked, rows*micro)
		parts = append(parts, x.NewPart(b, rows, micro, x.Starts(b)))
	}
	return parts, nil
}

// beginInner opens inner step n as one machine alone opens it.
func (x *Outer) beginInner(n int, p *step.Part) (iter.Seq2[step.Micro, error], error) {
	x.Objective.Begin(int64(n), p.Supervised, x.HalfTokens(p.Batch), p.LossByTask)
	scales, err := x.Objective.Scales(p.Supervised)
	if err != nil {
		return nil, err
	}
	x.Resolver.Begin(p.Micro)
	return p.Each(scales), nil
}

// finishInner makes inner step n's update.
func (x *Outer) finishInner(n int, p *step.Part) error {
	groups, err := x.Resolver.Finish()
	if err != nil {
		return fault.Classify(err)
	}
	means, err := p.LossByTask()
	if err != nil {
		return fault.Classify(err)
	}
	if x.Clip, err = x.Update(groups, n, p.Supervised); err != nil {
		return err
	}
	x.Objective.RecordLosses(means)
	for m, tokens := range p.Supervised {
		if tokens > 0 {
			x.sums[m] += means[m] * float64(tokens)
		}
	}
	return nil
}

func total(x []int) (sum int) {
	for _, n := range x {
		sum += n
	}
	return sum
}

// Finish implements step.Exchange: the changes are resolved and applied.
func (x *Outer) Finish(context.Context) (step.Outcome, error) {
	x.plan.Losses(x.sums)
	if err := x.pushChanges(); err != nil {
		return step.Outcome{}, err
	}
	groups, err := x.resolver.ResolveChanges(x.plan)
	if err != nil {
		return step.Outcome{}, step.Divergence(err)
	}
	losses := x.finalLosses(x.batch)
	if err := x.Diverged(groups, x.batch.Supervised); err != nil {
		return step.Outcome{}, err
	}
	if err := x.outerUpdate(); err != nil {
		return step.Outcome{}, err
	}
	x.changes.RecordLosses(losses)
	return step.Outcome{Groups: groups, Losses: losses, LR: x.LR(x.Done + x.inner - 1), Clip: x.Clip, Steps: x.inner, Exchange: x.traffic()},
		nil
}

// pushChanges sends the changes of this machine's steps on their way, once for all of
// its languages.
func (x *Outer) pushChanges() error {
	if len(x.plan.Rows()) == 0 {
		return nil
	}
	loss := 0.0
	for _, l := range x.sums {
		loss += l
	}
	for u := range x.Store.Layout.Groups {
		now, err := readGroup(x.Replica, bucket.Weight, u)
		if err != nil {
			return err
		}
		for i, w := range x.weightsBefore(u) {
			now[i] = w - now[i]
		}
		x.plan.Push(u, [][]float32{now}, []float64{loss})
	}
	return nil
}

// weightsBefore is the weights of group u before the outer step.
func (x *Outer) weightsBefore(u int) []float32 {
	return x.Store.Values(bucket.Weight, u, x.before.states.Group(bucket.Weight, u))
}

// outerUpdate applies the resolved changes to the weights before the outer step. After an
// error undo gives the weights back, and the outer optimizer is as it was.
func (x *Outer) outerUpdate() error {
	for u := range x.Store.Layout.Groups {
		d, err := readGroup(x.Replica, bucket.Gradient, u)
		if err != nil {
			return err
		}
		w := x.weightsBefore(u)
		x.outer.update(u, w, d)
		x.round(u, w)
		setGroup(x.Replica, bucket.Weight, u, w)
	}
	if err := x.Engine.Dev.Sync(); err != nil {
		return fault.Classify(err)
	}
	x.outer.commit()
	x.before = nil
	return nil
}

// round makes weights of group u values that their type has.
func (x *Outer) round(u int, w []float32) {
	for p, at := range x.Store.Layout.PlacesOf(u) {
		x.Adam.Round(p.Name, int64(x.Exchanges()), w[at:at+p.Extent()])
	}
}
