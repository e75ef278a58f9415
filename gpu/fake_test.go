package gpu

import (
	"fmt"
	"maps"
	"slices"
)

// fakeDriver is a driver in Go: it runs copies, clears and writes in memory, and of
// kernels only checks what they are given. It records every misuse of what
// driver.go promises: objects used after they were freed, freed twice or never,
// freed or mapped while a submit that uses them is under way, ranges beyond a
// buffer, calls on a lost device.
type fakeDriver struct {
	adapters []rawAdapter
	opened   []*fakeDevice
	// delay is how many polls a submit takes to complete.
	delay int
	lists int // enumerations so far
}

func (f *fakeDriver) list(uint32) driverAdapters { f.lists++; return &fakeList{f: f} }
func (f *fakeDriver) physicalMemory() int64      { return 8 << 30 }

type fakeList struct {
	f     *fakeDriver
	freed bool
}

func (l *fakeList) all() []rawAdapter { return l.f.adapters }
func (l *fakeList) free()             { l.freed = true }
func (l *fakeList) open(i int, spec, timestamps bool) (driverDevice, string) {
	if i < 0 || i >= len(l.f.adapters) {
		return nil, "no such adapter"
	}
	d := &fakeDevice{delay: l.f.delay, objects: map[handle]*fakeObject{}}
	l.f.opened = append(l.f.opened, d)
	return d, ""
}

// newFake is a driver with one discrete adapter.
func newFake(delay int) *fakeDriver {
	return &fakeDriver{delay: delay, adapters: []rawAdapter{{device: "Fake GPU", backend: 6, limits: specLimits, features: []uint32{3}}}}
}

type fakeObject struct {
	kind     string // buffer, queries, pipeline, layout, group
	data     []byte // of a buffer
	usage    uint32
	access   string    // of a layout
	binds    []binding // of a group
	count    int       // of queries
	mapped   bool
	lastUsed uint64 // number of the last submit that uses it
}

type fakeDevice struct {
	onPoll    func() // called by poll, as the driver calls back; may be nil
	objects   map[handle]*fakeObject
	last      handle
	submitted uint64
	done      uint64
	delay     int
	waited    int
	isLost    bool
	closed    bool
	kind      int
	text      string
	misuse    []string
	polls     int
}

func (d *fakeDevice) wrong(format string, args ...any) {
	d.misuse = append(d.misuse, fmt.Sprintf(format, args...))
}

// gone is true, with an error to take, on a lost device.
func (d *fakeDevice) gone() bool {
	if d.closed {
		d.wrong("a call after close")
	}
	if d.isLost && d.kind == nativeNone {
		d.kind = nativeLost
	}
	return d.isLost
}

func (d *fakeDevice) add(o *fakeObject) handle {
	d.last += 8
	d.objects[d.last] = o
	return d.last
}

// get is the live object h of that kind, or a misuse.
func (d *fakeDevice) get(h handle, kind, what string) *fakeObject {
	o := d.objects[h]
	if o == nil || o.kind != kind {
		d.wrong("%s: %#x is no live %s", what, h, kind)
		return &fakeObject{kind: kind}
	}
	return o
}

func (d *fakeDevice) drop(h handle, kind string) {
	o := d.get(h, kind, "free")
	if o.lastUsed > d.done && !d.isLost {
		d.wrong("free: a %s that submit %d uses, of which %d are done", kind, o.lastUsed, d.done)
	}
	if o.mapped {
		d.wrong("free: a mapped %s", kind)
	}
	delete(d.objects, h)
}

func (d *fakeDevice) close() {
	if d.done < d.submitted && !d.isLost {
		d.wrong("close: %d of %d submits done", d.done, d.submitted)
	}
	for _, h := range slices.Sorted(maps.Keys(d.objects)) {
		d.wrong("close: a %s was never freed", d.objects[h].kind)
	}
	d.closed = true
}

func (d *fakeDevice) takeError() (int, string) {
	kind, text := d.kind, d.text
	d.kind, d.text = nativeNone, ""
	return kind, text
}

func (d *fakeDevice) lost() bool { return d.isLost }

func (d *fakeDevice) poll() {
	if d.onPoll != nil {
		d.onPoll()
	}
	if d.polls++; d.done < d.submitted && !d.isLost {
		if d.waited++; d.waited > d.delay {
			d.done, d.waited = d.done+1, 0
		}
	}
}

func (d *fakeDevice) completed() uint64 { return d.done }

func (d *fakeDevice) newBuffer(size int64, usage uint32, label string) handle {
	if d.gone() {
		return 0
	}
	if size <= 0 || size%4 != 0 {
		d.wrong("buffer %q of %d bytes", label, size)
		return 0
	}
	return d.add(&fakeObject{kind: "buffer", data: make([]byte, size), usage: usage})
}

func (d *fakeDevice) freeBuffer(h handle) { d.drop(h, "buffer") }

func (d *fakeDevice) write(h handle, offset int64, data []byte) {
	if d.gone() {
		return
	}
	if len(data) == 0 {
		d.wrong("write of nothing")
	}
	b := d.region(h, offset, int64(len(data)), usageCopyDst, "write")
	copy(b, data)
}

// region is a range of a live buffer that has the usage and is not mapped.
func (d *fakeDevice) region(h handle, offset, size int64, usage uint32, what string) []byte {
	o := d.get(h, "buffer", what)
	if offset < 0 || size <= 0 || offset%4 != 0 || size%4 != 0 || offset+size > int64(len(o.data)) {
		d.wrong("%s: %d bytes at %d of %d", what, size, offset, len(o.data))
		return nil
	}
	if o.usage&usage != usage {
		d.wrong("%s: a buffer of usage %#x, which lacks %#x", what, o.usage, usage)
	}
	if o.mapped {
		d.wrong("%s: a mapped buffer", what)
	}
	return o.data[offset : offset+size]
}

func (d *fakeDevice) newQueries(count int) handle {
	if d.gone() {
		return 0
	}
	return d.add(&fakeObject{kind: "queries", count: count})
}

func (d *fakeDevice) freeQueries(h handle) { d.drop(h, "queries") }

type fakeMapping struct {
	d       *fakeDevice
	after   uint64 // submits that must be done
	buffer  handle
	size    int64
	failed_ bool
}

func (m *fakeMapping) ready() bool  { return !m.failed() && m.d.done >= m.after }
func (m *fakeMapping) failed() bool { return m.failed_ || m.d.isLost && m.d.done < m.after }

func (d *fakeDevice) mapStart(h handle, size int64) mapping {
	if d.gone() {
		return nil
	}
	d.region(h, 0, size, usageMapRead, "map")
	d.get(h, "buffer", "map").mapped = true
	return &fakeMapping{d: d, after: d.submitted, buffer: h, size: size}
}

func (d *fakeDevice) mapFinish(h handle, m mapping, dst []byte) {
	f := m.(*fakeMapping)
	o := d.get(h, "buffer", "unmap")
	if f.buffer != h || !o.mapped {
		d.wrong("unmap: the buffer is not what was mapped")
	}
	if o.mapped = false; len(dst) == 0 {
		return
	}
	if !f.ready() || int64(len(dst)) > f.size {
		d.wrong("unmap: %d bytes of %d, ready %v", len(dst), f.size, f.ready())
	}
	copy(dst, o.data)
}

func (d *fakeDevice) newKernel(name, wgsl, access string) (pipeline, layout handle, ok bool) {
	if d.gone() {
		return 0, 0, false
	}
	if wgsl == "" || wgsl == badWGSL {
		d.kind, d.text = nativeValidation, "parsing error"
		return 0, 0, false
	}
	return d.add(&fakeObject{kind: "pipeline"}), d.add(&fakeObject{kind: "layout", access: access}), true
}

func (d *fakeDevice) freeKernel(pipeline, layout handle) {
	d.drop(pipeline, "pipeline")
	d.drop(layout, "layout")
}

func (d *fakeDevice) newGroup(layout, params handle, binds []binding) handle {
	if d.gone() {
		return 0
	}
	d.region(params, 0, slotBytes, usageUniform, "group")
	if l := d.get(layout, "layout", "group"); len(l.access) != len(binds) {
		d.wrong("group: %d bindings for a layout of %d", len(binds), len(l.access))
	}
	for _, b := range binds {
		if d.region(b.buffer, b.offset, b.size, usageStorage, "group"); b.offset%256 != 0 {
			d.wrong("group: offset %d", b.offset)
		}
	}
	return d.add(&fakeObject{kind: "group", binds: slices.Clone(append(binds, binding{buffer: params}))})
}

func (d *fakeDevice) freeGroup(h handle) { delete(d.objects, d.live(h, "group")) }

// live is h if it is a live object: bind groups may be freed while in use, as the
// driver keeps what a submit needs.
func (d *fakeDevice) live(h handle, kind string) handle {
	d.get(h, kind, "free")
	return h
}

func (d *fakeDevice) submit(c []command) bool {
	if d.gone() {
		return false
	}
	d.submitted++
	for i := range c {
		d.execute(&c[i])
	}
	return true
}

func (d *fakeDevice) execute(c *command) {
	use := func(h handle, kind string) *fakeObject {
		o := d.get(h, kind, "submit")
		o.lastUsed = d.submitted
		return o
	}
	switch c.kind {
	case cmdDispatch:
		use(c.a, "pipeline")
		for _, b := range use(c.b, "group").binds {
			if use(b.buffer, "buffer").mapped {
				d.wrong("submit: a mapped buffer")
			}
		}
		if c.x == 0 || c.y == 0 || c.z == 0 || max(c.x, c.y, c.z) > 65535 || c.aOffset%slotBytes != 0 {
			d.wrong("submit: groups %d %d %d, slot %d", c.x, c.y, c.z, c.aOffset)
		}
	case cmdCopy:
		use(c.a, "buffer")
		use(c.b, "buffer")
		from := d.region(c.a, int64(c.aOffset), int64(c.size), usageCopySrc, "copy")
		copy(d.region(c.b, int64(c.bOffset), int64(c.size), usageCopyDst, "copy"), from)
	case cmdClear:
		use(c.a, "buffer")
		clear(d.region(c.a, int64(c.aOffset), int64(c.size), usageCopyDst, "clear"))
	case cmdTimestamp:
		if q := use(c.a, "queries"); int(c.aOffset) >= q.count {
			d.wrong("submit: query %d of %d", c.aOffset, q.count)
		}
	case cmdResolve:
		use(c.a, "queries")
		use(c.b, "buffer")
		d.region(c.b, int64(c.bOffset), int64(c.size)*8, usageQueryResolve, "resolve")
	default:
		d.wrong("submit: command %d", c.kind)
	}
}

func (d *fakeDevice) invalid(*command) bool { return false }

func (d *fakeDevice) lose(text string) {
	if text != "" {
		if d.kind = nativeValidation; text == lostText {
			d.kind, d.isLost = nativeLost, true
		}
		d.text = text
		return
	}
	d.isLost, d.kind = true, nativeLost
}

// lostText is how the library tells of a loss in a validation error.
const lostText = "Validation Error\n\nCaused by:\n    Parent device is lost\n"

// badWGSL does not compile.
const badWGSL = "fn main( {"
