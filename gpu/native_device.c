//go:build cgo && !js

// Error sink, buffers, query sets and buffer mapping of one device.

#include "native_internal.h"

#include <stdlib.h>
#include <string.h>

void cc_copy_text(char *dst, size_t n, const char *src) {
	if (n == 0) return;
	dst[0] = 0;
	if (!src) return;
	strncpy(dst, src, n - 1);
	dst[n - 1] = 0;
}

void cc_on_error(WGPUErrorType type, char const *message, void *device) {
	cc_device *d = device;
	if (d->error != CC_ERROR_NONE) return; // the first one is the cause
	// Calls on a device that the library knows as lost fail in validation.
	if (message && strstr(message, "device is lost")) type = WGPUErrorType_DeviceLost;
	switch (type) {
	case WGPUErrorType_OutOfMemory: d->error = CC_ERROR_MEMORY; break;
	case WGPUErrorType_Validation: d->error = CC_ERROR_VALIDATION; break;
	case WGPUErrorType_DeviceLost: d->error = CC_ERROR_LOST; d->lost = 1; break;
	default: d->error = CC_ERROR_OTHER; break;
	}
	cc_copy_text(d->message, sizeof d->message, message);
}

void cc_on_lost(WGPUDeviceLostReason reason, char const *message, void *device) {
	(void)reason;
	cc_device *d = device;
	d->lost = 1;
	if (d->error != CC_ERROR_NONE) return;
	d->error = CC_ERROR_LOST;
	cc_copy_text(d->message, sizeof d->message, message);
}

int cc_gone(cc_device *d) {
	if (d->lost && d->error == CC_ERROR_NONE) d->error = CC_ERROR_LOST;
	return d->lost;
}

// cc_close leaves d itself allocated when the library has not yet delivered the
// device-lost callback that refers to it: a few KiB against a use after free.
void cc_close(cc_device *d) {
	d->lost = 0;
	wgpuQueueRelease(d->queue);
	wgpuDeviceRelease(d->device);
	if (d->lost) free(d);
}

int cc_has_error(const cc_device *d) { return d->error != CC_ERROR_NONE; }

int cc_take_error(cc_device *d, char *message, size_t n) {
	int e = d->error;
	if (e != CC_ERROR_NONE) cc_copy_text(message, n, d->message);
	d->error = CC_ERROR_NONE;
	return e;
}

int cc_lost(const cc_device *d) { return d->lost; }

// cc_lose says what the driver says of a lost device. wgpuDeviceDestroy would be the
// real thing, but does nothing in this library.
void cc_lose(cc_device *d, const char *validation) {
	if (validation) cc_on_error(WGPUErrorType_Validation, validation, d);
	else cc_on_lost(WGPUDeviceLostReason_Unknown, "provoked", d);
}

// Never wait = true: this library gives up after 5 s and reports success.
// A lost device is not polled: the library ends the process on the driver's answer.
void cc_poll(cc_device *d) {
	if (!d->lost) wgpuDevicePoll(d->device, 0, NULL);
}

uint64_t cc_completed(const cc_device *d) { return d->completed; }

cc_handle cc_buffer_new(cc_device *d, uint64_t size, uint32_t usage, const char *label) {
	WGPUBufferDescriptor desc = {0};
	if (cc_gone(d)) return 0;
	desc.label = label;
	desc.usage = usage;
	desc.size = size;
	WGPUBuffer b = wgpuDeviceCreateBuffer(d->device, &desc);
	if (b && d->error != CC_ERROR_NONE) {
		wgpuBufferRelease(b);
		b = NULL;
	}
	return (cc_handle)b;
}

void cc_buffer_free(cc_handle b) { wgpuBufferRelease((WGPUBuffer)b); }

void cc_buffer_write(cc_device *d, cc_handle b, uint64_t offset, const void *data, size_t n) {
	if (cc_gone(d)) return;
	wgpuQueueWriteBuffer(d->queue, (WGPUBuffer)b, offset, data, n);
}

cc_handle cc_queries_new(cc_device *d, uint32_t count) {
	WGPUQuerySetDescriptor desc = {0};
	if (cc_gone(d)) return 0;
	desc.type = WGPUQueryType_Timestamp;
	desc.count = count;
	WGPUQuerySet q = wgpuDeviceCreateQuerySet(d->device, &desc);
	if (q && d->error != CC_ERROR_NONE) {
		wgpuQuerySetRelease(q);
		q = NULL;
	}
	return (cc_handle)q;
}

void cc_queries_free(cc_handle q) { wgpuQuerySetRelease((WGPUQuerySet)q); }

// A ticket given up before it was ready belongs to the callback, which still comes.
enum { GIVEN_UP = 100 };

static void on_map(WGPUBufferMapAsyncStatus status, void *ticket) {
	if (*(int *)ticket == GIVEN_UP) {
		free(ticket);
		return;
	}
	*(int *)ticket = status == WGPUBufferMapAsyncStatus_Success ? CC_MAP_READY : CC_MAP_FAILED;
}

void *cc_map_start(cc_device *d, cc_handle b, size_t n) {
	if (cc_gone(d)) return NULL;
	int *ticket = calloc(1, sizeof *ticket);
	if (ticket) wgpuBufferMapAsync((WGPUBuffer)b, WGPUMapMode_Read, 0, n, on_map, ticket);
	return ticket;
}

int cc_map_state(const void *ticket) { return *(const int *)ticket; }

void cc_map_finish(cc_handle b, void *ticket, void *dst, size_t n) {
	if (*(int *)ticket == CC_MAP_PENDING) {
		*(int *)ticket = GIVEN_UP;
		wgpuBufferUnmap((WGPUBuffer)b);
		return;
	}
	if (*(int *)ticket == CC_MAP_READY) {
		const void *src = wgpuBufferGetConstMappedRange((WGPUBuffer)b, 0, n);
		if (src && dst) memcpy(dst, src, n);
		wgpuBufferUnmap((WGPUBuffer)b);
	}
	free(ticket);
}
