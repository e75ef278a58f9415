// Shared by the C files of package gpu; not seen by Go.

#ifndef CONCORD_GPU_NATIVE_INTERNAL_H
#define CONCORD_GPU_NATIVE_INTERNAL_H

#include "native.h"
#include "wgpu_native/wgpu.h"

struct cc_device {
	WGPUDevice device;
	WGPUQueue queue;
	uint64_t completed; // submits whose work-done callback came
	int error;          // CC_ERROR_*, first since the last cc_take_error
	int lost;
	char message[CC_MESSAGE];
};

// cc_on_error is the uncaptured-error callback: it only records.
void cc_on_error(WGPUErrorType type, char const *message, void *device);
// cc_on_lost is the device-lost callback: it only records.
void cc_on_lost(WGPUDeviceLostReason reason, char const *message, void *device);
// cc_gone is true when d is lost, and then sees that the error sink says so: the
// library would end the process on the next call.
int cc_gone(cc_device *d);
// cc_copy_text copies at most n-1 bytes and terminates; a null source gives "".
void cc_copy_text(char *dst, size_t n, const char *src);

#endif
