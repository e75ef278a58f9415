package gpu

import (
	"encoding/binary"
	"maps"
	"math"
	"time"
)

// maxMarks is the size of a timestamp query set; the results are fetched when it
// is full.
const maxMarks = 1024

// profiler attributes device time to labels. With timestamp queries it does not
// disturb the stream; without, every Span is a Sync. Guarded by Device.mu.
type profiler struct {
	on      bool
	wall    bool // no usable timestamps: measure on the host's clock
	label   string
	totals  map[string]time.Duration // wall clock
	ticks   map[string]float64       // timestamps
	start   time.Time
	queries handle
	results *Buffer
	marks   []string // label that begins at query i
	clock   tickClock
}

// tickClock finds the length of a tick, which WebGPU's C interface does not tell
// for this library: it compares the device's counter with the host's clock.
type tickClock struct {
	host  time.Time
	first uint64
	scale float64 // nanoseconds per tick
}

// Span marks the begin of a phase: device time from here to the next Span is
// attributed to label. Without timestamps (AdapterInfo.Timestamps) it waits for the
// GPU, so profiling then serialises host and device. When profiling is off it does
// nothing.
func (d *Device) Span(label string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.prof.on && d.ok() {
		d.span(label)
	}
}

func (d *Device) span(label string) {
	p := &d.prof
	if p.wall {
		d.flush()
		if err := d.waitIdle(); err != nil {
			d.fail(err)
			return
		}
		now := time.Now()
		p.totals[p.label] += now.Sub(p.start)
		p.label, p.start = label, now
		return
	}
	p.mark(d, label)
	if len(p.marks) == maxMarks {
		p.collect(d)
		p.mark(d, label)
	}
}

// mark records a timestamp at which label begins.
func (p *profiler) mark(d *Device, label string) {
	d.record("timestamp", command{kind: cmdTimestamp, a: p.queries, aOffset: uint64(len(p.marks))})
	p.marks = append(p.marks, label)
	p.label = label
}

// Profile switches Span on or off. Switching on starts from zero.
func (d *Device) Profile(on bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.ok() {
		return
	}
	p := &d.prof
	p.release(d)
	*p = profiler{on: on}
	if !on {
		return
	}
	p.totals, p.ticks = map[string]time.Duration{}, map[string]float64{}
	p.wall = !d.info.Timestamps || !p.calibrate(d)
	d.flush()
	if err := d.waitIdle(); err != nil {
		d.fail(err)
	}
	p.start = time.Now()
}

// calibrate sets up the queries and the length of a tick; false when the device's
// counter does not run.
func (p *profiler) calibrate(d *Device) bool {
	p.results = d.newBuffer(RoleStaging, "timestamps", maxMarks*8, usageQueryResolve|usageCopySrc)
	if p.results.h == 0 {
		return false
	}
	if p.queries = d.drv.newQueries(maxMarks); p.queries == 0 {
		_, msg := d.drv.takeError()
		d.log("gpu: timestamps refused (%s): profiling on the host's clock", msg)
		return false
	}
	first, host, ok := p.now(d)
	if !ok {
		return false
	}
	time.Sleep(20 * time.Millisecond)
	last, end, ok := p.now(d)
	if !ok || last <= first {
		d.log("gpu: the device's timestamps do not advance: profiling on the host's clock")
		return false
	}
	p.clock = tickClock{host: host, first: first}
	p.clock.adjust(last, end)
	return true
}

// adjust refines the length of a tick with a later pair; the error of one pair is
// about a millisecond. Near one it is one, as on NVIDIA and Mesa's rasterizers.
func (c *tickClock) adjust(ticks uint64, host time.Time) {
	if ticks <= c.first {
		return
	}
	c.scale = float64(host.Sub(c.host)) / float64(ticks-c.first)
	if math.Abs(c.scale-1) < 0.05 {
		c.scale = 1
	}
}

// now reads the device's counter together with the host's clock.
func (p *profiler) now(d *Device) (ticks uint64, host time.Time, ok bool) {
	d.flush()
	if d.err != nil || d.waitIdle() != nil {
		return 0, host, false
	}
	p.marks = nil
	p.mark(d, "")
	host = time.Now()
	t := p.fetch(d)
	if len(t) != 1 {
		return 0, host, false
	}
	return t[0], host, true
}

// fetch returns the counter at each mark and forgets the marks.
func (p *profiler) fetch(d *Device) []uint64 {
	n := len(p.marks)
	p.marks = p.marks[:0]
	p.results.used = d.stream.next()
	d.record("timestamps", command{kind: cmdResolve, a: p.queries, b: p.results.h, size: uint64(n)})
	b, err := d.read(View{Buf: p.results, Size: int64(n) * 8}).wait()
	if err != nil {
		d.fail(err)
		return nil
	}
	out := make([]uint64, n)
	for i := range out {
		out[i] = binary.LittleEndian.Uint64(b[8*i:])
	}
	return out
}

// collect adds the time between consecutive marks to the labels.
func (p *profiler) collect(d *Device) {
	labels := append([]string(nil), p.marks...)
	if len(labels) == 0 {
		return
	}
	t := p.fetch(d)
	for i := 1; i < len(t); i++ {
		if t[i] > t[i-1] {
			p.ticks[labels[i-1]] += float64(t[i] - t[i-1])
		}
	}
	if len(t) > 0 {
		p.clock.adjust(t[len(t)-1], time.Now())
	}
}

// Spans returns the device time per label since Profile(true), the current phase up
// to now included. It waits for the GPU.
func (d *Device) Spans() map[string]time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	p := &d.prof
	if !p.on || !d.ok() {
		return map[string]time.Duration{}
	}
	d.span(p.label)
	out := maps.Clone(p.totals)
	if !p.wall {
		p.collect(d)
		for label, n := range p.ticks {
			out[label] = time.Duration(n * p.clock.scale)
		}
		p.mark(d, p.label)
	}
	delete(out, "") // before the first Span
	return out
}

func (p *profiler) release(d *Device) {
	if p.queries != 0 {
		d.flush()
		if d.waitIdle() == nil {
			d.drv.freeQueries(p.queries)
		}
		p.queries = 0
	}
	if p.results != nil {
		d.releaseBuffer(p.results)
		p.results = nil
	}
}
