package bucket

import (
	"errors"
	"fmt"

	"concord/bucket/exchange"
	"concord/gpu"
	"concord/tensor"
)

// ErrNotFinite says that a group has no gradient that can be applied: training diverges, or the
// device computes wrongly.
var ErrNotFinite = errors.New("bucket: the gradient is not finite")

// owners is a step on many machines in which a slice's owner resolves it: rows leave
// for their owners as soon as the backward pass has written them, and their memory is
// free again; of this machine's own slices the rows of all machines arrive.
type owners struct {
	r      *Resolver
	x      exchange.Exchange
	losses func() ([]float64, error) // sums by row, of this machine's part
	job    *exchange.Event           // a slice of this machine whose Gram is on its way
	kept   map[int]exchange.Event    // slices of this machine that wait for their group's solution, with their rows
	final  bool
	// Of changes instead of gradients: before a group's resolution and after it.
	before func(e exchange.Event)
	after  func(gradient []float32)
}

// BeginExchange starts a step like Begin, whose gradients are those of all
// machines of x, which own slices: of Layout.Slices or Layout.WholeGroups, the same on all.
// losses gives the sums of the losses by gradient row over this
// machine's part of the batch; it is called from other goroutines, once the
// first group is complete. Ghost and static weights must be off.
func (r *Resolver) BeginExchange(micro int, x exchange.Exchange, slices []Slice, losses func() ([]float64, error)) error {
	if err := r.shareable(); err != nil {
		return err
	}
	r.share(slices)
	r.begin(micro, &owners{r: r, x: x, losses: losses, kept: map[int]exchange.Event{}})
	return nil
}

// shareable refuses options that a step on many machines cannot have.
func (r *Resolver) shareable() error {
	if _, ok := r.opt.Solver.(SharedSolver); !ok || r.opt.Ghost != nil || r.opt.Static {
		return errors.New("bucket: a step on many machines needs rows of every parameter and a solver that can be shared")
	}
	return nil
}

// Interrupted waits for the transfers that a failed step has started, so that its buffers
// may be released.
func (r *Resolver) Interrupted() { r.pushes.Wait() }

func (f *owners) left() { f.drain(false) }

func (f *owners) makeRoom() {} // rows are read in the device's order: their memory is free once they are asked for

func (f *owners) follows() bool { return len(f.x.Rows()) == 0 }

func (f *owners) finish() { f.drain(true) }

// ready sends group i's rows of this machine on their way.
func (f *owners) ready(i int) {
	r := f.r
	rows := f.x.Rows()
	var reads []rowRead
	base := 0
	for _, b := range r.store.Layout.Groups[i].Buckets {
		bk := r.store.Layout.Buckets[b]
		for _, p := range bk.Params {
			reads = append(reads, r.read(p, base+p.Offset, rows)...)
		}
		base += bk.Size
	}
	size, losses, x, s := base, f.losses, f.x, r.shared
	r.pushes.Go(func() {
		out, all, err := withLosses(reads, len(rows), size, losses)
		if err != nil {
			x.Abort(err)
			return
		}
		own := make([]float64, len(rows))
		for k, m := range rows {
			own[k] = all[m]
		}
		for k, part := range s.cut(i, out) {
			x.Push(k, part, own)
		}
	})
	if !r.applies() {
		f.drain(false)
	}
}

// drain takes the events of the other machines; with wait until the
// step is committed. While the backward pass runs, a group's Gram is started in
// one call and its result awaited in the next, so that the device has both.
func (f *owners) drain(wait bool) {
	r := f.r
	for r.err == nil && !f.final {
		e, err := f.x.Next(wait && f.job == nil)
		switch {
		case err != nil:
			r.fail(err)
		case e.Kind == exchange.Sum:
			f.finishJob()
			if err := f.startJob(e); err != nil {
				r.fail(err)
			}
		case e.Kind == exchange.Solve:
			f.finishJob()
			f.check(e, f.solve(e))
		case e.Kind == exchange.Combine:
			f.finishJob()
			f.check(e, f.combine(e))
		case e.Kind == exchange.Gradient:
			f.finishJobOf(e.Slice)
			r.takeResolved(e)
		case e.Kind == exchange.Final:
			f.final = true
		case f.job != nil:
			f.finishJob()
			if !wait {
				return
			}
		default:
			return
		}
	}
}

// startJob puts a slice's rows on the device and starts its Gram, unless its group's
// weights are static.
func (f *owners) startJob(e exchange.Event) error {
	r, slice := f.r, f.r.shared.slices[e.Slice]
	i := slice.Group
	if r.applies() { // a metric looks at the moments before the step
		if err := r.opt.Update.Again(i); err != nil {
			return err
		}
	}
	r.store.Engine.Dev.Span("gram")
	defer r.store.Engine.Dev.Span("backward")
	s := r.opt.Solver.(SharedSolver)
	s.Counted(i, e.Tokens, e.Losses)
	u := &r.groups[i]
	if u.static = rounded(s.StaticWeights(i)); u.static != nil && r.shared.sliced(i) {
		return f.startStatic(e)
	}
	f.upload(e)
	if f.before != nil {
		f.before(e)
	}
	if u.static == nil {
		u.gram = f.startGram(slice)
	}
	f.job = &e
	return nil
}

// upload writes a slice's summed rows to the arena.
func (f *owners) upload(e exchange.Event) {
	dev, k := f.r.store.Engine.Dev, 0
	for x := range f.r.store.Layout.partsOf(f.r.shared.slices[e.Slice]) {
		n := x.hi - x.lo
		buf := f.r.arenaOf(k, n)
		for m, row := range e.Rows {
			v := gpu.View{Buf: buf, Offset: tensor.F32.Bytes(int64(m * n)), Size: tensor.F32.Bytes(int64(n))}
			if row == nil {
				dev.Zero(v)
			} else {
				dev.Write(v, bytesOf(row[x.at:x.at+n]))
			}
		}
		k++
	}
}

// arenaOf is the memory for the rows, of so many values, of the k-th parameter of the slice being
// resolved.
func (r *Resolver) arenaOf(k, n int) *gpu.Buffer {
	size := tensor.F32.Bytes(int64(r.rows()) * int64(n))
	for len(r.arena) <= k {
		r.arena = append(r.arena, nil)
	}
	if old := r.arena[k]; old == nil || old.Size() < size {
		if old != nil {
			old.Release()
		}
		r.arena[k] = r.store.Engine.Dev.NewBuffer(gpu.RoleRows, "rows to resolve", size)
	}
	return r.arena[k]
}

// rows implements flow: those of all machines lie in the arena.
func (f *owners) rows(p Place) tensor.TaskGrads {
	r, k := f.r, 0
	for q := range r.store.Layout.PlacesOf(r.groupOf(p)) {
		if q.Name == p.Name {
			return tensor.TaskGrads{Buf: r.arenaOf(k, p.Extent()), M: r.rows(), Stride: p.Extent(), R: p.R, C: p.C, LD: p.LD()}
		}
		k++
	}
	panic("bucket: " + p.Name + " is not in its group")
}

// finishJob resolves the group whose Gram was started and tells everyone, or tells the
// group's leader the Gram of a slice.
func (f *owners) finishJob() {
	e := f.job
	if e == nil || f.r.err != nil {
		return
	}
	f.job = nil
	if f.r.shared.sliced(f.r.shared.slices[e.Slice].Group) {
		f.check(*e, f.tellGram(*e))
		return
	}
	f.check(*e, f.finishGroup(*e))
}

// finishJobOf ends the job of a slice that another machine has resolved meanwhile: its result
// is of an earlier attempt, and must not replace the later gradient.
func (f *owners) finishJobOf(slice int) {
	if f.job != nil && f.job.Slice == slice {
		f.finishJob()
	}
}

// check ends the step with an error, which is of e's group.
func (f *owners) check(e exchange.Event, err error) {
	if err != nil {
		f.r.fail(fmt.Errorf("bucket: %q: %w", f.r.nameOf(e.Slice), err))
	}
}

// nameOf is the name of a slice's group.
func (r *Resolver) nameOf(slice int) string {
	return r.store.Layout.Groups[r.shared.slices[slice].Group].Name
}

func (f *owners) finishGroup(e exchange.Event) error {
	r, i := f.r, f.r.shared.slices[e.Slice].Group
	s := Solution{Weights: r.groups[i].static}
	if s.Weights != nil {
		r.reports[i] = r.staticReport(i)
	} else {
		var err error
		if s, err = r.solution(i, nil); err != nil {
			return err
		}
		if err := r.resolvable(i, e.Tokens); err != nil {
			return err
		}
	}
	gradient, err := r.gradientOf(i, s)
	if err != nil {
		return err
	}
	if f.after != nil {
		f.after(gradient)
	}
	return r.announce(f.x, e, gradient, func(norm2 float64) ([]byte, error) { return r.exportGroup(i, norm2) })
}

// announce tells everybody the gradient of a slice that was resolved here and takes it
// as everybody gets it; meta is the rest of the message, once the gradient's norm is known. A
// gradient that no other machine would take is an error here: they would be waited for in vain.
func (r *Resolver) announce(x exchange.Exchange, e exchange.Event, gradient []float32, meta func(norm2 float64) ([]byte, error)) error {
	for i, v := range gradient {
		if !finite(float64(v)) {
			return fmt.Errorf("%w: value %d of the resolved gradient is %v", ErrNotFinite, i, v)
		}
	}
	var failed error
	applied, err := x.Resolved(e, gradient, func(norm2 float64) []byte {
		r.shared.norm2[e.Slice] = norm2
		b, err := meta(norm2)
		failed = err
		return b
	})
	if err := errors.Join(err, failed); err != nil {
		return err
	}
	return r.takeSlice(e.Slice, e.Epoch, applied)
}

// resolvable is an error where all objectives of group i that have tokens, given by row, are not finite.
func (r *Resolver) resolvable(i int, tokens []int) error {
	per, of := r.rows()/r.opt.Objectives, make([]int, r.opt.Objectives)
	for row, n := range tokens {
		of[row/per] += n
	}
	s := sharedGroup{NonFinite: r.reports[i].NonFinite}
	if err := s.masked(r.opt.Objectives, of); err != nil {
		return fmt.Errorf("%w: %w", ErrNotFinite, err)
	}
	return nil
}

// takeResolved applies a slice's gradient from its owner.
func (r *Resolver) takeResolved(e exchange.Event) {
	if err := r.takeEvent(e); err != nil {
		r.fail(fmt.Errorf("bucket: %q as its owner sent it: %w", r.nameOf(e.Slice), err))
	}
}

func (r *Resolver) takeEvent(e exchange.Event) error {
	if err := r.importSlice(e.Slice, e.Meta); err != nil {
		return err
	}
	if err := r.takeSlice(e.Slice, e.Epoch, e.Gradient); err != nil {
		return err
	}
	return r.store.Engine.Dev.Err()
}
