package bucket

import (
	"errors"
	"fmt"
	"sync"

	"concord/gpu"
	"concord/tensor"
)

// Resolver takes a step's gradients as the backward pass writes them. Per step:
// Begin, then Linear or Use once for each use of each parameter and
// micro-batch, in the order of the layout's parameters, then Finish.
type Resolver struct {
	store   *Store
	opt     Options
	memory  memory
	ghost   ghost
	scale   staticScale
	tokens  tokens
	applied applied
	gram    *tensor.GramScratch // nil where no rows are kept
	partial tensor.GramSums     // of the group that is being collected
	sums    tensor.Tensor
	groups  []group
	micro   int
	err     error
	reports []BucketReport // by group
	flow    flow           // of the current step
	arena   []*gpu.Buffer  // rows of all machines of the group being resolved, one buffer for each of its parameters
	pushes  sync.WaitGroup // transfers to other machines
	shared  shared         // of a step on many machines
}

// group is the state of a group in the current step.
type group struct {
	left   int // writes to come
	uses   int // writes per micro-batch
	held   bool
	static []float64 // its static weights, nil where it has none in this step
	gram   *tensor.GramSum
}

// NewResolver returns a resolver of the store's gradients. It fails on options
// out of range or when the device refuses memory.
func NewResolver(s *Store, o Options) (*Resolver, error) {
	if most := MaxObjectives / halves(o); o.Objectives < 1 || o.Objectives > most {
		return nil, fmt.Errorf("bucket: %d objectives; 1 to %d are possible", o.Objectives, most)
	}
	if o.InFlight == 0 {
		o.InFlight = 2
		if s.Engine.CPU() {
			o.InFlight = 1
		}
	}
	r := &Resolver{store: s, opt: o, groups: make([]group, len(s.Layout.Groups))}
	for _, b := range s.Layout.Buckets {
		u := &r.groups[b.Group]
		for _, p := range b.Params {
			u.uses += p.uses()
			u.held = u.held || p.Shared()
		}
	}
	r.sums = r.sumsScratch()
	r.applied.allocate(r)
	if !r.inPlaceOnly() {
		r.newScratch()
	}
	if err := s.Engine.Dev.Err(); err != nil {
		return nil, fmt.Errorf("bucket: allocate scratch: %w", err)
	}
	return r, nil
}

// newScratch allocates the memory of resolving besides the rows.
func (r *Resolver) newScratch() {
	e, largest, most := r.store.Engine, 0, int64(0)
	for _, u := range r.store.Layout.Groups {
		sums := int64(0)
		for _, b := range u.Buckets {
			for _, p := range r.store.Layout.Buckets[b].Params {
				if r.isGhost(p.Param) {
					sums += e.GhostSums(r.rows())
				} else if r.isTokens(p.Param, 1) && !r.inTurn(p.Param) {
					sums += e.VocabularySums(r.rows())
				} else {
					longest, of := r.gramSums(p)
					largest, sums = max(largest, longest), sums+of
				}
			}
		}
		most = max(most, sums)
	}
	r.partial = e.NewGramSums(most)
	if largest = min(largest, e.BindingElements()); largest > 0 { // longer ones are cut
		s := e.NewGramScratch(r.rows(), largest)
		if r.opt.Metric != nil {
			s = e.NewGramAdamScratch(r.rows(), largest)
		}
		r.gram = &s
	}
	r.ghost.allocate(r)
	r.scale.allocate(r)
	r.tokens.allocate(r)
}

// gramSums is the values of a row of p's Gram at a time, and the partial sums.
func (r *Resolver) gramSums(p Place) (longest int, sums int64) {
	e, whole := r.store.Engine, p.R*p.LD()
	if !r.isLate(p.Param, 1) {
		return whole, e.GramSumBytes(r.rows(), whole)
	}
	parts := r.memory.planFor(r, 1).spots[p.Name].parts
	if r.isTokens(p.Param, 1) {
		return parts[0].rows * p.LD(), e.VocabularyRowSums(r.rows(), p.R, parts[0].rows, p.LD())
	}
	for _, x := range parts {
		sums += e.GramSumBytes(r.rows(), x.rows*p.LD())
	}
	return whole, max(sums, e.GramSumBytes(r.rows(), whole))
}

// direct says that gradients are written in place, without rows.
func (r *Resolver) inPlaceOnly() bool { return r.opt.Solver == nil }

// halves is how many segments an objective has.
func halves(o Options) int {
	if o.Halves {
		return 2
	}
	return 1
}

// rows is the number of gradient rows: M, or 2M in halves.
func (r *Resolver) rows() int { return r.opt.Objectives * halves(r.opt) }

// Segments is how many segments the batch must be cut into: one per row, or one
// when no rows are needed.
func (r *Resolver) Segments() int {
	if r.inPlaceOnly() {
		return 1
	}
	return r.rows()
}

// Begin starts a step of micro ≥ 1 micro-batches. With more than one, the
// objectives' gradients are summed over them before they are resolved, as
// resolution is not linear: all groups then keep their rows to the end, which
// takes M times the memory of the gradient.
func (r *Resolver) Begin(micro int) { r.begin(micro, &alone{r: r}) }

// begin starts a step whose groups are resolved by f.
func (r *Resolver) begin(micro int, f flow) {
	if micro < 1 {
		panic(fmt.Sprintf("bucket: begin with %d micro-batches", micro))
	}
	if micro > 1 && r.applies() {
		panic("bucket: gradients that are applied as they come are of one micro-batch")
	}
	r.applied.segment, r.applied.waiting, r.applied.norms = "", r.applied.waiting[:0], r.applied.norms[:0]
	r.flow, r.micro, r.err = f, micro, nil
	r.reports = make([]BucketReport, len(r.groups))
	r.scale.begin()
	r.tokens.begin()
	for i := range r.groups {
		u := &r.groups[i]
		u.left, u.gram, u.static = u.uses*micro, nil, nil
		if r.opt.Static && !r.inPlaceOnly() {
			u.static = rounded(r.opt.Solver.StaticWeights(i))
		}
	}
	r.memory.begin(r)
}

// rounded is weights as they are applied, float32; nil stays nil.
func rounded(w []float64) []float64 {
	if w == nil {
		return nil
	}
	out := make([]float64, len(w))
	for i, x := range w {
		out[i] = float64(float32(x))
	}
	return out
}

// Linear records the gradient of the weight of a linear map y = x Wᵀ called
// name: dW_m = dy_mᵀ x_m over the tokens of segment m, for dy (N, R) and
// x (N, C), which may be overwritten afterwards. Errors are sticky and surface
// in Finish.
func (r *Resolver) Linear(name string, dy, x tensor.Tensor, seg tensor.Segments) {
	p := r.store.place(name)
	r.applied.enter(r, segmentOf(p.Param))
	u := &r.groups[r.groupOf(p)]
	if !r.inPlaceOnly() && u.static == nil && r.isGhost(p.Param) {
		r.keep(p, dy, x, seg)
		r.done(p)
		return
	}
	e, narrow := r.store.Engine, x
	if dy.C < x.C {
		narrow = dy
	}
	r.Use(name, narrow, seg, func(factor tensor.Tensor, to tensor.Target) {
		a, b := dy, factor
		if dy.C < x.C {
			a, b = factor, x
		}
		e.MatMulSegmented(to.Rows, a, b, to.Segments, to.Accumulate)
	})
}

// Use records any other gradient of the parameter called name. It calls write
// once with the target of the gradients and with factor (N, K), an operand in which
// the gradient is linear token by token, possibly scaled: write must use the scaled
// copy for the gradient. Errors are sticky and surface in
// Finish.
func (r *Resolver) Use(name string, factor tensor.Tensor, seg tensor.Segments, write func(factor tensor.Tensor, to tensor.Target)) {
	p := r.store.place(name)
	r.applied.enter(r, segmentOf(p.Param))
	u := &r.groups[r.groupOf(p)]
	to := tensor.Target{Segments: seg, Accumulate: r.memory.written(r, p)}
	switch {
	case r.inPlaceOnly():
		to.Rows = r.inPlace(p)
	case u.static != nil:
		to.Rows = r.inPlace(p)
		factor, to.Segments = r.scale.scale(r, r.groupOf(p), factor, seg)
	default:
		to.Rows = r.memory.rows(r, p)
	}
	write(factor, to)
	r.done(p)
}

// inPlace is the parameter's one gradient.
func (r *Resolver) inPlace(p Place) tensor.TaskGrads {
	out := tensor.TaskGrads{M: 1, Stride: p.Extent(), R: p.R, C: p.C, LD: p.LD()}
	if r.applies() {
		g := r.applied.gradient(p)
		out.Buf, out.Offset = g.Buf, g.Offset
		return out
	}
	out.Buf, out.Offset = r.store.Flat(Gradient, p.Bucket).Buf, tensor.F32.Bytes(int64(p.Offset))
	return out
}

// groupOf is the group that the parameter belongs to.
func (r *Resolver) groupOf(p Place) int { return r.store.Layout.Buckets[p.Bucket].Group }

// done counts one write of p. With the last write of its group the group is ready.
func (r *Resolver) done(p Place) {
	r.memory.writes[p.Name]++
	i := r.groupOf(p)
	u := &r.groups[i]
	if u.left--; u.left > 0 {
		return
	}
	if r.inPlaceOnly() {
		if r.applies() {
			r.static(i)
		}
		return
	}
	if u.static != nil && r.hasLate(i) { // planned to be complete at the end: it waits for no room
		r.static(i)
		return
	}
	r.flow.ready(i)
}

// startIfRows starts group i's Gram, unless its weights are static and it has no rows.
func (r *Resolver) startIfRows(i int) {
	if u := &r.groups[i]; u.static == nil {
		r.store.Engine.Dev.Span("gram")
		u.gram = r.startGram(i)
		r.store.Engine.Dev.Span("backward")
	}
}

// startGram starts the Gram of group i: the sum over its parameters.
func (r *Resolver) startGram(i int) *tensor.GramSum {
	g := r.store.Engine.NewGramSum(r.rows(), r.partial)
	for _, b := range r.store.Layout.Groups[i].Buckets {
		for _, p := range r.store.Layout.Buckets[b].Params {
			if r.isGhost(p.Param) {
				r.addGhost(g, p)
				continue
			}
			if r.isTokens(p.Param, r.micro) {
				r.addTokens(g, p)
				continue
			}
			for _, x := range r.rowParts(p) {
				rows := flatten(x.TaskGrads)
				if r.opt.Metric == nil {
					g.Add(rows, *r.gram)
					continue
				}
				v := tensor.Tensor{Buf: r.store.Flat(Second, p.Bucket).Buf, Offset: tensor.F32.Bytes(int64(p.Offset + x.lo*p.LD())),
					R: 1, C: rows.C, LD: rows.LD}
				g.AddAdam(rows, v, r.opt.Metric(), *r.gram)
			}
		}
	}
	g.Start()
	return g
}

// flatten is rows as vectors, padding within a matrix included.
func flatten(rows tensor.TaskGrads) tensor.TaskGrads {
	n := rows.R * rows.LD
	rows.R, rows.C, rows.LD = 1, n, n
	return rows
}

// Finish resolves the remaining groups and reports the step. The combined gradients are
// then in the store, or on their way there in program order. It fails when a
// parameter was not written, a solver failed or the device did.
func (r *Resolver) Finish() (Report, error) {
	follows := r.flow.follows()
	for i, u := range r.groups {
		if u.left > 0 && !follows {
			return Report{}, fmt.Errorf("bucket: finish: %q lacks %d of its %d gradient writes", r.store.Layout.Groups[i].Name, u.left,
				u.uses*r.micro)
		}
	}
	return r.finish()
}

// finish waits for groups under way.
func (r *Resolver) finish() (Report, error) {
	r.flow.finish()
	if r.applies() {
		r.applied.finish(r)
	}
	r.store.Engine.Dev.Span("host")
	if err := errors.Join(r.err, r.store.Engine.Dev.Err()); err != nil {
		return Report{}, err
	}
	rep := Report{Buckets: r.reports}
	rep.finish()
	return rep, nil
}

func (r *Resolver) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

// RowBytes is the memory that a step of micro micro-batches takes in addition to
// that allocated so far: the rows, which come with the first step.
func (r *Resolver) RowBytes(micro int) int64 { return r.memory.missing(r, micro) }

// Release frees the rows and scratch.
func (r *Resolver) Release() {
	r.memory.release()
	r.ghost.release()
	r.scale.release()
	r.tokens.release()
	r.applied.release()
	r.pushes.Wait()
	for _, b := range r.arena {
		if b != nil {
			b.Release()
		}
	}
	r.sums.Buf.Release()
	if !r.inPlaceOnly() {
		r.partial.Release()
	}
	if r.gram != nil {
		r.gram.Release()
	}
}
