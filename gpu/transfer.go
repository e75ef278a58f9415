package gpu

import (
	"fmt"
	"time"
)

// uploadChunk bounds one upload: the driver stages it in memory of its own, which
// it frees only after a submit.
const uploadChunk = 2 << 20

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
		d.drv.write(v.Buf.h, v.Offset+int64(off), data[off:off+n])
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
	d.stream.load.fixed += copyTime(src.Size)
	d.stream.touched += 2 * src.Size
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
	d.stream.load.fixed += copyTime(v.Size)
	d.stream.touched += v.Size
	d.record("zero", command{kind: cmdClear, a: v.Buf.h, aOffset: uint64(v.Offset), size: uint64(v.Size)})
}

// copyTime estimates a copy at 4 GB/s, the pace of a CPU adapter.
func copyTime(n int64) time.Duration { return time.Duration(n / 4) }
