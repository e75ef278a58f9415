//go:build cgo && !js

package gpu

// This file is the driver of wgpu-native: with the native_*.c files the only one that
// knows cgo.

/*
#cgo CFLAGS: -I${SRCDIR}
#include <stdlib.h>
#include "native.h"
*/
import "C"

import (
	"fmt"
	"runtime"
	"strings"
	"unsafe"

	_ "github.com/cogentcore/webgpu/wgpu" // links the static wgpu-native library
)

// The two layouts must have one size, or this does not compile.
var _ [unsafe.Sizeof(command{})]byte = [unsafe.Sizeof(C.cc_command{})]byte{}

// defaultDriver is the driver of Open and Adapters.
var defaultDriver driver = nativeDriver{}

// driverMissing says why no adapter can be found, or nothing.
const driverMissing = ""

type nativeDriver struct{}

func (nativeDriver) list(backends uint32) driverAdapters {
	C.cc_silence()
	defer quietDisplay()()
	return adapterList{C.cc_list_new(C.uint32_t(backends))}
}

func (nativeDriver) physicalMemory() int64 { return clampInt64(uint64(C.cc_physical_memory())) }

// adapterList is one enumeration.
type adapterList struct{ l *C.cc_list }

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

func (l adapterList) open(i int, spec, timestamps bool) (driverDevice, string) {
	if n := int(C.cc_list_count(l.l)); i < 0 || i >= n {
		return nil, fmt.Sprintf("there is no adapter %d of %d", i, n)
	}
	msg := make([]byte, C.CC_MESSAGE)
	d := C.cc_list_open(l.l, C.size_t(i), cbool(spec), cbool(timestamps), (*C.char)(unsafe.Pointer(&msg[0])), C.size_t(len(msg)))
	if d == nil {
		return nil, text(msg)
	}
	return &native{d: d}, ""
}

// native is an open device.
type native struct{ d *C.cc_device }

func (n *native) close() { C.cc_close(n.d) }

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

// ticket is a cc_map_start under way.
type ticket struct{ p unsafe.Pointer }

func (n *native) mapStart(h handle, size int64) mapping {
	p := C.cc_map_start(n.d, C.cc_handle(h), C.size_t(size))
	if p == nil {
		return nil
	}
	return ticket{p}
}

func (m ticket) ready() bool  { return C.cc_map_state(m.p) == C.CC_MAP_READY }
func (m ticket) failed() bool { return C.cc_map_state(m.p) == C.CC_MAP_FAILED }

func (n *native) mapFinish(h handle, m mapping, dst []byte) {
	var p unsafe.Pointer
	if len(dst) > 0 {
		p = unsafe.Pointer(&dst[0])
	}
	C.cc_map_finish(C.cc_handle(h), m.(ticket).p, p, C.size_t(len(dst)))
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

func (n *native) newGroup(layout, params handle, binds []binding) handle {
	b := make([]C.cc_binding, len(binds))
	for i, v := range binds {
		b[i] = C.cc_binding{buffer: C.cc_handle(v.buffer), offset: C.uint64_t(v.offset), size: C.uint64_t(v.size)}
	}
	return handle(C.cc_group_new(n.d, C.cc_handle(layout), C.cc_handle(params), unsafe.SliceData(b), C.size_t(len(b))))
}

func (n *native) freeGroup(h handle) { C.cc_group_free(C.cc_handle(h)) }

func (n *native) submit(c []command) bool {
	ok := C.cc_submit(n.d, (*C.cc_command)(unsafe.Pointer(unsafe.SliceData(c))), C.size_t(len(c))) == 0
	runtime.KeepAlive(c)
	return ok
}

func (n *native) invalid(c *command) bool {
	return C.cc_check(n.d, (*C.cc_command)(unsafe.Pointer(c))) != 0
}

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
