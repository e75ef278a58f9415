package exchange

import (
	"context"

	"concord/bucket"
	"concord/internal/data"
	"concord/internal/fault"
	"concord/internal/step"
)

// Gradients is data parallelism bucket by bucket: this machine's rows of gradients by
// language go to their group's owner, which resolves the rows of all machines and sends the
// resolved gradient back. Every machine applies all of them alike.
type Gradients struct {
	*Distributed
	batch *data.Batch
	part  *step.Part
}

func newGradients(d *Distributed) *Gradients {
	x := &Gradients{Distributed: d}
	x.self = x
	return x
}

// Begin implements step.Exchange: this machine computes its share of the batch.
func (x *Gradients) Begin(ctx context.Context, n int) (step.LocalBatch, error) {
	b := x.Sampler.Batch(n)
	if b.Err != nil {
		return step.LocalBatch{}, fault.Data(b.Err)
	}
	x.Objective.Begin(int64(n), b.Supervised, x.HalfTokens(b), nil)
	scales, err := x.Objective.Scales(b.Supervised)
	if err != nil {
		return step.LocalBatch{}, err
	}
	if x.part, err = x.assignLocalBatch(ctx, b); err != nil {
		return step.LocalBatch{}, err
	}
	x.batch = b
	x.BeginUpdate(n, b.Supervised)
	err = x.Resolver.BeginExchange(max(1, x.part.Micro), x.plan, x.slices(), x.lossSums(x.part))
	return step.LocalBatch{Batch: b, Micros: x.part.Each(scales)}, err
}

// Finish implements step.Exchange: every machine applies every group's gradient.
func (x *Gradients) Finish(context.Context) (step.Outcome, error) {
	groups, err := x.resolve()
	if err != nil {
		return step.Outcome{}, err
	}
	return x.updateAll(x.batch, groups)
}

// resolve implements resolution.
func (x *Gradients) resolve() (bucket.Report, error) {
	groups, err := x.Resolver.Finish()
	return groups, step.Divergence(err)
}

// resolved is the batch whose gradients resolve gives.
func (x *Gradients) resolved() *data.Batch { return x.batch }
