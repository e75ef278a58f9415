package exchange

import (
	"context"
	"errors"

	"concord/internal/fault"
	"concord/internal/safetensors"
	"concord/internal/step"
)

// Single is a run on one machine: every row is its own, and nothing is exchanged.
type Single struct {
	*step.Replica
	part *step.Part
}

// Begin implements step.Exchange: all rows of the batch are this machine's.
func (x *Single) Begin(_ context.Context, n int) (step.LocalBatch, error) {
	b := x.Sampler.Batch(n)
	if b.Err != nil {
		return step.LocalBatch{}, fault.Data(b.Err)
	}
	x.part = x.Whole(b)
	x.Objective.Begin(int64(n), b.Supervised, x.HalfTokens(b), x.part.LossByTask)
	if x.Objective.SameBatch() {
		losses, err := x.Losses(x.Whole(b))
		if err != nil {
			return step.LocalBatch{}, fault.Classify(err)
		}
		x.Objective.MeasuredBefore(losses)
	}
	scales, err := x.Objective.Scales(b.Supervised)
	if err != nil {
		return step.LocalBatch{}, err
	}
	x.BeginUpdate(n, b.Supervised)
	x.Resolver.Begin(x.part.Micro)
	return step.LocalBatch{Batch: b, Micros: x.part.Each(scales)}, nil
}

// Finish implements step.Exchange.
func (x *Single) Finish(context.Context) (step.Outcome, error) {
	groups, err := x.Resolver.Finish()
	if err != nil {
		return step.Outcome{}, step.Divergence(err)
	}
	losses, err := x.part.LossByTask()
	if err != nil {
		return step.Outcome{}, fault.Classify(err)
	}
	clip, err := x.Update(groups, x.Done, x.part.Supervised)
	if err != nil {
		return step.Outcome{}, err
	}
	x.Objective.RecordLosses(losses)
	if x.Objective.SameBatch() {
		after, err := x.Losses(x.Whole(x.part.Batch))
		if err != nil {
			return step.Outcome{}, fault.Classify(err)
		}
		x.Objective.MeasuredAfter(after)
	}
	return step.Outcome{Groups: groups, Losses: losses, LR: x.LR(x.Done), Clip: clip, Steps: 1}, nil
}

// Retry implements step.Exchange: nothing is done again, and the update that was applied is undone.
func (x *Single) Retry(_ context.Context, err error) error { return errors.Join(err, x.Undo()) }

// Release implements step.Exchange.
func (x *Single) Release() {}

// Carry implements Exchange.
func (x *Single) Carry() Carry { return Carry{} }

// Entries implements Exchange.
func (x *Single) Entries() []safetensors.Entry { return nil }

// LocalEntries implements Exchange.
func (x *Single) LocalEntries() []safetensors.Entry { return nil }

// Reader implements Exchange.
func (x *Single) Reader(context.Context) step.Source { return x.Store }

// Restore implements Exchange.
func (x *Single) Restore(*safetensors.Reader, Carry) error { return nil }
