package bucket

import (
	"errors"
	"fmt"

	"gonum.org/v1/gonum/mat"

	"concord/tensor"
)

// Solver finds the weights of bucket b's combined gradient Σ wₘ gₘ from the raw
// Gram matrix G of its objectives: rows may be zero or non-finite, and get
// weight 0. For the scope "global" it is called once, with bucket 0.
type Solver func(bucket int, g *mat.SymDense) (weights []float64, err error)

// MaxObjectives is the most objectives that a Gram kernel takes.
const MaxObjectives = 64

// Options say how buckets are resolved.
type Options struct {
	Objectives int // M, at most MaxObjectives
	// Solver is nil for a method whose weights do not depend on the gradients
	// (mean, static): the backward pass then writes the one combined gradient
	// in place, in one segment, and no rows exist.
	Solver Solver
	// InFlight is how many buckets' rows may exist at once, besides those of
	// buckets that stay open over the whole backward pass (tied embeddings):
	// one is written while the others are being resolved. 0 means 2, and 1 on a
	// CPU adapter, which has nothing to overlap.
	InFlight int
}

// Resolver takes a step's gradients bucket by bucket. Per step: Begin, then
// Rows and Done once for each site of each parameter and micro-batch, then
// Finish. Device memory for rows is allocated when first needed, M rows of the
// largest buckets in flight, and used again in the following steps.
type Resolver struct {
	store   *Store
	opt     Options
	gram    tensor.GramScratch
	sums    tensor.Tensor
	slots   []*slot
	buckets []progress
	pending []int // buckets whose Gram is on its way, oldest first
	micro   int
	err     error
	reports []BucketReport // by bucket
}

// progress is a bucket's state in the current step.
type progress struct {
	left   int // writes to come
	writes map[string]int
	slot   *slot
	gram   *tensor.PendingGram
	sites  int  // writes per micro-batch
	held   bool // a parameter has several sites: open over the whole backward pass
}

// NewResolver returns a resolver of the store's gradients. It fails on options
// out of range or when the device refuses memory.
func NewResolver(s *Store, o Options) (*Resolver, error) {
	if o.Objectives < 1 || o.Objectives > MaxObjectives {
		return nil, fmt.Errorf("bucket: %d objectives; 1 to %d are possible", o.Objectives, MaxObjectives)
	}
	if o.InFlight == 0 {
		o.InFlight = 2
		if s.Engine.CPU() {
			o.InFlight = 1
		}
	}
	r := &Resolver{store: s, opt: o}
	largest := 0
	for _, b := range s.Layout.Buckets {
		p := progress{}
		for _, q := range b.Params {
			p.sites += q.sites()
			p.held = p.held || q.sites() > 1
		}
		r.buckets = append(r.buckets, p)
		largest = max(largest, b.Size)
	}
	if r.direct() {
		r.sums = s.Engine.SumSquaresScratch(r.gradients()...)
	} else {
		r.gram = s.Engine.NewGramScratch(o.Objectives, largest)
	}
	if err := s.Engine.Dev.Err(); err != nil {
		return nil, fmt.Errorf("bucket: allocate scratch: %w", err)
	}
	return r, nil
}

// direct says that gradients are written in place, without rows.
func (r *Resolver) direct() bool { return r.opt.Solver == nil }

// Objectives is the number of rows that Rows hands out: the batch must be cut
// into as many segments. It is 1 when no rows are needed.
func (r *Resolver) Objectives() int {
	if r.direct() {
		return 1
	}
	return r.opt.Objectives
}

// Begin starts a step of micro ≥ 1 micro-batches. With more than one, the
// objectives' gradients are summed over them before they are resolved, as
// resolution is not linear: all buckets then keep their rows to the end, which
// takes M times the memory of the gradient.
func (r *Resolver) Begin(micro int) {
	if micro < 1 {
		panic(fmt.Sprintf("bucket: begin with %d micro-batches", micro))
	}
	r.micro, r.err, r.pending = micro, nil, r.pending[:0]
	r.reports = make([]BucketReport, len(r.buckets))
	for b := range r.buckets {
		p := &r.buckets[b]
		p.left, p.writes, p.slot, p.gram = p.sites*micro, map[string]int{}, nil, nil
	}
	for _, s := range r.slots {
		s.bucket = -1
	}
}

// Rows says where the objectives' gradients of the parameter called name go,
// and whether to add to what is there. It may wait for an earlier bucket whose
// memory it needs. Errors are sticky and surface in Finish.
func (r *Resolver) Rows(name string) (rows tensor.Rows, accumulate bool) {
	place := r.store.place(name)
	p := &r.buckets[place.Bucket]
	if p.writes[name] >= place.sites()*r.micro {
		panic(fmt.Sprintf("bucket: %s is written more than %d times in a step of %d micro-batches", name, place.sites()*r.micro, r.micro))
	}
	accumulate = p.writes[name] > 0
	rows = tensor.Rows{Offset: int64(place.Offset) * 4, M: r.Objectives(),
		Stride: r.store.Layout.Buckets[place.Bucket].Size, R: place.R, C: place.C, LD: place.LD()}
	if r.direct() {
		rows.Buf = r.store.Flat(Gradient, place.Bucket).Buf
		return rows, accumulate
	}
	if p.slot == nil {
		p.slot = r.acquire(place.Bucket)
	}
	rows.Buf = p.slot.rows.Buf
	return rows, accumulate
}

// Done says that one write of the parameter called name has been recorded. The
// last write of a bucket starts its Gram.
func (r *Resolver) Done(name string) {
	b := r.store.place(name).Bucket
	p := &r.buckets[b]
	p.writes[name]++
	if p.left--; p.left > 0 || r.direct() {
		return
	}
	r.store.Engine.Dev.Span("gram")
	p.gram = r.store.Engine.Gram(r.flatRows(b), r.gram)
	r.store.Engine.Dev.Span("backward")
	r.pending = append(r.pending, b)
}

// flatRows is the whole bucket b as rows of (1, Size).
func (r *Resolver) flatRows(b int) tensor.Rows {
	n := r.store.Layout.Buckets[b].Size
	return tensor.Rows{Buf: r.buckets[b].slot.rows.Buf, M: r.opt.Objectives, Stride: n, R: 1, C: n, LD: n}
}

// Finish resolves what is left and reports the step. The combined gradients are
// then in the store, or on their way there in program order. It fails when a
// parameter was not written, a solver failed or the device did.
func (r *Resolver) Finish() (Report, error) {
	for b, p := range r.buckets {
		if p.left > 0 {
			return Report{}, fmt.Errorf("bucket: finish: %q lacks %d of its %d gradient writes", r.store.Layout.Buckets[b].Name, p.left, p.sites*r.micro)
		}
	}
	var rep Report
	switch {
	case r.direct():
		r.measure()
		rep.Buckets = r.reports
	case r.store.Layout.Global:
		rep.Buckets = r.resolveGlobal()
	default:
		for len(r.pending) > 0 {
			r.resolveOldest()
		}
		rep.Buckets = r.reports
	}
	r.store.Engine.Dev.Span("host")
	if err := errors.Join(r.err, r.store.Engine.Dev.Err()); err != nil {
		return Report{}, err
	}
	rep.finish()
	return rep, nil
}

func (r *Resolver) gradients() []tensor.Tensor {
	var out []tensor.Tensor
	for b := range r.store.Layout.Buckets {
		out = append(out, r.store.Flat(Gradient, b))
	}
	return out
}

// measure fills the reports of gradients that were written in place.
func (r *Resolver) measure() {
	r.store.Engine.Dev.Span("optimizer")
	sums, err := r.store.Engine.SumSquares(r.sums, r.gradients()...).Wait()
	if err != nil {
		r.fail(err)
		return
	}
	for b, sum := range sums {
		r.reports[b] = BucketReport{Name: r.store.Layout.Buckets[b].Name, Size: r.store.Layout.Buckets[b].Size, Norm2: sum}
	}
}

func (r *Resolver) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

// Release frees the rows and scratch.
func (r *Resolver) Release() {
	for _, s := range r.slots {
		s.rows.Buf.Release()
	}
	r.slots = nil
	if r.direct() {
		r.sums.Buf.Release()
		return
	}
	r.gram.Release()
}
