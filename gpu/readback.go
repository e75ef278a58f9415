package gpu

import (
	"fmt"
	"math/bits"
	"time"
)

// Readback is a read that is under way. Several may be, and they may be waited for
// in any order.
type Readback struct {
	d    *Device
	buf  *Buffer // staging
	m    mapping
	size int64
	data []byte
	err  error
	done bool
}

// readPool keeps staging buffers for reuse, by size.
type readPool struct {
	free    map[int64][]*Buffer
	bytes   int64
	pending map[*Readback]struct{}
}

// poolBytes is how much idle staging memory is kept.
const poolBytes = 4 << 20

// ReadPiece bounds the staging memory of one read: Read of more waits for the device.
const ReadPiece = 2 << 20

// Read records a copy of v as of this point in program order, submits, and returns
// at once. The bytes come from Wait. An error of the device comes from Wait too.
//
// A view above 2 MiB, or above the rest of the memory budget, is read in
// pieces before Read returns, so that a large tensor can be read with any rest
// down to 4 KiB.
func (d *Device) Read(v View) *Readback {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ok() && d.checkView(v, 4) == nil {
		if n := d.piece(v.Size); n < v.Size {
			data, err := d.readPieces(v, n)
			return &Readback{d: d, data: data, err: err, done: true}
		}
	}
	return d.read(v)
}

// piece is how many of n bytes one read can stage.
func (d *Device) piece(n int64) int64 {
	n = min(n, ReadPiece)
	if n == 0 || d.reads.has(n) || stagingSize(n) <= d.mem.left() {
		return n
	}
	d.reclaim()
	left := d.mem.left()
	switch {
	case stagingSize(n) <= left || left < 4096: // the latter is refused, by name
		return n
	case left >= 1<<20:
		return left &^ (1<<20 - 1)
	}
	return 1 << (bits.Len64(uint64(left)) - 1)
}

// readPieces returns the bytes of v, at most n at a time.
func (d *Device) readPieces(v View, n int64) ([]byte, error) {
	data := d.fresh(v.Size)
	for at := int64(0); at < v.Size; at += n {
		n := min(n, v.Size-at)
		r := d.read(View{Buf: v.Buf, Offset: v.Offset + at, Size: n})
		if r.err == nil {
			r.data = data[at : at+n]
		}
		if _, err := r.wait(); err != nil {
			return nil, err
		}
	}
	return data, nil
}

func (d *Device) read(v View) *Readback {
	r := &Readback{d: d, size: v.Size, done: true}
	if d.ok() {
		if err := d.checkView(v, 4); err != nil {
			d.fail(fmt.Errorf("gpu: read: %w", err))
		}
	}
	if r.err = d.err; r.err != nil || v.Size == 0 {
		return r
	}
	r.buf = d.reads.take(d, v.Size)
	if r.err = d.err; r.err != nil {
		return r
	}
	d.copy(View{Buf: r.buf, Size: v.Size}, v)
	d.flush()
	if r.err = d.err; r.err != nil {
		return r
	}
	r.m = d.drv.mapStart(r.buf.h, v.Size)
	if !d.check("read from "+v.Buf.label) || r.m == nil {
		d.fail(fmt.Errorf("gpu: read: cannot map the staging buffer"))
		r.err = d.err
		return r
	}
	r.done = false
	d.reads.pending[r] = struct{}{}
	return r
}

// Wait returns the bytes, a fresh slice that is the caller's. It may be called from
// any goroutine and more than once. It gives up with ErrTimeout when the GPU completes
// nothing for Options.ReadDeadline, and may then be called again.
func (r *Readback) Wait() ([]byte, error) {
	d := r.d
	d.mu.Lock()
	defer d.mu.Unlock()
	if r.done {
		return r.data, r.err
	}
	if d.drv == nil {
		return nil, d.err
	}
	w := d.newWaiter()
	for !r.arrived() {
		if err := w.check(); err != nil {
			return nil, err
		}
		d.mu.Unlock() // others may record meanwhile
		time.Sleep(w.pause())
		d.mu.Lock()
	}
	return r.finish()
}

// arrived polls; it is true when finish has something to do or was done by another
// goroutine.
func (r *Readback) arrived() bool {
	if r.done {
		return true
	}
	if r.d.drv == nil {
		return false
	}
	r.d.progress(true)
	return r.m.ready() || r.m.failed()
}

func (r *Readback) finish() ([]byte, error) {
	d := r.d
	if r.done {
		return r.data, r.err
	}
	r.done = true
	delete(d.reads.pending, r)
	if r.m.failed() {
		d.drv.mapFinish(r.buf.h, r.m, nil)
		d.check("read")
		d.fail(fmt.Errorf("gpu: read: the driver could not map the staging buffer: %w", ErrDeviceLost))
		r.data, r.err = nil, d.err
		d.releaseBuffer(r.buf)
		return nil, r.err
	}
	if r.data == nil {
		r.data = d.fresh(r.size)
	}
	d.drv.mapFinish(r.buf.h, r.m, r.data)
	d.reads.put(d, r.buf)
	return r.data, nil
}

// stagingSize rounds n up so that buffers of few sizes serve all reads.
func stagingSize(n int64) int64 {
	const mib = 1 << 20
	if n > mib {
		return (n + mib - 1) &^ (mib - 1)
	}
	return max(4096, int64(1)<<bits.Len64(uint64(n-1)))
}

func (p *readPool) take(d *Device, n int64) *Buffer {
	if p.free == nil {
		p.free, p.pending = map[int64][]*Buffer{}, map[*Readback]struct{}{}
	}
	size := min(stagingSize(n), max(n, d.info.Limits.MaxBufferSize&^3))
	for s := size; s <= stagingSlack*size; s *= 2 {
		if l := p.free[s]; len(l) > 0 {
			b := l[len(l)-1]
			p.free[s] = l[:len(l)-1]
			p.bytes -= s
			return b
		}
	}
	return d.newBuffer(RoleStaging, "readback", size, usageMapRead|usageCopyDst)
}

// stagingSlack is how many times as large as needed a buffer may be that is used again: else
// a step whose reads have many sizes keeps buffers of each.
const stagingSlack = 8

// has says whether a buffer for n bytes waits to be used again.
func (p *readPool) has(n int64) bool { return len(p.free[stagingSize(n)]) > 0 }

func (p *readPool) put(d *Device, b *Buffer) {
	if p.bytes+b.size > poolBytes {
		d.releaseBuffer(b)
		return
	}
	p.free[b.size] = append(p.free[b.size], b)
	p.bytes += b.size
}

// trim releases the idle staging buffers.
func (p *readPool) trim(d *Device) {
	for size, l := range p.free {
		for _, b := range l {
			d.releaseBuffer(b)
		}
		delete(p.free, size)
	}
	p.bytes = 0
}

// release ends pending reads at Close; the buffers go with the device's others.
func (p *readPool) release(d *Device) {
	for r := range p.pending {
		d.drv.mapFinish(r.buf.h, r.m, nil)
	}
	p.pending, p.free = nil, nil
}

// wait is Wait for callers inside the package, which hold the mutex.
func (r *Readback) wait() ([]byte, error) {
	if !r.done {
		if err := r.d.wait(r.arrived); err != nil {
			return nil, err
		}
	}
	return r.finish()
}
