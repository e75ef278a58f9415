// Package step makes one step of training on this machine.
//
// The way of a batch is Trainer.Step: batch, this machine's part of it, forward,
// backward into the exchange's gradients, finish, record. How the gradients become an
// update, alone or together with other machines, is an Exchange's business; the
// package names none. A Replica is the model with its optimizer and memory on the
// device. Everything here is driven by one goroutine.
package step

import (
	"context"
	"errors"
	"iter"
	"time"

	"concord/bucket"
	"concord/internal/data"
	"concord/internal/fault"
	"concord/internal/model"
	"concord/internal/report"
)

// Exchange decides which part of a step's batch this machine computes, takes its
// gradients by task, and ends the step. Each implementation is one way to share a
// step among machines.
type Exchange interface {
	// Begin opens the step that follows n steps. ctx ends the wait for other machines.
	Begin(ctx context.Context, n int) (LocalBatch, error)
	// Finish resolves the groups that the backward pass has left, commits and updates.
	Finish(ctx context.Context) (Outcome, error)
	// Retry ends a step that has failed with err. nil: it is done again from Begin on.
	// ErrCaughtUp: this machine holds the weights of a later one instead.
	Retry(ctx context.Context, err error) error
	// Release frees the memory that it holds on the device.
	Release()
}

// LocalBatch is this machine's part of a step's batch, with the whole batch.
type LocalBatch struct {
	Batch *data.Batch // of all machines
	// Micros are the part's micro-batches. The work of the exchange between two of them
	// is its own business.
	Micros iter.Seq2[Micro, error]
}

// Micro is a micro-batch: the input of the model.
type Micro struct {
	Tokens model.Tokens
	Sink   model.Gradients // where the backward pass writes
	Losses func()          // called once the losses can be read
}

// Outcome is a step that was made.
type Outcome struct {
	Groups   bucket.Report
	Losses   []float64        // by task; NaN where nothing was counted
	LR       float64          // of the update
	Clip     float64          // the factor by which clipping scaled the gradient
	Steps    int              // of the run: more than one where machines made several by themselves
	Exchange *report.Exchange // the traffic between the machines; nil on one
}

// ErrCaughtUp says that a step was not made because the weights of a later one were
// fetched from another machine.
var ErrCaughtUp = errors.New("caught up")

// Trainer makes a run's steps on this machine.
type Trainer struct {
	*Replica
	Exchange Exchange

	groups bucket.Report // of the last step
}

// Step trains on the next batch. A step that other machines have planned anew is done
// again.
func (t *Trainer) Step(ctx context.Context) (report.Step, error) {
	for {
		r, err := t.try(ctx)
		if err == nil {
			return r, nil
		}
		if err = t.Exchange.Retry(ctx, err); err != nil {
			return r, err
		}
	}
}

// try is the path of one batch, top to bottom.
func (t *Trainer) try(ctx context.Context) (report.Step, error) {
	start := time.Now()
	part, err := t.Exchange.Begin(ctx, t.Done) // rows of token ids, labels and a language; this machine's of them
	if err != nil {
		return report.Step{}, err
	}
	for micro, err := range part.Micros {
		if err != nil {
			return report.Step{}, err
		}
		if err := t.Input.Upload(micro.Tokens); err != nil {
			return report.Step{}, fault.Data(err)
		}
		t.Model.Forward(t.Input)
		t.Model.Backward(t.Input, micro.Sink, micro.Losses) // groups are resolved as they become ready
	}
	out, err := t.Exchange.Finish(ctx) // the rest is resolved, and the weights are updated
	if err != nil {
		return report.Step{}, err
	}
	if err := t.Engine.Dev.Sync(); err != nil { // so that the record's seconds are the step's own
		return report.Step{}, fault.Classify(err)
	}
	t.Done, t.Clip, t.groups = t.Done+out.Steps, out.Clip, out.Groups
	t.count(part.Batch)
	return t.record(part.Batch, out, time.Since(start)), nil
}

// Update applies the resolved gradients of step n that are not applied yet, of so many supervised tokens by
// language, and returns the factor by which clipping scaled them. A gradient that is
// not finite changes nothing and is fault.ErrDiverged.
func (r *Replica) Update(groups bucket.Report, n int, supervised []int) (clip float64, err error) {
	if err := r.Diverged(groups, supervised); err != nil {
		return 0, err
	}
	clip, err = r.updater.finish(groups, n)
	return clip, divergence(err)
}

// BeginUpdate opens the update that Update ends: gradients may be applied from the
// backward pass on.
func (r *Replica) BeginUpdate(n int, supervised []int) { r.updater.begin(n, supervised) }

// Undo takes back the updates that a failed step has applied.
func (r *Replica) Undo() error { return fault.Classify(r.updater.undo()) }
