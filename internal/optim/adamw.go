// Package optim updates the weights of a bucket.Store from its combined
// gradients: AdamW with decoupled weight decay, clipping by the global norm,
// and learning rate schedules. Weights and moments may be of fewer bits. The moments live in the store; the memory that the package
// itself holds is the number of updates, which a checkpoint must keep.
package optim

import (
	"fmt"
	"math"

	"concord/bucket"
	"concord/gpu"
	"concord/tensor"
)

// Config are the settings of AdamW.
type Config struct {
	Beta1, Beta2 float64 // in [0, 1)
	Eps          float64 // > 0
	WeightDecay  float64 // ≥ 0; applied to matrices, not to vectors (norms, biases)
	Clip         float64 // largest norm of the gradient; 0 means no clipping
	Seed         uint64  // of the rounding of states that are not float32
	// Factored keeps the second moment by row and column and no first one (Adafactor):
	// Beta1 is not used. The store has bucket.Factors in place of both moments.
	Factored bool
}

// NonFiniteError says that a step's gradient is NaN or infinite. The weights
// and moments have not been touched.
type NonFiniteError struct {
	Step   int64   // the update that was not made, from 1
	Norm   float64 // NaN or +Inf
	Bucket string  // the first bucket concerned
}

func (e *NonFiniteError) Error() string {
	return fmt.Sprintf("optim: update %d: the gradient norm is %v, first in bucket %q: lower the learning rate or look for bad data",
		e.Step, e.Norm, e.Bucket)
}

// AdamW is the optimizer. Loshchilov & Hutter, ICLR 2019.
type AdamW struct {
	store  *bucket.Store
	config Config
	steps  int64
	runs   []run

	scratch tensor.FactoredScratch // of Factored
}

// run is a range of a bucket in which all or none of the weights decay.
type run struct {
	bucket, start, end int // elements
	decay              bool
	param              string // where it is one parameter's: of a store with packed states
}

// New returns an optimizer of the store's weights with no update made.
func New(s *bucket.Store, c Config) (*AdamW, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	o := &AdamW{store: s, config: c, runs: decayRuns(s.Layout, s.Packed() || c.Factored)}
	if c.Factored {
		o.newScratch()
	}
	return o, nil
}

// newScratch allocates for updates of the largest parameters.
func (o *AdamW) newScratch() {
	slices, rows := 0, 0
	for _, b := range o.store.Layout.Buckets {
		for _, p := range b.Params {
			slices, rows = max(slices, tensor.FactoredSlices(p.R, p.C)), max(rows, p.R)
		}
	}
	o.scratch = o.store.Engine.NewFactoredScratch(slices, rows)
}

// Release frees the memory of updates besides the store.
func (o *AdamW) Release() {
	if o.config.Factored {
		o.scratch.Release()
	}
}

func (c Config) check() error {
	switch {
	case !(c.Beta1 >= 0 && c.Beta1 < 1):
		return fmt.Errorf("optim: beta1 is %g, must be in [0, 1)", c.Beta1)
	case !(c.Beta2 >= 0 && c.Beta2 < 1):
		return fmt.Errorf("optim: beta2 is %g, must be in [0, 1)", c.Beta2)
	case !(c.Eps >= 1e-30 && c.Eps <= 1): // smaller ones are zero in float32 arithmetic that flushes denormals
		return fmt.Errorf("optim: eps is %g, must be in [1e-30, 1]", c.Eps)
	case !(c.WeightDecay >= 0) || math.IsInf(c.WeightDecay, 0):
		return fmt.Errorf("optim: weight_decay is %g, must be finite and ≥ 0", c.WeightDecay)
	case !(c.Clip >= 0):
		return fmt.Errorf("optim: clip is %g, must be ≥ 0; 0 means no clipping", c.Clip)
	}
	return nil
}

// decayRuns merges neighbours of equal decay: the layout puts matrices first, so a bucket
// takes at most two dispatches. packed parameters stay apart: the random bits of their
// rounding go by the parameter, so that the scope changes none.
func decayRuns(l bucket.Layout, packed bool) []run {
	var out []run
	for b, bk := range l.Buckets {
		for _, p := range bk.Params {
			decay := !p.Kind.Vector()
			if n := len(out) - 1; n >= 0 && out[n].bucket == b && out[n].decay == decay && !packed {
				out[n].end = p.Offset + p.Extent()
				continue
			}
			r := run{bucket: b, start: p.Offset, end: p.Offset + p.Extent(), decay: decay}
			if packed {
				r.param = p.Name
			}
			out = append(out, r)
		}
	}
	return out
}

// Steps is the number of updates made.
func (o *AdamW) Steps() int64 { return o.steps }

// SetSteps continues after n updates; the moments are loaded into the store.
func (o *AdamW) SetSteps(n int64) { o.steps = n }

// Step records one update with the learning rate lr from the gradients that r
// reports on, and returns the factor by which clipping scaled them. A gradient
// that is not finite is a *NonFiniteError and changes nothing.
func (o *AdamW) Step(r bucket.Report, lr float64) (scale float64, err error) {
	if scale, err = o.clip(r); err != nil {
		return 0, err
	}
	p := o.params(lr, scale)
	o.steps++
	o.store.Engine.Dev.Span("optimizer")
	for _, run := range o.runs {
		o.update(run, p, o.store.Buffer)
	}
	return scale, o.store.Engine.Dev.Err()
}

// memory is where the states that are updated lie, by bucket: the store's, or copies.
type memory func(s bucket.State, b int) *gpu.Buffer

// update records the update of one run.
func (o *AdamW) update(r run, p tensor.AdamWParams, in memory) {
	p.WeightDecay = 0
	if r.decay {
		p.WeightDecay = o.config.WeightDecay
	}
	if r.param != "" {
		o.apply(r.param, func(f func(int, tensor.Tensor)) { f(0, o.store.Whole(bucket.Gradient, r.param)) }, p, in)
		return
	}
	of := func(s bucket.State) tensor.Tensor {
		n := r.end - r.start
		return tensor.Tensor{Buf: in(s, r.bucket), Offset: tensor.F32.Bytes(int64(r.start)), R: 1, C: n, LD: n}
	}
	g := of(bucket.Weight)
	g.Buf = o.store.Buffer(bucket.Gradient, r.bucket)
	o.store.Engine.AdamW(of(bucket.Weight), of(bucket.First), of(bucket.Second), g, p)
}

// Apply records the update of the parameter p by its gradient, as Step does with the
// learning rate lr and a gradient scaled by scale. Pieces begin and end at multiples of 64,
// or of tensor.PackedBlock in a store of packed states; a factored update takes whole rows,
// and all pieces three times. Done ends the update.
func (o *AdamW) Apply(p bucket.Place, gradient bucket.Pieces, lr, scale float64) {
	s := o.params(lr, scale)
	if !p.Kind.Vector() {
		s.WeightDecay = o.config.WeightDecay
	}
	o.apply(p.Name, gradient, s, o.store.Buffer)
}

// Done counts an update whose parameters were given to Apply.
func (o *AdamW) Done() { o.steps++ }

func (o *AdamW) apply(param string, gradient bucket.Pieces, s tensor.AdamWParams, in memory) {
	place, _ := o.store.Layout.Place(param)
	if o.config.Factored {
		o.applyFactored(place, gradient, s, in)
		return
	}
	gradient(func(at int, piece tensor.Tensor) { o.applyPiece(place, at, piece, s, in) })
}

func (o *AdamW) applyPiece(p bucket.Place, at int, gradient tensor.Tensor, s tensor.AdamWParams, in memory) {
	of := func(state bucket.State) tensor.Tensor {
		t := o.store.In(in(state, p.Bucket), state, p.Name)
		t.Offset, t.C, t.LD = t.Offset+t.DType.Bytes(int64(at)), gradient.C, gradient.C
		return t
	}
	w, m, v := of(bucket.Weight), of(bucket.First), of(bucket.Second)
	if !o.store.Packed() {
		o.store.Engine.AdamW(w, m, v, gradient, s)
		return
	}
	o.store.Engine.AdamWPacked(w, m, v, gradient, roundingKey(o.config.Seed, s.Step, p.Name), at, s)
}

// applyFactored records Adafactor's update of one parameter.
func (o *AdamW) applyFactored(p bucket.Place, gradient bucket.Pieces, s tensor.AdamWParams, in memory) {
	w := o.store.In(in(bucket.Weight, p.Bucket), bucket.Weight, p.Name)
	w.R, w.C, w.LD = p.R, p.C, p.LD()
	pieces := func(f func(int, tensor.Tensor)) {
		gradient(func(at int, g tensor.Tensor) {
			lo := at / w.LD
			g.R, g.C, g.LD = min(g.C/w.LD, w.R-lo), w.C, w.LD // without the padding after the last row
			f(lo, g)
		})
	}
	rows, columns := o.store.Factors(in(bucket.Factors, p.Bucket), p.Name)
	o.store.Engine.Factored(w, rows, columns, pieces, roundingKey(o.config.Seed, s.Step, p.Name),
		tensor.FactoredParams{LR: s.LR, Beta2: s.Beta2, Eps: s.Eps, WeightDecay: s.WeightDecay, Step: s.Step, GradScale: s.GradScale}, o.scratch)
}

func firstBad(r bucket.Report) string {
	for _, b := range r.Buckets {
		if math.IsNaN(b.Norm2) || math.IsInf(b.Norm2, 0) {
			return b.Name
		}
	}
	return ""
}
