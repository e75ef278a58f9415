package bucket

import (
	"fmt"

	"concord/gpu"
	"concord/internal/param"
	"concord/tensor"
)

// Updater applies a step's gradients as they are resolved, so that no whole gradient
// exists. It is called from the goroutine of the backward pass. The backward pass has
// recorded all that reads the weights of a group before the group is handed over.
type Updater interface {
	// Group comes before the gradients of group i, which rep tells of. norm2 is the
	// squared norm of the group's gradient, waited for where no Gram tells it
	// (rep.Normed). An error ends the step: nothing is applied any more.
	Group(i int, rep BucketReport, norm2 func() (float64, error)) error
	// Apply records the update of the parameter p by its gradient, which gradient gives
	// in pieces: (1, n) from element at on, padding included, at and n multiples of 64 and
	// of p.Align. It may ask for the pieces several times. A piece's memory is used
	// for the next one.
	Apply(p Place, gradient Pieces)
	// Again comes, on many machines, before another gradient of group i, whose owner was
	// replaced: its update of this step is taken back, if there was one.
	Again(i int) error
}

// Pieces gives a parameter's gradient piece by piece, in ascending order.
type Pieces func(f func(at int, piece tensor.Tensor))

// appliedPiece is how many elements of a combined gradient exist at a time, where the
// operation that makes it can be cut.
const appliedPiece = 1 << 20

// applied is where gradients lie that an Updater takes: those that the backward pass
// writes in place by a plan, as rows do, and the combined ones of one parameter, or a
// piece of it, at a time.
type applied struct {
	plan    memoryPlan
	slots   []*gpu.Buffer
	scratch tensor.Tensor
	waiting []int          // complete groups written in place whose weights may still be read
	segment string         // of the parameter written last
	norms   []pendingNorm2 // of the gradients that were applied
}

// pendingNorm2 is a part of a group's squared norm that is on its way.
type pendingNorm2 struct {
	group int
	sums  *tensor.PendingSums
}

// applies says that gradients go to an Updater.
func (r *Resolver) applies() bool { return r.opt.Update != nil }

// segmentOf names the part of the backward pass that p's gradient comes from: it has
// recorded all that reads a part's weights before it asks for a gradient of another.
func segmentOf(p Param) string {
	switch {
	case p.Layer != param.NoLayer:
		return layerName(p.Layer)
	case p.Kind.Vector(): // weight and bias of the final norm
		return "final norm"
	}
	return p.Name
}

func (a *applied) allocate(r *Resolver) {
	if !r.applies() {
		return
	}
	e := r.store.Engine
	if r.inPlaceOnly() || r.opt.Static {
		a.plan = a.planFor(r)
		for _, size := range a.plan.own {
			a.slots = append(a.slots, e.Dev.NewBuffer(gpu.RoleGradients, "gradients being applied", size))
		}
		return
	}
	most := 0
	for _, b := range r.store.Layout.Buckets {
		for _, p := range b.Params {
			n := p.Extent()
			if !r.opt.Whole && !r.isGhost(p.Param) && n > appliedPiece {
				n = min(n, pieceSize(p)+max(p.Align, align))
			}
			most = max(most, n)
		}
	}
	a.scratch = e.New(gpu.RoleGradients, "gradient being applied", 1, most)
}

// planFor places the gradients that are written in place: they live as rows would.
func (a *applied) planFor(r *Resolver) memoryPlan {
	var needs []need
	for _, name := range r.store.Layout.order {
		p := r.store.place(name)
		n := need{name: name, group: r.groupOf(p), bytes: tensor.F32.Bytes(int64(p.Extent())), uses: p.uses(), segment: segmentOf(p.Param)}
		if r.isLate(p.Param, 1) { // in some steps it is not, and then the first to be written
			n.uses = 2
		}
		needs = append(needs, n)
	}
	inFlight := r.opt.InFlight
	if r.inPlaceOnly() {
		inFlight = 1
	}
	return planMemory(needs, nil, inFlight, r.store.Layout.Global, r.store.Engine.Dev.Info().Limits.MaxBufferSize)
}

func (a *applied) release() {
	for _, b := range a.slots {
		b.Release()
	}
	if a.scratch.Buf != nil {
		a.scratch.Buf.Release()
	}
}

// gradient is p's one gradient, (1, Extent).
func (a *applied) gradient(p Place) tensor.Tensor {
	n := p.Extent()
	if a.slots == nil {
		return tensor.Tensor{Buf: a.scratch.Buf, R: 1, C: n, LD: n}
	}
	s := a.plan.spots[p.Name]
	return tensor.Tensor{Buf: a.slots[s.region], Offset: s.offset, R: 1, C: n, LD: n}
}

// clear makes the padding of p's gradient zero, which operations leave alone.
func (a *applied) clear(r *Resolver, p Place) {
	if (p.C != p.LD() || p.R*p.LD() != p.Extent()) && r.store.Engine.Dev.Err() == nil {
		r.store.Engine.Dev.Zero(a.gradient(p).View())
	}
}

// enter hands over the groups that wait for the backward pass to leave their part.
func (a *applied) enter(r *Resolver, segment string) {
	if a.segment == segment {
		return
	}
	a.segment = segment
	for _, i := range a.waiting {
		r.apply(i, nil)
	}
	a.waiting = a.waiting[:0]
	if r.applies() {
		r.flow.left()
	}
}

// static resolves a complete group that was written in place, of a step without a
// solver or of static weights.
func (r *Resolver) static(i int) {
	r.reports[i] = r.staticReport(i)
	if r.applies() {
		r.applied.waiting = append(r.applied.waiting, i)
	}
}

// apply hands over group i, whose gradients are written in place, or are combined as s
// says.
func (r *Resolver) apply(i int, s *Solution) {
	if r.settleNorms(); r.err != nil {
		return
	}
	err := r.opt.Update.Group(i, r.reports[i], func() (float64, error) { return r.norm2Of(i, s) })
	if err != nil {
		r.fail(fmt.Errorf("bucket: %q: %w", r.store.Layout.Groups[i].Name, err))
		return
	}
	r.store.Engine.Dev.Span("optimizer")
	inPlace := s == nil
	if inPlace && !r.reports[i].normed {
		r.applied.norms = append(r.applied.norms, pendingNorm2{i, r.startNorm2(i)})
	}
	r.eachGradient(i, s, func(p Place, gradient Pieces) {
		if !inPlace && !r.reports[i].normed {
			gradient(func(_ int, g tensor.Tensor) {
				r.applied.norms = append(r.applied.norms, pendingNorm2{i, r.store.Engine.SumSquares(r.sums, g)})
			})
		}
		r.opt.Update.Apply(p, gradient)
	})
	r.store.Engine.Dev.Span("backward")
}

// eachGradient calls f with the gradients of group i, one after the other in the same
// memory where they are combined.
func (r *Resolver) eachGradient(i int, s *Solution, f func(p Place, gradient Pieces)) {
	for _, b := range r.store.Layout.Groups[i].Buckets {
		for _, p := range r.store.Layout.Buckets[b].Params {
			whole := func(f func(int, tensor.Tensor)) { f(0, r.applied.gradient(p)) }
			switch {
			case s == nil:
				f(p, whole)
			case r.whole(p) || s.Elements != nil || r.applied.slots != nil:
				r.applied.clear(r, p)
				r.combine(p, *s)
				f(p, whole)
			default:
				f(p, func(f func(int, tensor.Tensor)) { r.combinePieces(p, *s, f) })
			}
		}
	}
}

// whole says that a combined gradient of p is made in one piece.
func (r *Resolver) whole(p Place) bool {
	return r.opt.Whole || r.isGhost(p.Param) || p.Extent() <= appliedPiece && !r.isLate(p.Param, r.micro)
}

// pieceSize is the elements of a piece of p's gradient: whole rows, as tensor.Factored
// wants them.
func pieceSize(p Place) int {
	step := tensor.FactoredRows * p.LD()
	return max(appliedPiece/step, 1) * step
}

// readCombined combines group i's gradient and starts reading it, of so many values.
func (r *Resolver) readCombined(i int, s Solution) (reads []rowRead, size int) {
	u := r.store.Layout.Groups[i]
	if !r.applies() {
		r.combineGroup(u, s)
		return r.readGradient(u)
	}
	r.store.Engine.Dev.Span("combine")
	starts := map[string]int{}
	for p, at := range r.store.Layout.PlacesOf(i) {
		starts[p.Name] = at
	}
	r.eachGradient(i, &s, func(p Place, pieces Pieces) {
		pieces(func(at int, g tensor.Tensor) { reads = append(reads, r.readParts(g.View(), starts[p.Name]+at)...) })
	})
	r.store.Engine.Dev.Span("backward")
	return reads, u.Size
}

// applyWhole applies x, on the host, group i's gradient.
func (r *Resolver) applyWhole(i int, x []float32) error {
	if err := r.opt.Update.Again(i); err != nil {
		return err
	}
	norm2 := r.reports[i].Norm2 // its owner has told it
	if err := r.opt.Update.Group(i, r.reports[i], func() (float64, error) { return norm2, nil }); err != nil {
		return err
	}
	dev := r.store.Engine.Dev
	dev.Span("optimizer")
	for p, at := range r.store.Layout.PlacesOf(i) {
		r.opt.Update.Apply(p, func(f func(int, tensor.Tensor)) { r.upload(p, x[at:at+p.Extent()], f) })
	}
	dev.Span("backward")
	return nil
}

// upload calls f with x, p's gradient on the host, in the pieces in which it is combined.
func (r *Resolver) upload(p Place, x []float32, f func(at int, g tensor.Tensor)) {
	size, to := len(x), p.R*p.LD()
	if !r.whole(p) {
		size = pieceSize(p)
	}
	for at := 0; at < to; at += size {
		n := min(size, to-at)
		if at+n == to {
			n = len(x) - at // with the padding
		}
		g := tensor.Tensor{Buf: r.applied.scratch.Buf, R: 1, C: n, LD: n}
		r.store.Engine.Dev.Write(g.View(), bytesOf(x[at:at+n]))
		f(at, g)
	}
}

// combinePieces makes p's gradient from its rows piece by piece.
func (r *Resolver) combinePieces(p Place, s Solution, f func(at int, g tensor.Tensor)) {
	if r.isTokens(p.Param, r.micro) {
		r.tokenPieces(p, s, f)
		return
	}
	w, size := r.rowWeights(s.Weights), pieceSize(p)
	for _, x := range r.rowParts(p) {
		from := x.lo * p.LD()
		to := from + x.R*p.LD()
		end := to
		if x.lo+x.R == p.R {
			end = p.Extent()
		}
		for at := from; at < to; at += size {
			rows, n := flatten(x.TaskGrads), min(size, end-at)
			rows.Offset += tensor.F32.Bytes(int64(at - from))
			if rows.C = min(size, to-at); at+rows.C == to {
				n = end - at // with the padding
			}
			f(at, r.combinePiece(rows, w, n))
		}
	}
}

// combinePiece makes n elements of a gradient: rows.C come from rows and the
// rest is padding.
func (r *Resolver) combinePiece(rows tensor.TaskGrads, w []float32, n int) tensor.Tensor {
	g := tensor.Tensor{Buf: r.applied.scratch.Buf, R: 1, C: n, LD: n}
	if rows.C < n {
		r.store.Engine.Dev.Zero(g.View())
	}
	rows.LD = rows.C
	r.store.Engine.Combine(tensor.Tensor{Buf: g.Buf, R: 1, C: rows.C, LD: rows.C}, rows, w, false)
	return g
}

// norm2Of waits for the squared norm of group i's gradient, which its report then has.
func (r *Resolver) norm2Of(i int, s *Solution) (float64, error) {
	rep := &r.reports[i]
	if rep.normed {
		return rep.Norm2, nil
	}
	var pending []*tensor.PendingSums
	if s == nil {
		pending = append(pending, r.startNorm2(i))
	} else {
		r.eachGradient(i, s, func(_ Place, gradient Pieces) {
			gradient(func(_ int, g tensor.Tensor) { pending = append(pending, r.store.Engine.SumSquares(r.sums, g)) })
		})
	}
	sum := 0.0
	for _, p := range pending {
		x, err := p.Wait()
		if err != nil {
			return 0, err
		}
		sum += total(x)
	}
	rep.Norm2, rep.normed = sum, true
	return sum, nil
}

// startNorm2 starts the squared norms of group i's gradients, which are in place.
func (r *Resolver) startNorm2(i int) *tensor.PendingSums {
	var all []tensor.Tensor
	r.eachGradient(i, nil, func(_ Place, gradient Pieces) { gradient(func(_ int, g tensor.Tensor) { all = append(all, g) }) })
	return r.store.Engine.SumSquares(r.sums, all...)
}

// settleNorms waits for the norms of the gradients that were applied.
func (r *Resolver) settleNorms() {
	for _, n := range r.applied.norms {
		x, err := n.sums.Wait()
		if err != nil {
			r.fail(err)
			break
		}
		r.reports[n.group].Norm2 += total(x)
	}
	r.applied.norms = r.applied.norms[:0]
}

func total(x []float64) (sum float64) {
	for _, v := range x {
		sum += v
	}
	return sum
}

// finish hands over the pieces that are left and waits for the norms.
func (a *applied) finish(r *Resolver) {
	a.enter(r, "")
	r.settleNorms()
}

// sumsScratch is for the norms of the gradients that are measured at a time: all, or
// where they are applied one group's at most.
func (r *Resolver) sumsScratch() tensor.Tensor {
	e := r.store.Engine
	if !r.applies() {
		return e.SumSquaresScratch(r.gradients()...)
	}
	most := 0
	for _, u := range r.store.Layout.Groups {
		var all []tensor.Tensor
		for _, b := range u.Buckets {
			for _, p := range r.store.Layout.Buckets[b].Params {
				all = append(all, tensor.Tensor{R: 1, C: p.Extent(), LD: p.Extent()})
			}
		}
		most = max(most, e.SumSquaresSlots(all...))
	}
	return e.NewSumSquaresScratch(most)
}
