package bucket

import (
	"errors"
	"fmt"

	"concord/bucket/exchange"
	"concord/gpu"
	"concord/tensor"
)

// owners is a step on many machines in which a group's owner resolves it: rows leave
// for their owners as soon as the backward pass has written them, and their memory is
// free again; of this machine's own groups the rows of all machines arrive.
type owners struct {
	r      *Resolver
	x      exchange.Exchange
	losses func() ([]float64, error) // sums by row, of this machine's part
	job    *exchange.Event           // a group of this machine whose Gram is on its way
	final  bool
	// Of changes instead of gradients: before a group's resolution and after it.
	before func(e exchange.Event)
	after  func(gradient []float32)
}

// BeginExchange starts a step like Begin, whose gradients are those of all
// machines of x. losses gives the sums of the losses by gradient row over this
// machine's part of the batch; it is called from other goroutines, once the
// first group is complete. Ghost and static weights must be off.
func (r *Resolver) BeginExchange(micro int, x exchange.Exchange, losses func() ([]float64, error)) error {
	if err := r.shareable(); err != nil {
		return err
	}
	r.begin(micro, &owners{r: r, x: x, losses: losses})
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
	size, losses, x := base, f.losses, f.x
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
		x.Push(i, out, own)
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
		case e.Kind == exchange.Gradient:
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

// startJob puts a group's rows on the device and starts its Gram, unless its
// weights are static.
func (f *owners) startJob(e exchange.Event) error {
	r := f.r
	if r.applies() { // a metric looks at the moments before the step
		if err := r.opt.Update.Again(e.Group); err != nil {
			return err
		}
	}
	r.store.Engine.Dev.Span("gram")
	defer r.store.Engine.Dev.Span("backward")
	f.upload(e)
	if f.before != nil {
		f.before(e)
	}
	s := r.opt.Solver.(SharedSolver)
	s.Counted(e.Group, e.Tokens, e.Losses)
	u := &r.groups[e.Group]
	if u.static = rounded(s.StaticWeights(e.Group)); u.static == nil {
		u.gram = r.startGram(e.Group)
	}
	f.job = &e
	return nil
}

// upload writes a group's summed rows to the arena.
func (f *owners) upload(e exchange.Event) {
	r := f.r
	base, k, dev := 0, 0, r.store.Engine.Dev
	for _, b := range r.store.Layout.Groups[e.Group].Buckets {
		bk := r.store.Layout.Buckets[b]
		for _, p := range bk.Params {
			rows := r.arenaRows(p, k)
			for m, x := range e.Rows {
				v := gpu.View{Buf: rows.Buf, Offset: tensor.F32.Bytes(int64(m * rows.Stride)), Size: tensor.F32.Bytes(int64(rows.Stride))}
				if x == nil {
					dev.Zero(v)
				} else {
					dev.Write(v, bytesOf(x[base+p.Offset:base+p.Offset+p.Extent()]))
				}
			}
			k++
		}
		base += bk.Size
	}
}

// arenaRows is where the k-th parameter of the group being resolved has its rows.
func (r *Resolver) arenaRows(p Place, k int) tensor.TaskGrads {
	size := tensor.F32.Bytes(int64(r.rows()) * int64(p.Extent()))
	for len(r.arena) <= k {
		r.arena = append(r.arena, nil)
	}
	if old := r.arena[k]; old == nil || old.Size() < size {
		if old != nil {
			old.Release()
		}
		r.arena[k] = r.store.Engine.Dev.NewBuffer(gpu.RoleRows, "rows to resolve", size)
	}
	return tensor.TaskGrads{Buf: r.arena[k], M: r.rows(), Stride: p.Extent(), R: p.R, C: p.C, LD: p.LD()}
}

// rows implements flow: those of all machines lie in the arena.
func (f *owners) rows(p Place) tensor.TaskGrads {
	r, k := f.r, 0
	for _, b := range r.store.Layout.Groups[r.groupOf(p)].Buckets {
		for _, q := range r.store.Layout.Buckets[b].Params {
			if q.Name == p.Name {
				return r.arenaRows(p, k)
			}
			k++
		}
	}
	panic("bucket: " + p.Name + " is not in its group")
}

// finishJob resolves the group whose Gram was started and tells everyone.
func (f *owners) finishJob() {
	e := f.job
	if e == nil || f.r.err != nil {
		return
	}
	f.job = nil
	if err := f.finishGroup(e.Group); err != nil {
		f.r.fail(fmt.Errorf("bucket: %q: %w", f.r.store.Layout.Groups[e.Group].Name, err))
	}
}

func (f *owners) finishGroup(i int) error {
	r := f.r
	s := Solution{Weights: r.groups[i].static}
	if s.Weights != nil {
		r.reports[i] = r.staticReport(i)
	} else {
		var err error
		if s, err = r.solution(i, nil); err != nil {
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
	return r.announce(f.x, i, gradient, func() ([]byte, error) { return r.exportGroup(i) })
}

// announce tells everybody the gradient of a group that was resolved here and takes it
// as everybody gets it; meta is the rest of the message, once the gradient's norm is known.
func (r *Resolver) announce(x exchange.Exchange, i int, gradient []float32, meta func() ([]byte, error)) error {
	var failed error
	applied, err := x.Resolved(i, gradient, func(norm2 float64) []byte {
		r.reports[i].Norm2, r.reports[i].normed = norm2, true
		b, err := meta()
		failed = err
		return b
	})
	if err := errors.Join(err, failed); err != nil {
		return err
	}
	return r.take(i, applied)
}

// takeResolved applies a group's gradient from its owner.
func (r *Resolver) takeResolved(e exchange.Event) {
	if err := r.takeEvent(e); err != nil {
		r.fail(fmt.Errorf("bucket: %q as its owner sent it: %w", r.store.Layout.Groups[e.Group].Name, err))
	}
}

func (r *Resolver) takeEvent(e exchange.Event) error {
	if err := r.importGroup(e.Group, e.Meta); err != nil {
		return err
	}
	if e.Gradient != nil {
		if err := r.take(e.Group, e.Gradient); err != nil {
			return err
		}
	}
	return r.store.Engine.Dev.Err()
}
