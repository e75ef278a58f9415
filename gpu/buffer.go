package gpu

import "fmt"

// Buffer is device memory that kernels read and write. It belongs to the caller,
// which releases it; Device.Close releases the rest.
type Buffer struct {
	d        *Device
	h        handle
	role     Role
	label    string
	size     int64
	released bool
	used     uint64              // number of the last submit with a command that uses it
	written  uint64              // number of the submit that carries its last Write
	groups   map[string]struct{} // keys of the bind groups that hold it
}

// View is a byte range of a buffer. As a kernel binding, Offset must be a
// multiple of 256 and Size of 4; elsewhere both are multiples of 4.
type View struct {
	Buf          *Buffer
	Offset, Size int64
}

// Size is the buffer's size in bytes, a multiple of 4.
func (b *Buffer) Size() int64 { return b.size }

// NewBuffer allocates size bytes (rounded up to a multiple of 4, at least 4),
// zeroed. When the budget or a limit of the adapter refuses, nothing reaches the
// driver, the sticky error is set, and the result is an inert buffer that may be
// passed around and released.
func (d *Device) NewBuffer(role Role, label string, size int64) *Buffer {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.newBuffer(role, label, size, usageStorage|usageCopySrc|usageCopyDst)
}

func (d *Device) newBuffer(role Role, label string, size int64, usage uint32) *Buffer {
	b := &Buffer{d: d, role: role, label: label, size: max(4, (size+3)&^3), groups: map[string]struct{}{}}
	if !d.ok() {
		return b
	}
	if size < 0 || b.size > d.info.Limits.MaxBufferSize {
		d.fail(fmt.Errorf("gpu: allocate %q (%s): %d bytes, but the adapter's largest buffer has %d: split it", label, role, size,
			d.info.Limits.MaxBufferSize))
		return b
	}
	if !d.reserve(role, label, b.size) {
		return b
	}
	b.h = d.drv.newBuffer(b.size, usage, label)
	if !d.check(fmt.Sprintf("allocate %q (%s), %d bytes", label, role, b.size)) || b.h == 0 {
		d.mem.remove(role, b.size)
		d.fail(fmt.Errorf("gpu: allocate %q (%s): %w", label, role, ErrOutOfMemory))
		return b
	}
	d.buffers[b] = struct{}{}
	return b
}

// reserve books n bytes. When they do not fit it first waits for the GPU to
// finish with buffers that the caller has released already.
func (d *Device) reserve(role Role, label string, n int64) bool {
	if n > d.mem.left() {
		d.reclaim()
	}
	if n > d.mem.left() {
		d.fail(d.mem.refusal(role, label, n))
		return false
	}
	d.mem.add(role, n)
	return true
}

// reclaim frees all memory that only in-flight work or the staging pool holds.
func (d *Device) reclaim() {
	d.flush()
	if d.waitIdle() == nil {
		d.reads.trim(d)
		d.reap()
	}
}

// Release gives the memory back, after the GPU is done with recorded work that
// uses it. Releasing twice does nothing.
func (b *Buffer) Release() {
	d := b.d
	d.mu.Lock()
	defer d.mu.Unlock()
	d.releaseBuffer(b)
}

func (d *Device) releaseBuffer(b *Buffer) {
	if b.released {
		return
	}
	b.released = true
	if d.drv == nil || b.h == 0 {
		return
	}
	if max(b.used, b.written) > d.stream.submitted {
		d.flush()
	}
	for key := range b.groups {
		d.dropGroup(key)
	}
	delete(d.buffers, b)
	d.zombies = append(d.zombies, b)
	d.reap()
}

// reap frees released buffers whose last submit has completed.
func (d *Device) reap() {
	done := d.drv.completed()
	kept := d.zombies[:0]
	for _, b := range d.zombies {
		if max(b.used, b.written) > done && d.err == nil {
			kept = append(kept, b)
			continue
		}
		d.drv.freeBuffer(b.h)
		b.h = 0
		d.mem.remove(b.role, b.size)
	}
	if len(kept) < len(d.zombies) {
		clear(d.zombies[len(kept):])
		d.drv.poll() // lets the library drop the buffers just released
	}
	d.zombies = kept
}

// checkView returns why v cannot be used, or nil. align applies to the offset.
func (d *Device) checkView(v View, align int64) error {
	switch {
	case v.Buf == nil:
		return fmt.Errorf("no buffer")
	case v.Buf.d != d:
		return fmt.Errorf("buffer %q belongs to another device", v.Buf.label)
	case v.Buf.released || v.Buf.h == 0:
		return fmt.Errorf("buffer %q is released", v.Buf.label)
	case v.Offset < 0 || v.Size < 0 || v.Offset > v.Buf.size-v.Size:
		return fmt.Errorf("%d bytes at offset %d of buffer %q, which has %d", v.Size, v.Offset, v.Buf.label, v.Buf.size)
	case v.Offset%align != 0:
		return fmt.Errorf("offset %d of buffer %q is not a multiple of %d", v.Offset, v.Buf.label, align)
	case v.Size%4 != 0:
		return fmt.Errorf("size %d of a view of buffer %q is not a multiple of 4", v.Size, v.Buf.label)
	}
	return nil
}
