// The C side of package gpu: a small layer over wgpu-native (webgpu.h) that owns
// every callback, so that no Go pointer or Go handle is ever given to the driver,
// and that never blocks: waiting is done in Go. Driver objects cross to Go as
// integers (cc_handle). A function that can fail records the driver's message in
// the device's error sink; cc_take_error fetches it. Calls on one device must not
// overlap; package gpu holds a mutex.

#ifndef CONCORD_GPU_NATIVE_H
#define CONCORD_GPU_NATIVE_H

#include <stddef.h>
#include <stdint.h>

typedef uintptr_t cc_handle; // a driver object, 0 = none

enum { CC_TEXT = 256, CC_FEATURES = 64, CC_MESSAGE = 8192 };

// What is known of an adapter.
typedef struct {
	char vendor[CC_TEXT], architecture[CC_TEXT], device[CC_TEXT], description[CC_TEXT];
	uint32_t backend, type, vendor_id, device_id; // enums of webgpu.h
	uint64_t max_buffer, max_storage_binding;
	uint32_t storage_buffers, workgroup_storage, invocations, groups, storage_align;
	uint32_t feature_count, features[CC_FEATURES];
} cc_adapter_info;

// What cc_submit executes, in order. Consecutive dispatches share a compute pass.
enum { CC_DISPATCH, CC_COPY, CC_CLEAR, CC_TIMESTAMP, CC_RESOLVE };

typedef struct {
	uint64_t kind;
	cc_handle a, b;            // dispatch: pipeline, bind group; copy: source, destination;
	                           // clear: destination; timestamp: query set; resolve: query set, destination
	uint64_t a_offset, b_offset; // copy, clear: bytes; dispatch: a_offset = parameter slot's offset;
	                           // timestamp: a_offset = query; resolve: a_offset = first query
	uint64_t size;             // copy, clear: bytes; resolve: number of queries
	uint32_t x, y, z, pad;     // dispatch: workgroups
} cc_command;

typedef struct {
	cc_handle buffer;
	uint64_t offset, size;
} cc_binding;

typedef struct cc_list cc_list;     // the adapters of one enumeration
typedef struct cc_device cc_device; // a device, its queue and its error sink

enum { CC_ERROR_NONE, CC_ERROR_VALIDATION, CC_ERROR_MEMORY, CC_ERROR_LOST, CC_ERROR_OTHER };
enum { CC_MAP_PENDING, CC_MAP_READY, CC_MAP_FAILED };

// native_adapter.c
cc_list *cc_list_new(uint32_t backends);
size_t cc_list_count(const cc_list *l);
void cc_list_info(const cc_list *l, size_t i, cc_adapter_info *out);
cc_device *cc_list_open(const cc_list *l, size_t i, int spec_limits, int timestamps, char *message, size_t n);
void cc_list_free(cc_list *l);

// native_device.c
void cc_close(cc_device *d); // the queue must be idle
int cc_has_error(const cc_device *d);
int cc_take_error(cc_device *d, char *message, size_t n);
int cc_lost(const cc_device *d);
void cc_lose(cc_device *d, const char *validation); // for tests: reports a loss, or a validation error with this text
void cc_poll(cc_device *d);
uint64_t cc_completed(const cc_device *d);
cc_handle cc_buffer_new(cc_device *d, uint64_t size, uint32_t usage, const char *label);
void cc_buffer_free(cc_handle b);
void cc_buffer_write(cc_device *d, cc_handle b, uint64_t offset, const void *data, size_t n);
cc_handle cc_queries_new(cc_device *d, uint32_t count);
void cc_queries_free(cc_handle q);
void *cc_map_start(cc_device *d, cc_handle b, size_t n); // a ticket, free it with cc_map_finish
int cc_map_state(const void *ticket);
void cc_map_finish(cc_handle b, void *ticket, void *dst, size_t n); // copies n bytes when ready, unmaps

// native_stream.c
// bindings: access of bindings 1.., 'r' or 'w'
int cc_kernel_new(cc_device *d, const char *name, const char *wgsl, const char *bindings, size_t n,
	cc_handle *pipeline, cc_handle *layout);
void cc_kernel_free(cc_handle pipeline, cc_handle layout);
cc_handle cc_group_new(cc_device *d, cc_handle layout, cc_handle params, const cc_binding *b, size_t n);
void cc_group_free(cc_handle g);
int cc_submit(cc_device *d, const cc_command *c, size_t n);
int cc_check(cc_device *d, const cc_command *c); // encodes one command, never submits

// native_memory.c
uint64_t cc_physical_memory(void); // bytes, 0 = unknown
void cc_silence(void);

#endif
