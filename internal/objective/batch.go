package objective

import (
	"slices"

	"concord/internal/report"
)

// batchLosses are losses by language of one batch, for methods that look at the same batch
// before and after its update (FAMO). They cost two forward passes a step.
type batchLosses struct {
	now           []float64 // of the step's batch, before its update
	before, after []float64 // of the last step's batch; nil before there was one
}

// SameBatch says that a method needs the losses of the step's own batch: MeasuredBefore
// must be called before Scales, and MeasuredAfter once the weights are updated.
func (o *Objective) SameBatch() bool {
	return slices.ContainsFunc(o.rules, func(r rule) bool { return r.same })
}

// MeasuredBefore takes the losses by language of the step's batch before its update, NaN
// where it has none.
func (o *Objective) MeasuredBefore(losses []float64) { o.batch.now = losses }

// MeasuredAfter takes those of the same batch after its update.
func (o *Objective) MeasuredAfter(losses []float64) {
	o.batch.before, o.batch.after, o.batch.now = o.batch.now, losses, nil
}

// Applied are the weights by language that the step's loss had; nil where gradients are
// resolved instead, and for the plain mean.
func (o *Objective) Applied() []float64 { return o.applied }

func reported(x []float64) (out []report.Float) {
	for _, v := range x {
		out = append(out, report.Float(v))
	}
	return out
}

func numbers(x []report.Float) (out []float64) {
	for _, v := range x {
		out = append(out, float64(v))
	}
	return out
}
