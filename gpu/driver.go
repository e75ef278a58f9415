package gpu

// This file is the seam to the driver. Another binding takes its place by another
// defaultDriver, chosen by a build tag; testDriver in conformance_test.go holds it to
// the promises here. Driver objects are integers; nothing of a binding crosses
// into the rest of the package, and no method blocks for the GPU.

// driver is a way to the machine's adapters.
type driver interface {
	// list enumerates the adapters of these backends. The caller frees the list.
	list(backends uint32) driverAdapters
	// physicalMemory is the machine's memory in bytes, 0 when unknown.
	physicalMemory() int64
}

// driverAdapters is one enumeration.
type driverAdapters interface {
	all() []rawAdapter
	// open requests a device of adapter i, with WebGPU's default limits (spec) or the
	// adapter's own. The error is the driver's text, and the device is then nil.
	open(i int, spec, timestamps bool) (driverDevice, string)
	free()
}

// driverDevice is an open device with one queue. Its methods never run concurrently.
// A method that the driver refuses keeps its error for takeError, and returns 0,
// false or nil; on a lost device every method does so, and nothing reaches the GPU.
// The object of a new… method belongs to the caller, which frees it once, when no
// submit that uses it is under way.
type driverDevice interface {
	// close gives the device back. The queue must be idle.
	close()
	// takeError returns and clears the first error since the last call.
	takeError() (kind int, message string)
	lost() bool
	// poll lets the driver deliver its events; completed counts the submits
	// that the GPU has finished, as far as polls have delivered it.
	poll()
	completed() uint64

	newBuffer(size int64, usage uint32, label string) handle // zeroed
	freeBuffer(h handle)
	// write copies data, not empty, to a buffer before the next submit runs.
	write(h handle, offset int64, data []byte)
	newQueries(count int) handle
	freeQueries(h handle)

	// mapStart asks for the first size bytes of a buffer of usageMapRead, as they are
	// after all submits so far. Until mapFinish no submit may use the buffer.
	mapStart(h handle, size int64) mapping
	// mapFinish copies the bytes out and ends m. Without dst it gives m up, ready or not.
	mapFinish(h handle, m mapping, dst []byte)

	// newKernel compiles; access has 'r' or 'w' for each of bindings 1.. .
	newKernel(name, wgsl, access string) (pipeline, layout handle, ok bool)
	freeKernel(pipeline, layout handle)
	// newGroup binds 256 bytes of params at an offset that each dispatch gives, and binds.
	newGroup(layout, params handle, binds []binding) handle
	freeGroup(h handle)

	// submit executes the commands in order; none is a submit too. false means that
	// there is an error to take and that nothing was executed.
	submit(c []command) bool
	// invalid reports whether c alone is refused. Nothing is executed.
	invalid(c *command) bool
	// lose reports the device as lost, as the driver does after a reset, or, where text
	// is given, a validation error with it. For tests.
	lose(text string)
}

// mapping is a pending request to read a buffer.
type mapping interface {
	ready() bool
	failed() bool
}

// binding is a range of a buffer, bytes.
type binding struct {
	buffer       handle
	offset, size int64
}

// handle is a driver object; 0 is none.
type handle = uintptr

// Kinds of command; native.h has the same.
const (
	cmdDispatch = iota
	cmdCopy
	cmdClear
	cmdTimestamp
	cmdResolve
)

// command is one entry of submit's list; cc_command in native.h is the same. dispatch:
// a is the pipeline, b the group, aOffset that of its parameters, (x, y, z) the
// workgroups. copy: from a to b, size bytes. clear: size bytes of a. timestamp: query
// aOffset of a. resolve: size queries of a from aOffset on, to b.
type command struct {
	kind             uint64
	a, b             handle
	aOffset, bOffset uint64
	size             uint64
	x, y, z, _       uint32
}

// Buffer usages, as in webgpu.h.
const (
	usageMapRead      = 0x1
	usageCopySrc      = 0x4
	usageCopyDst      = 0x8
	usageUniform      = 0x40
	usageStorage      = 0x80
	usageQueryResolve = 0x200
)

// Kinds of error.
const (
	nativeNone = iota
	nativeValidation
	nativeMemory
	nativeLost
)

// Backend bits of an enumeration, as in wgpu.h.
const (
	bitVulkan = 1 << 0
	bitGL     = 1 << 1
	bitMetal  = 1 << 2
	bitDX12   = 1 << 3
)

// rawAdapter is the driver's description of an adapter, unchecked.
type rawAdapter struct {
	vendor, architecture, device, description string
	backend, kind, vendorID, deviceID         uint32
	limits                                    Limits
	features                                  []uint32
}

func clampInt64(u uint64) int64 { return int64(min(u, 1<<63-1)) }
