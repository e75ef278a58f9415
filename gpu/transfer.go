package gpu

import (
	"fmt"
	"math/bits"
	"time"
)

// uploadChunk bounds one upload: the driver stages it in memory of its own, which
// it frees only after a submit.
const uploadChunk = 16 << 20

// Write copies data to the start of v, in program order with recorded work. data
// may be reused when it returns. len(data) is a multiple of 4 and at most v.Size.
func (d *Device) Write(v View, data []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.ok() || len(data) == 0 {
		return
	}
	err := d.checkView(v, 4)
	if err == nil && (int64(len(data)) > v.Size || len(data)%4 != 0) {
		err = fmt.Errorf("%d bytes of data for a view of %d bytes of buffer %q", len(data), v.Size, v.Buf.label)
	}
	if err != nil {
		d.fail(fmt.Errorf("gpu: write: %w", err))
		return
	}
	if v.Buf.used == d.stream.next() {
		d.flush() // recorded work uses the buffer: it must see the old bytes
	}
	for off := 0; off < len(data) && d.ok(); {
		n := d.stage(len(data) - off)
		if n == 0 {
			return
		}
		d.n.write(v.Buf.h, v.Offset+int64(off), data[off:off+n])
		v.Buf.written = d.stream.next()
		if off += n; d.stream.staged >= uploadChunk {
			d.flush()
		}
	}
	d.check("write to " + v.Buf.label)
}

// stage books upload memory for up to n bytes within the budget, and returns for how many.
func (d *Device) stage(n int) int {
	n = min(n, uploadChunk)
	if int64(n) > d.mem.left() {
		d.reclaim()
		if left := d.mem.left() &^ 3; left >= 64<<10 {
			n = int(min(int64(n), left))
		}
	}
	if int64(n) > d.mem.left() {
		d.fail(d.mem.refusal(RoleStaging, "upload", int64(n)))
		return 0
	}
	d.mem.add(RoleStaging, int64(n))
	d.stream.staged += int64(n)
	return n
}

// Copy copies src to dst, of equal size, in different buffers.
func (d *Device) Copy(dst, src View) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.ok() {
		return
	}
	err := d.checkView(dst, 4)
	if err == nil {
		err = d.checkView(src, 4)
	}
	if err == nil && dst.Size != src.Size {
		err = fmt.Errorf("%d bytes of %q to %d bytes of %q", src.Size, src.Buf.label, dst.Size, dst.Buf.label)
	}
	if err == nil && dst.Buf == src.Buf {
		err = fmt.Errorf("source and destination are both buffer %q: WebGPU copies between different buffers only", dst.Buf.label)
	}
	if err != nil {
		d.fail(fmt.Errorf("gpu: copy: %w", err))
		return
	}
	d.copy(dst, src)
}

func (d *Device) copy(dst, src View) {
	if src.Size == 0 {
		return
	}
	dst.Buf.used, src.Buf.used = d.stream.next(), d.stream.next()
	d.stream.cost += copyTime(src.Size)
	d.record("copy", command{kind: cmdCopy, a: src.Buf.h, b: dst.Buf.h,
		aOffset: uint64(src.Offset), bOffset: uint64(dst.Offset), size: uint64(src.Size)})
}

// Zero clears v.
func (d *Device) Zero(v View) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.ok() {
		return
	}
	if err := d.checkView(v, 4); err != nil {
		d.fail(fmt.Errorf("gpu: zero: %w", err))
		return
	}
	if v.Size == 0 {
		return
	}
	v.Buf.used = d.stream.next()
	d.stream.cost += copyTime(v.Size)
	d.record("zero", command{kind: cmdClear, a: v.Buf.h, aOffset: uint64(v.Offset), size: uint64(v.Size)})
}

// copyTime estimates a copy at 4 GB/s, the pace of a CPU adapter.
func copyTime(n int64) time.Duration { return time.Duration(n / 4) }

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
const poolBytes = 64 << 20

// Read records a copy of v as of this point in program order, submits, and returns
// at once. The bytes come from Wait. An error of the device comes from Wait too.
func (d *Device) Read(v View) *Readback {
	d.mu.Lock()
	defer d.mu.Unlock()
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
	r.m = d.n.mapStart(r.buf.h, v.Size)
	if !d.check("read from "+v.Buf.label) || r.m.p == nil {
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
	if d.n == nil {
		return nil, d.err
	}
	err := d.wait(func() bool {
		d.progress(true)
		return r.m.ready() || r.m.failed()
	})
	if err != nil {
		return nil, err
	}
	r.done = true
	delete(d.reads.pending, r)
	if r.m.failed() {
		d.n.mapFinish(r.buf.h, r.m, nil)
		d.check("read")
		d.fail(fmt.Errorf("gpu: read: the driver could not map the staging buffer: %w", ErrDeviceLost))
		r.err = d.err
		d.releaseBuffer(r.buf)
		return nil, r.err
	}
	r.data = make([]byte, r.size)
	d.n.mapFinish(r.buf.h, r.m, r.data)
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
	if l := p.free[size]; len(l) > 0 {
		b := l[len(l)-1]
		p.free[size] = l[:len(l)-1]
		p.bytes -= size
		return b
	}
	return d.newBuffer(RoleStaging, "readback", size, usageMapRead|usageCopyDst)
}

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
		d.n.mapFinish(r.buf.h, r.m, nil)
	}
	p.pending, p.free = nil, nil
}
