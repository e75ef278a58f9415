package gpu

import (
	"fmt"
	"time"
)

// The command stream: recorded commands wait in Go as a list and go
// to the driver as one command buffer, with as few compute passes as the order
// allows.
const (
	slotBytes   = 256 // one dispatch's parameters; the largest uniform alignment
	arenaSlots  = 64  // dispatches per submit
	maxCommands = 512 // commands per submit, copies included
	maxInFlight = 16  // submits the GPU may be behind,
	// maxBehind is their predicted time in sum,
	maxBehind = 4 * submitTarget
	// maxStaged the upload memory that they hold.
	maxStaged = 8 << 20
	// submitTarget bounds the predicted time of one submit: systems kill long ones
	// (Windows after 2 s, macOS earlier when the screen starves).
	submitTarget = 50 * time.Millisecond
	// slowDispatch is where one dispatch alone becomes a risk worth a warning.
	slowDispatch = 1500 * time.Millisecond
)

// MaxLoopIterations is how many loop iterations, summed over all of its loops, one
// shader invocation may make. Mesa's software rasterizers silently stop every loop
// after 65,535; kernels and their callers bound the work per invocation by this.
const MaxLoopIterations = 65000

// Dispatch is one run of a kernel.
type Dispatch struct {
	Kernel *Kernel
	Params []byte    // the kernel's struct Params, little-endian, at most 256 bytes
	Binds  []View    // bindings 1.. in order
	Groups [3]uint32 // workgroups; x = 0 is an empty run
	Work   int64     // rough cost in float operations; bounds the time of a submit
}

// stream holds recorded commands and the count of submits. Guarded by Device.mu.
type stream struct {
	arena     *Buffer
	commands  []command
	names     []string // of each command, for errors
	params    []byte   // slots of the recorded dispatches
	load      load     // of the recorded commands
	submitted uint64   // submits so far; submit numbers start at 1
	staged    int64    // bytes of Write since the last submit
	staging   []stagedBytes
	seen      uint64 // completed submits accounted for
	pace      pace
	touched   int64 // see Device.Touched
}

// stagedBytes is upload memory that the driver holds until submit completes.
type stagedBytes struct {
	submit uint64
	n      int64
}

func (s *stream) drop() {
	s.commands, s.names, s.params, s.load = nil, nil, nil, load{}
}

// next is the number of the submit that recorded commands will go into.
func (s *stream) next() uint64 { return s.submitted + 1 }

// Run records a dispatch, in program order with Write, Copy, Zero and Read. It
// checks everything that would otherwise abort in the driver: ranges, alignment,
// limits, one buffer bound for reading and writing, group counts, released
// buffers. A violation sets the sticky error, which names the kernel.
func (d *Device) Run(x Dispatch) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.ok() {
		return
	}
	if x.Kernel == nil {
		d.fail(fmt.Errorf("gpu: run: no kernel"))
		return
	}
	if err := d.checkDispatch(x); err != nil {
		d.fail(fmt.Errorf("gpu: run kernel %s: %w", x.Kernel.name, err))
		return
	}
	if x.Groups[0] == 0 {
		return
	}
	l := d.estimate(x)
	if len(d.stream.params) == arenaSlots*slotBytes || d.stream.pace.time(d.stream.load.plus(l)) > submitTarget {
		d.flush() // no-op when nothing is recorded: one dispatch cannot be split
	}
	g := d.group(x.Kernel, x.Binds)
	if g == 0 || !d.ok() {
		return
	}
	s := &d.stream
	slot := len(s.params)
	s.params = append(append(s.params, x.Params...), make([]byte, slotBytes-len(x.Params))...)
	for _, v := range x.Binds {
		v.Buf.used = s.next()
		s.touched += v.Size
	}
	s.load = s.load.plus(l)
	d.record(x.Kernel.what, command{kind: cmdDispatch, a: x.Kernel.pipeline, b: g, aOffset: uint64(slot),
		x: x.Groups[0], y: x.Groups[1], z: x.Groups[2]})
}

func (d *Device) checkDispatch(x Dispatch) error {
	if x.Kernel.d != d {
		return fmt.Errorf("the kernel belongs to another device")
	}
	if len(x.Params) > slotBytes {
		return fmt.Errorf("%d bytes of parameters, at most %d", len(x.Params), slotBytes)
	}
	for _, g := range x.Groups {
		if int64(g) > int64(d.info.Limits.MaxWorkgroupsPerDim) {
			return fmt.Errorf("%v workgroups, at most %d per dimension: fold the grid", x.Groups, d.info.Limits.MaxWorkgroupsPerDim)
		}
	}
	if x.Groups[0] > 0 && (x.Groups[1] == 0 || x.Groups[2] == 0) {
		return fmt.Errorf("%v workgroups: y and z must be at least 1", x.Groups)
	}
	return x.Kernel.checkBinds(x.Binds)
}

// estimate is the load of x. It warns once about a kernel that takes too long for a GPU; a
// rasterizer is a program on the CPU, which no system ends for that.
func (d *Device) estimate(x Dispatch) load {
	groups := float64(x.Groups[0]) * float64(x.Groups[1]) * float64(x.Groups[2])
	l := load{work: max(float64(x.Work), 256*groups), fixed: dispatchCost}
	if t := d.stream.pace.time(l); t > slowDispatch && !x.Kernel.slow && d.info.Type != CPU {
		x.Kernel.slow = true
		d.log("gpu: one dispatch of kernel %s may take %.1f s; "+
			"systems that kill long GPU jobs (Windows: 2 s) need a smaller batch or sequence", x.Kernel.name, t.Seconds())
	}
	return l
}

// record appends c, which belongs to the next submit.
func (d *Device) record(name string, c command) {
	d.stream.commands = append(d.stream.commands, c)
	d.stream.names = append(d.stream.names, name)
	if len(d.stream.commands) >= maxCommands {
		d.flush()
	}
}

// Touched is the bytes that all work recorded so far touches at least once: of
// every dispatch the views that it binds, of every copy both sides. It is the memory
// traffic of kernels that read and write each operand once.
func (d *Device) Touched() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.stream.touched
}

// Flush submits the recorded commands and does not wait for them. It may wait for
// earlier submits when the GPU is several behind.
func (d *Device) Flush() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.flush()
}

func (d *Device) flush() {
	s := &d.stream
	if !d.ok() || len(s.commands) == 0 && s.staged == 0 {
		return
	}
	for done := d.progress(false); s.tooFarAhead(done); done++ {
		if err := d.waitFor(done + 1); err != nil {
			d.fail(err)
			return
		}
	}
	if !d.ok() {
		return
	}
	if len(s.params) > 0 {
		d.drv.write(s.arena.h, 0, s.params)
	}
	if !d.drv.submit(s.commands) {
		d.nameCulprit()
		return
	}
	s.submitted++
	s.pace.submitted(s.load)
	if s.staged > 0 {
		s.staging = append(s.staging, stagedBytes{s.submitted, s.staged})
		s.staged = 0
	}
	s.commands, s.names, s.params, s.load = s.commands[:0], s.names[:0], s.params[:0], load{}
}

// tooFarAhead says whether the GPU must catch up before the next submit, so that
// memory stays flat and predictions fresh.
func (s *stream) tooFarAhead(done uint64) bool {
	if done >= s.submitted {
		return false
	}
	var staged int64
	for _, b := range s.staging {
		staged += b.n
	}
	return s.submitted-done >= maxInFlight || staged > maxStaged || s.pace.behind() > maxBehind
}

// nameCulprit sets the sticky error after a refused submit: it encodes the
// commands one by one to find the one that the driver refuses.
func (d *Device) nameCulprit() {
	kind, msg := d.drv.takeError()
	name := "submit"
	if kind == nativeLost || d.drv.lost() {
		d.fail(fmt.Errorf("gpu: submit: %w: %s", ErrDeviceLost, msg))
	}
	for i := range d.stream.commands {
		if d.ok() && d.drv.invalid(&d.stream.commands[i]) {
			name = d.stream.names[i]
			break
		}
	}
	d.fail(fmt.Errorf("gpu: %s: %s", name, msg))
	d.stream.drop()
}

// Sync submits the recorded commands and waits until the GPU has done them.
func (d *Device) Sync() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.flush()
	if d.err != nil {
		return d.err
	}
	if err := d.waitIdle(); err != nil {
		d.fail(err)
	}
	return d.err
}
