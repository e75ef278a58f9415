package gpu

// This file is the seam to the driver: the only one that knows cgo. Another
// binding takes its place by offering the same types and methods. Driver objects
// are integers; nothing of the binding crosses into the rest of the package.

/*
#cgo CFLAGS: -I${SRCDIR}
#include <stdlib.h>
#include "native.h"
*/
import "C"

import (
	"runtime"
	"strings"
	"unsafe"

	_ "github.com/cogentcore/webgpu/wgpu" // links the static wgpu-native library
)

// handle is a driver object; 0 is none.
type handle = uintptr

// Kinds of command, in the order of native.h.
const (
	cmdDispatch = iota
	cmdCopy
	cmdClear
	cmdTimestamp
	cmdResolve
)

// command mirrors cc_command in native.h field by field.
type command struct {
	kind             uint64
	a, b             handle
	aOffset, bOffset uint64
	size             uint64
	x, y, z, _       uint32
}

// The two layouts must have one size, or this does not compile.
var _ [unsafe.Sizeof(command{})]byte = [unsafe.Sizeof(C.cc_command{})]byte{}

// Buffer usages, as in webgpu.h.
const (
	usageMapRead      = 0x1
	usageCopySrc      = 0x4
	usageCopyDst      = 0x8
	usageUniform      = 0x40
	usageStorage      = 0x80
	usageQueryResolve = 0x200
)

// Kinds of native error.
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

// rawAdapter is what the driver says of an adapter, unchecked.
type rawAdapter struct {
	vendor, architecture, device, description string
	backend, kind, vendorID, deviceID         uint32
	limits                                    Limits
	features                                  []uint32
}

// adapterList is one enumeration; free it.
type adapterList struct{ l *C.cc_list }

func listAdapters(backends uint32) adapterList {
	C.cc_silence()
	defer quietDisplay()()
	return adapterList{C.cc_list_new(C.uint32_t(backends))}
}

func (l adapterList) free() { C.cc_list_free(l.l) }

func (l adapterList) all() []rawAdapter {
	var out []rawAdapter
	for i := range int(C.cc_list_count(l.l)) {
		var c C.cc_adapter_info
		C.cc_list_info(l.l, C.size_t(i), &c)
		a := rawAdapter{
			vendor: C.GoString(&c.vendor[0]), architecture: C.GoString(&c.architecture[0]),
			device: C.GoString(&c.device[0]), description: C.GoString(&c.description[0]),
			backend: uint32(c.backend), kind: uint32(c._type),
			vendorID: uint32(c.vendor_id), deviceID: uint32(c.device_id),
			limits: Limits{
				MaxBufferSize:               clampInt64(uint64(c.max_buffer)),
				MaxStorageBufferBindingSize: clampInt64(uint64(c.max_storage_binding)),
				MaxStorageBuffersPerStage:   int(c.storage_buffers),
				MaxWorkgroupStorage:         int(c.workgroup_storage),
				MaxInvocationsPerWorkgroup:  int(c.invocations),
				MaxWorkgroupsPerDim:         int(c.groups),
				MinStorageAlign:             int(c.storage_align),
			},
		}
		for k := range int(c.feature_count) {
			a.features = append(a.features, uint32(c.features[k]))
		}
		out = append(out, a)
	}
	return out
}

// open requests a device of adapter i; the error is the driver's text.
func (l adapterList) open(i int, spec, timestamps bool) (*native, string) {
	msg := make([]byte, C.CC_MESSAGE)
	d := C.cc_list_open(l.l, C.size_t(i), cbool(spec), cbool(timestamps), (*C.char)(unsafe.Pointer(&msg[0])), C.size_t(len(msg)))
	if d == nil {
		return nil, text(msg)
	}
	return &native{d: d}, ""
}

// native is an open device. Its methods must not run concurrently.
type native struct{ d *C.cc_device }

func (n *native) close() { C.cc_close(n.d) }

// takeError returns and clears the first error since the last call.
func (n *native) takeError() (kind int, message string) {
	if C.cc_has_error(n.d) == 0 {
		return nativeNone, ""
	}
	msg := make([]byte, C.CC_MESSAGE)
	kind = int(C.cc_take_error(n.d, (*C.char)(unsafe.Pointer(&msg[0])), C.size_t(len(msg))))
	return kind, text(msg)
}

func (n *native) lost() bool        { return C.cc_lost(n.d) != 0 }
func (n *native) poll()             { C.cc_poll(n.d) }
func (n *native) completed() uint64 { return uint64(C.cc_completed(n.d)) }

func (n *native) newBuffer(size int64, usage uint32, label string) handle {
	s := C.CString(label)
	defer C.free(unsafe.Pointer(s))
	return handle(C.cc_buffer_new(n.d, C.uint64_t(size), C.uint32_t(usage), s))
}

func (n *native) freeBuffer(h handle) { C.cc_buffer_free(C.cc_handle(h)) }

func (n *native) write(h handle, offset int64, data []byte) {
	C.cc_buffer_write(n.d, C.cc_handle(h), C.uint64_t(offset), unsafe.Pointer(&data[0]), C.size_t(len(data)))
}

func (n *native) newQueries(count int) handle {
	return handle(C.cc_queries_new(n.d, C.uint32_t(count)))
}

func (n *native) freeQueries(h handle) { C.cc_queries_free(C.cc_handle(h)) }

// mapping is a pending request to read a buffer.
type mapping struct{ p unsafe.Pointer }

func (n *native) mapStart(h handle, size int64) mapping {
	return mapping{C.cc_map_start(n.d, C.cc_handle(h), C.size_t(size))}
}

func (m mapping) ready() bool  { return C.cc_map_state(m.p) == C.CC_MAP_READY }
func (m mapping) failed() bool { return C.cc_map_state(m.p) == C.CC_MAP_FAILED }

// mapFinish copies the bytes out (none when dst is empty) and unmaps.
func (n *native) mapFinish(h handle, m mapping, dst []byte) {
	var p unsafe.Pointer
	if len(dst) > 0 {
		p = unsafe.Pointer(&dst[0])
	}
	C.cc_map_finish(C.cc_handle(h), m.p, p, C.size_t(len(dst)))
}

// lose reports the device as lost, as the driver does after a reset, or, where text
// is given, a validation error with it. For tests.
func (n *native) lose(text string) {
	if text == "" {
		C.cc_lose(n.d, nil)
		return
	}
	s := C.CString(text)
	defer C.free(unsafe.Pointer(s))
	C.cc_lose(n.d, s)
}

// newKernel compiles; access has 'r' or 'w' for each of bindings 1.. .
func (n *native) newKernel(name, wgsl, access string) (pipeline, layout handle, ok bool) {
	cn, cw, ca := C.CString(name), C.CString(wgsl), C.CString(access)
	defer C.free(unsafe.Pointer(cn))
	defer C.free(unsafe.Pointer(cw))
	defer C.free(unsafe.Pointer(ca))
	var p, l C.cc_handle
	if C.cc_kernel_new(n.d, cn, cw, ca, C.size_t(len(access)), &p, &l) != 0 {
		return 0, 0, false
	}
	return handle(p), handle(l), true
}

func (n *native) freeKernel(pipeline, layout handle) {
	C.cc_kernel_free(C.cc_handle(pipeline), C.cc_handle(layout))
}

func (n *native) newGroup(layout, params handle, binds []View) handle {
	b := make([]C.cc_binding, len(binds))
	for i, v := range binds {
		b[i] = C.cc_binding{buffer: C.cc_handle(v.Buf.h), offset: C.uint64_t(v.Offset), size: C.uint64_t(v.Size)}
	}
	return handle(C.cc_group_new(n.d, C.cc_handle(layout), C.cc_handle(params), unsafe.SliceData(b), C.size_t(len(b))))
}

func (n *native) freeGroup(h handle) { C.cc_group_free(C.cc_handle(h)) }

// submit executes the commands in order; false means that the error sink is set
// and that nothing was executed.
func (n *native) submit(c []command) bool {
	ok := C.cc_submit(n.d, (*C.cc_command)(unsafe.Pointer(unsafe.SliceData(c))), C.size_t(len(c))) == 0
	runtime.KeepAlive(c)
	return ok
}

// invalid reports whether c alone is refused. Nothing is executed.
func (n *native) invalid(c *command) bool {
	return C.cc_check(n.d, (*C.cc_command)(unsafe.Pointer(c))) != 0
}

func physicalMemory() int64 { return clampInt64(uint64(C.cc_physical_memory())) }

func cbool(b bool) C.int {
	if b {
		return 1
	}
	return 0
}

// text decodes a terminated message of unknown encoding.
func text(b []byte) string {
	s, _, _ := strings.Cut(string(b), "\x00")
	return strings.ToValidUTF8(strings.TrimSpace(s), "?")
}

func clampInt64(u uint64) int64 { return int64(min(u, 1<<63-1)) }
