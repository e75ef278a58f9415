package exchange

import (
	"context"

	"concord/bucket"
	"concord/internal/cluster/protocol"
	"concord/internal/cluster/worker"
	"concord/internal/data"
	"concord/internal/fault"
	"concord/internal/step"
)

// Local is for links that are too slow for a row of every language: each machine
// resolves the languages of its rows by themselves, and the group's owner adds up the
// machines' gradients. A machine's losses are means over its own tokens, and its
// gradient counts for its share of the languages, a part of one where others have
// tokens of it too. Conflicts between languages of different machines are averaged,
// not resolved, and the methods' state stays on each machine.
type Local struct {
	*Distributed
	batch *data.Batch
	part  *step.Part
}

func newLocal(d *Distributed) *Local {
	x := &Local{Distributed: d}
	x.self, x.localState = x, true
	return x
}

// Begin implements step.Exchange: this machine computes its share of the batch as if
// there were no other.
func (x *Local) Begin(ctx context.Context, n int) (step.LocalBatch, error) {
	b := x.Sampler.Batch(n)
	if b.Err != nil {
		return step.LocalBatch{}, fault.Data(b.Err)
	}
	x.Objective.Begin(int64(n), b.Supervised, nil, nil)
	var err error
	if x.part, err = x.assignLocalBatch(ctx, b); err != nil {
		return step.LocalBatch{}, err
	}
	x.batch = b
	own := x.part.Supervised
	x.Objective.Restart(own, x.part.LossByTask)
	scales, err := x.Objective.Scales(own)
	if err != nil {
		return step.LocalBatch{}, err
	}
	x.BeginUpdate(n, b.Supervised)
	err = x.Resolver.BeginLocal(max(1, x.part.Micro), x.plan, x.slices(), oneSum(x.lossSums(x.part)),
		shareOf(own, b.Supervised))
	return step.LocalBatch{Batch: b, Micros: x.part.Each(scales)}, err
}

// shareOf is the weight of a machine's gradient: its part of every language's
// tokens, as a mean over the languages.
func shareOf(own, all []int) float64 {
	share, present := 0.0, 0
	for m, n := range all {
		if n > 0 {
			share, present = share+float64(own[m])/float64(n), present+1
		}
	}
	return share / float64(max(1, present))
}

// Finish implements step.Exchange: every machine applies every group's gradient.
func (x *Local) Finish(context.Context) (step.Outcome, error) {
	groups, err := x.resolve()
	if err != nil {
		return step.Outcome{}, err
	}
	return x.updateAll(x.batch, groups)
}

// resolve waits until every group's gradients are added up and the step is committed.
func (x *Local) resolve() (bucket.Report, error) {
	groups, err := x.Resolver.Finish()
	return groups, step.Divergence(err)
}

// resolved is the batch whose gradients resolve gives.
func (x *Local) resolved() *data.Batch { return x.batch }

// work is the batch's rows, all of one segment: a machine sends one gradient.
func (x *Local) work(b *data.Batch) protocol.Work {
	w := x.workOf(b, []int{0, len(b.IDs)})
	w.Local = true
	return w
}

// shape is that of one gradient row, which is of no language.
func (x *Local) shape() worker.Shape { return x.shapeOf("gradient") }

// oneSum is the sum of the sums.
func oneSum(sums func() ([]float64, error)) func() ([]float64, error) {
	return func() ([]float64, error) {
		all, err := sums()
		sum := 0.0
		for _, l := range all {
			sum += l
		}
		return []float64{sum}, err
	}
}
