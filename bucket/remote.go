package bucket

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"unsafe"

	"concord/bucket/exchange"
	"concord/gpu"
	"concord/tensor"
)

// remote is a step on many machines: rows leave for their owners as soon as the
// backward pass has written them, and their memory is free again.
type remote struct {
	x       exchange.Exchange
	losses  func() ([]float64, error) // sums by row, of this machine's part
	job     *exchange.Event           // a unit of this machine whose Gram is on its way
	arena   []*gpu.Buffer             // rows of the unit being resolved, one buffer for each of its parameters
	final   bool
	local   bool    // units are resolved here before they are sent
	share   float32 // local: what this machine's gradient counts for
	changes bool    // the rows are changes of the weights, see ResolveChanges
	length  float64 // changes: of the mean of the unit's rows
	wg      sync.WaitGroup
}

// BeginExchange starts a step like Begin, whose gradients are those of all
// machines of x. losses gives the sums of the losses by gradient row over this
// machine's part of the batch; it is called from other goroutines, once the
// first unit is complete. Ghost and MayFix must be off.
func (r *Resolver) BeginExchange(micro int, x exchange.Exchange, losses func() ([]float64, error)) error {
	if _, ok := r.opt.Solver.(SharedSolver); !ok || r.opt.Ghost != nil || r.opt.MayFix {
		return errors.New("bucket: a step on many machines needs rows of every parameter and a solver that can be shared")
	}
	r.remote.x, r.remote.losses, r.remote.job, r.remote.final, r.remote.local, r.remote.changes = x, losses, nil, false, false, false
	r.Begin(micro)
	return nil
}

// BeginLocal is BeginExchange for links that are too slow for a row of every
// language: each machine resolves the languages that it has rows of, by
// themselves, and the owner adds up the machines' gradients, this one's times
// share. That is an approximation: conflicts between languages of different
// machines are averaged, not resolved, and the methods' state stays on each
// machine.
func (r *Resolver) BeginLocal(micro int, x exchange.Exchange, losses func() ([]float64, error), share float64) error {
	if err := r.BeginExchange(micro, x, losses); err != nil {
		return err
	}
	r.remote.local, r.remote.share = true, float32(share)
	return nil
}

// pushLocal sends unit i's gradient, which was resolved here.
func (r *Resolver) pushLocal(i int) {
	reads, size := r.readGradient(r.store.Layout.Units[i])
	share, losses, x := r.remote.share, r.remote.losses, r.remote.x
	r.remote.wg.Go(func() {
		out, all, err := withLosses(reads, 1, size, losses)
		if err != nil {
			x.Abort(err)
			return
		}
		for k := range out[0] {
			out[0][k] *= share
		}
		x.Push(i, out, all)
	})
}

// takeSum makes the sum of the machines' gradients a unit's gradient.
func (r *Resolver) takeSum(e exchange.Event) error {
	u := r.store.Layout.Units[e.Unit]
	sum := e.Rows[0]
	if sum == nil {
		sum = make([]float32, u.Size)
	}
	r.reports[e.Unit] = BucketReport{Name: u.Name, Size: u.Size}
	var told error
	applied, err := r.remote.x.Resolved(e.Unit, sum, func(norm2 float64) []byte {
		r.reports[e.Unit].Norm2, r.reports[e.Unit].normed = norm2, true
		b, err := json.Marshal(sharedUnit{Norm2: number(norm2)})
		told = err
		return b
	})
	if err := errors.Join(err, told); err != nil {
		return err
	}
	r.setGradient(u, applied)
	return r.store.Engine.Dev.Err()
}

// Interrupted waits for what a step that failed has started, so that its buffers
// may be released.
func (r *Resolver) Interrupted() { r.remote.wg.Wait() }

// push sends unit i's rows of this machine on their way.
func (r *Resolver) push(i int) {
	rows := r.remote.x.Rows()
	var reads []rowRead
	base := 0
	for _, b := range r.store.Layout.Units[i].Buckets {
		bk := r.store.Layout.Buckets[b]
		for _, p := range bk.Params {
			reads = append(reads, r.read(p, base+p.Offset, rows)...)
		}
		base += bk.Size
	}
	size, losses, x := base, r.remote.losses, r.remote.x
	r.remote.wg.Go(func() {
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
}

// rowRead is a part of one row's values of one parameter on its way to the host.
type rowRead struct {
	row, at int // index in Rows, element of the unit
	n       int
	from    *gpu.Readback
}

// readBytes bounds one read: the device copies larger ones piece by piece and
// would make the backward pass wait.
const readBytes = 8 << 20

// readValues is readBytes in float32.
var readValues = int(tensor.F32.Elements(readBytes))

// read starts reading p's rows, which stand at element at of the unit.
func (r *Resolver) read(p Place, at int, rows []int) (out []rowRead) {
	from, n := r.memory.rows(r, p), p.R*p.LD()
	for k, m := range rows {
		for lo := 0; lo < n; lo += readValues {
			part := min(n-lo, readValues)
			v := gpu.View{Buf: from.Buf, Offset: from.Offset + tensor.F32.Bytes(int64(m*from.Stride+lo)), Size: tensor.F32.Bytes(int64(part))}
			out = append(out, rowRead{row: k, at: at + lo, n: part, from: r.store.Engine.Dev.Read(v)})
		}
	}
	return out
}

// withLosses is collect, with the step's losses.
func withLosses(reads []rowRead, rows, size int, losses func() ([]float64, error)) ([][]float32, []float64, error) {
	out, err := collect(reads, rows, size)
	if err != nil {
		return nil, nil, err
	}
	all, err := losses()
	return out, all, err
}

// collect waits for reads and lays them out as vectors of the unit.
func collect(reads []rowRead, rows, size int) ([][]float32, error) {
	out := make([][]float32, rows)
	for k := range out {
		out[k] = make([]float32, size)
	}
	for _, x := range reads {
		b, err := x.from.Wait()
		if err != nil {
			return nil, err
		}
		copy(out[x.row][x.at:x.at+x.n], floats(b))
	}
	return out, nil
}

// floats views bytes of the device as its values; all systems that WebGPU runs
// on are little-endian.
func floats(b []byte) []float32 {
	if len(b) == 0 {
		return nil
	}
	return unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(b))), tensor.F32.Elements(int64(len(b))))
}

func bytesOf(x []float32) []byte {
	if len(x) == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(x))), tensor.F32.Bytes(int64(len(x))))
}

// drain does what the other machines have made possible; with wait until the
// step is committed. While the backward pass runs, a unit's Gram is started in
// one call and its result awaited in the next, so that the device has both.
func (r *Resolver) drain(wait bool) {
	for r.err == nil && !r.remote.final {
		e, err := r.remote.x.Next(wait && r.remote.job == nil)
		switch {
		case err != nil:
			r.fail(err)
		case e.Kind == exchange.Sum && r.remote.local:
			if err := r.takeSum(e); err != nil {
				r.fail(fmt.Errorf("bucket: %q: %w", r.store.Layout.Units[e.Unit].Name, err))
			}
		case e.Kind == exchange.Sum:
			r.finishJob()
			r.startJob(e)
		case e.Kind == exchange.Gradient:
			if err := r.take(e); err != nil {
				r.fail(fmt.Errorf("bucket: %q as its owner sent it: %w", r.store.Layout.Units[e.Unit].Name, err))
			}
		case e.Kind == exchange.Final:
			r.remote.final = true
		case r.remote.job != nil:
			r.finishJob()
			if !wait {
				return
			}
		default:
			return
		}
	}
}

// startJob puts a unit's rows on the device and starts its Gram, unless its
// weights are known without.
func (r *Resolver) startJob(e exchange.Event) {
	r.store.Engine.Dev.Span("gram")
	defer r.store.Engine.Dev.Span("backward")
	r.upload(e)
	if r.remote.changes {
		r.remote.length = meanLength(e.Rows, r.store.Layout.Units[e.Unit].Size)
	}
	s := r.opt.Solver.(SharedSolver)
	s.Counted(e.Unit, e.Tokens, e.Losses)
	u := &r.units[e.Unit]
	if u.fixed = rounded(s.Fixed(e.Unit)); u.fixed == nil {
		u.gram = r.startGram(e.Unit)
	}
	r.remote.job = &e
}

// upload writes a unit's summed rows to the arena.
func (r *Resolver) upload(e exchange.Event) {
	base, k, dev := 0, 0, r.store.Engine.Dev
	for _, b := range r.store.Layout.Units[e.Unit].Buckets {
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

// arenaRows is where the k-th parameter of the unit being resolved has its rows.
func (r *Resolver) arenaRows(p Place, k int) tensor.Rows {
	size := tensor.F32.Bytes(int64(r.rows()) * int64(p.Extent()))
	for len(r.remote.arena) <= k {
		r.remote.arena = append(r.remote.arena, nil)
	}
	if old := r.remote.arena[k]; old == nil || old.Size() < size {
		if old != nil {
			old.Release()
		}
		r.remote.arena[k] = r.store.Engine.Dev.NewBuffer(gpu.RoleRows, "rows to resolve", size)
	}
	return tensor.Rows{Buf: r.remote.arena[k], M: r.rows(), Stride: p.Extent(), R: p.R, C: p.C, LD: p.LD()}
}

// rowsOf is where the rows that are resolved lie.
func (r *Resolver) rowsOf(p Place) tensor.Rows {
	if r.remote.x == nil || r.remote.local {
		return r.memory.rows(r, p)
	}
	k := 0
	for _, b := range r.store.Layout.Units[r.unitOf(p)].Buckets {
		for _, q := range r.store.Layout.Buckets[b].Params {
			if q.Name == p.Name {
				return r.arenaRows(p, k)
			}
			k++
		}
	}
	panic("bucket: " + p.Name + " is not in its unit")
}

// finishJob resolves the unit whose Gram was started and tells everyone.
func (r *Resolver) finishJob() {
	e := r.remote.job
	if e == nil || r.err != nil {
		return
	}
	r.remote.job = nil
	if err := r.finishUnit(e.Unit); err != nil {
		r.fail(fmt.Errorf("bucket: %q: %w", r.store.Layout.Units[e.Unit].Name, err))
	}
}

func (r *Resolver) finishUnit(i int) error {
	unit := r.store.Layout.Units[i]
	if w := r.units[i].fixed; w != nil {
		r.reports[i] = BucketReport{Name: unit.Name, Size: unit.Size, Weights: w}
		r.combineUnit(unit, Solution{Weights: w})
	} else if err := r.resolve(i); err != nil {
		return err
	}
	gradient, err := r.gradientOf(unit)
	if err != nil {
		return err
	}
	if r.remote.changes {
		scaleTo(gradient, r.remote.length)
	}
	var told error
	applied, err := r.remote.x.Resolved(i, gradient, func(norm2 float64) []byte {
		r.reports[i].Norm2, r.reports[i].normed = norm2, true
		b, err := r.exportUnit(i)
		told = err
		return b
	})
	if err := errors.Join(err, told); err != nil {
		return err
	}
	r.setGradient(unit, applied)
	return nil
}

// gradientOf reads a unit's combined gradient.
func (r *Resolver) gradientOf(u Unit) ([]float32, error) {
	reads, size := r.readGradient(u)
	out, err := collect(reads, 1, size)
	if err != nil {
		return nil, err
	}
	return out[0], nil
}

// readGradient starts reading a unit's combined gradient, of so many values.
func (r *Resolver) readGradient(u Unit) (reads []rowRead, size int) {
	for _, b := range u.Buckets {
		v := r.store.Flat(Gradient, b).View()
		n := r.store.Layout.Buckets[b].Size
		for lo := 0; lo < n; lo += readValues {
			part := min(n-lo, readValues)
			reads = append(reads, rowRead{at: size + lo, n: part, from: r.store.Engine.Dev.Read(gpu.View{Buf: v.Buf, Offset: v.Offset + tensor.F32.Bytes(int64(lo)), Size: tensor.F32.Bytes(int64(part))})})
		}
		size += n
	}
	return reads, size
}

// setGradient writes a unit's gradient.
func (r *Resolver) setGradient(u Unit, x []float32) {
	for _, b := range u.Buckets {
		n := r.store.Layout.Buckets[b].Size
		r.store.Engine.Dev.Write(r.store.Flat(Gradient, b).View(), bytesOf(x[:n]))
		x = x[n:]
	}
}

// take applies what a unit's owner made of it.
func (r *Resolver) take(e exchange.Event) error {
	if err := r.importUnit(e.Unit, e.Meta); err != nil {
		return err
	}
	if e.Gradient != nil {
		r.setGradient(r.store.Layout.Units[e.Unit], e.Gradient)
	}
	return r.store.Engine.Dev.Err()
}

func (x *remote) release() {
	x.wg.Wait()
	for _, b := range x.arena {
		if b != nil {
			b.Release()
		}
	}
}
