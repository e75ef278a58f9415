package gpu

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

// Errors a caller may want to tell apart.
var (
	// ErrDevice is in the chain of every error that Device.Err, Sync, Readback.Wait
	// and a failing driver in Open return, also of those below.
	ErrDevice = errors.New("GPU device error")
	// ErrDeviceLost means that the driver gave the device up (a hang, a reset, an
	// unplugged GPU). Open a new Device and restore from a checkpoint.
	ErrDeviceLost = errors.New("GPU device lost")
	// ErrTimeout means that the GPU finished nothing for the whole read deadline.
	ErrTimeout = errors.New("GPU does not answer")
	// ErrClosed means use after Close.
	ErrClosed = errors.New("device is closed")
)

// Options selects and configures a device. The zero value is the best adapter
// with its own limits and the default budget.
type Options struct {
	Adapter string // "" = best (discrete > integrated > virtual > cpu); an index "0", or a case-insensitive substring of the name
	Backend string // "" = any of vulkan, metal, dx12; "gl" must be named
	// MemoryBudget is in bytes; 0 = default: 75 % of RAM on a CPU adapter, 80 % of its
	// own memory on a discrete GPU (8 GiB where that is unknown), 50 % of RAM on others.
	MemoryBudget int64
	SpecLimits   bool  // request WebGPU's default limits instead of the adapter's (tests)
	BindingLimit int64 // bytes of the largest binding, at most the adapter's; 0 = the adapter's (tests)
	// ReadDeadline is the longest time without any progress of the GPU that Wait and Sync
	// accept; 0 = 60 s. On a CPU adapter it counts when the process has had that much processor
	// time too, or after ten times as long.
	ReadDeadline time.Duration
	Log          func(string) // warnings, one line each; it must not call the device; nil = discard
}

// Device is an open adapter with one implicit command stream. See the package
// comment for ownership, order and errors.
type Device struct {
	mu     sync.Mutex
	drv    driverDevice // nil after Close
	info   AdapterInfo
	opt    Options
	err    error // sticky
	mem    account
	stream stream
	reads  readPool
	prof   profiler

	buffers map[*Buffer]struct{} // live, for Close
	zombies []*Buffer            // released by the caller, still used by the GPU
	dry     bool                 // see OpenDry
	zeros   []byte               // see fresh
	kernels []*Kernel
	groups  map[string]*group
}

// Open opens the adapter that o names. It returns ErrNoAdapter when there is
// none, and a list of the adapters when none matches.
func Open(o Options) (*Device, error) { return openWith(usualDriver(), o) }

func openWith(drv driver, o Options) (*Device, error) {
	if o.Log == nil {
		o.Log = func(string) {}
	}
	if o.ReadDeadline <= 0 {
		o.ReadDeadline = 60 * time.Second
	}
	if o.MemoryBudget < 0 {
		return nil, fmt.Errorf("gpu: memory budget is %d bytes: give a positive number, or 0 for the default", o.MemoryBudget)
	}
	bits, err := backendBits(o.Backend)
	if err != nil {
		return nil, err
	}
	l := drv.list(bits)
	defer l.free()
	as := describe(l.all())
	i, err := choose(as, o.Adapter)
	if err != nil {
		return nil, err
	}
	info := as[i]
	n, msg := l.open(i, o.SpecLimits, info.Timestamps)
	if n == nil {
		return nil, deviceError{fmt.Errorf("gpu: open %v: %s; update the driver or choose another adapter", info, msg)}
	}
	return newDevice(n, info, o, drv.physicalMemory())
}

func newDevice(n driverDevice, info AdapterInfo, o Options, ram int64) (*Device, error) {
	if o.SpecLimits {
		info.Limits = specLimits
	}
	if o.BindingLimit > 0 {
		info.Limits.MaxStorageBufferBindingSize = min(info.Limits.MaxStorageBufferBindingSize, o.BindingLimit)
	}
	d := &Device{drv: n, info: info, opt: o, buffers: map[*Buffer]struct{}{}, groups: map[string]*group{}}
	d.mem = account{budget: o.MemoryBudget, roles: map[Role]RoleMemory{}}
	if d.mem.budget == 0 {
		var note string
		if d.mem.budget, note = defaultBudget(info, ram); note != "" {
			o.Log(note)
		}
	}
	d.stream.pace.init(info.Type)
	d.stream.arena = d.newBuffer(RoleStaging, "parameters", arenaSlots*slotBytes, usageUniform|usageCopyDst)
	if d.err != nil {
		err := d.err
		d.Close()
		return nil, err
	}
	if info.Type == CPU && o.Adapter == "" {
		o.Log(fmt.Sprintf("gpu: no GPU found, using the software rasterizer %s on the CPU: expect it to be slow", info.Name))
	}
	return d, nil
}

// Info describes the adapter. With Options.SpecLimits, Limits are those of the device.
func (d *Device) Info() AdapterInfo { return d.info }

// Err returns the first error of the device, or nil. After it every recording
// method is a no-op.
func (d *Device) Err() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.err
}

// Close waits for the GPU, releases everything the device owns and makes further
// use an error (ErrClosed). Calling it again does nothing. When the GPU does not
// answer within the read deadline, the driver's objects are left to the end of
// the process, as releasing them would abort it.
func (d *Device) Close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.drv == nil {
		return
	}
	d.stream.drop()
	idle := d.waitIdle() == nil
	if idle && !d.drv.lost() {
		d.releaseAll()
	}
	d.drv = nil
	d.buffers, d.zombies, d.kernels, d.groups = nil, nil, nil, nil
	d.mem.current, d.mem.roles = 0, map[Role]RoleMemory{}
	d.fail(fmt.Errorf("gpu: %w", ErrClosed))
}

func (d *Device) releaseAll() {
	d.dropGroups()
	for _, k := range d.kernels {
		d.drv.freeKernel(k.pipeline, k.layout)
	}
	d.prof.release(d)
	d.reads.release(d)
	for b := range d.buffers {
		d.drv.freeBuffer(b.h)
		b.h = 0
	}
	for _, b := range d.zombies {
		d.drv.freeBuffer(b.h)
		b.h = 0
	}
	d.drv.poll()
	d.drv.close()
}

// deviceError puts ErrDevice into the chain of an error without changing its text.
type deviceError struct{ error }

func (e deviceError) Unwrap() []error { return []error{ErrDevice, e.error} }

// fail records the first error.
func (d *Device) fail(err error) {
	if d.err == nil {
		if !errors.Is(err, ErrDevice) {
			err = deviceError{err}
		}
		d.err = err
	}
}

// ok reports whether recording may go on. Work given to a lost device would end
// the process, so a loss becomes the sticky error before anything reaches it.
func (d *Device) ok() bool {
	if d.err != nil || d.drv == nil {
		return false
	}
	if d.drv.lost() {
		d.fail(d.lossError())
		return false
	}
	return true
}

// lossError is the driver's message when it gave the device up.
func (d *Device) lossError() error {
	_, msg := d.drv.takeError()
	if msg == "" {
		msg = "the driver gave no reason"
	}
	return deviceError{fmt.Errorf("gpu: %w: %s; concord can go on from the last checkpoint", ErrDeviceLost, msg)}
}

// check turns an error that the driver reported during an operation into the sticky one.
func (d *Device) check(what string) bool {
	kind, msg := d.drv.takeError()
	switch kind {
	case nativeNone:
		return true
	case nativeLost:
		d.fail(fmt.Errorf("gpu: %s: %w: %s", what, ErrDeviceLost, msg))
	case nativeMemory:
		d.fail(fmt.Errorf("gpu: %s: %w: the driver refused: %s; lower [device] memory to what the adapter has", what, ErrOutOfMemory, msg))
	default:
		d.fail(fmt.Errorf("gpu: %s: %s", what, msg))
	}
	return false
}

func (d *Device) log(format string, args ...any) { d.opt.Log(fmt.Sprintf(format, args...)) }
