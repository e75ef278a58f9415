//go:build cgo && !js

// Enumerates adapters and opens a device with limits that are set to the last field.

#include "native_internal.h"

#include <stdlib.h>
#include <string.h>

struct cc_list {
	WGPUInstance instance;
	size_t count;
	WGPUAdapter *adapters;
};

cc_list *cc_list_new(uint32_t backends) {
	WGPUInstanceExtras extras = {0};
	WGPUInstanceDescriptor desc = {0};
	WGPUInstanceEnumerateAdapterOptions options = {0};
	cc_list *l = calloc(1, sizeof *l);
	if (!l) return NULL;
	extras.chain.sType = (WGPUSType)WGPUSType_InstanceExtras;
	extras.backends = backends;
	desc.nextInChain = &extras.chain;
	options.backends = backends;
	l->instance = wgpuCreateInstance(&desc);
	if (!l->instance) return l;
	size_t n = wgpuInstanceEnumerateAdapters(l->instance, &options, NULL);
	if (n == 0) return l;
	l->adapters = calloc(n, sizeof *l->adapters);
	if (!l->adapters) return l;
	l->count = wgpuInstanceEnumerateAdapters(l->instance, &options, l->adapters);
	return l;
}

size_t cc_list_count(const cc_list *l) { return l ? l->count : 0; }

void cc_list_info(const cc_list *l, size_t i, cc_adapter_info *out) {
	WGPUAdapter a = l->adapters[i];
	WGPUAdapterInfo info = {0};
	WGPUSupportedLimits limits = {0};
	memset(out, 0, sizeof *out);
	wgpuAdapterGetInfo(a, &info);
	cc_copy_text(out->vendor, CC_TEXT, info.vendor);
	cc_copy_text(out->architecture, CC_TEXT, info.architecture);
	cc_copy_text(out->device, CC_TEXT, info.device);
	cc_copy_text(out->description, CC_TEXT, info.description);
	out->backend = (uint32_t)info.backendType;
	out->type = (uint32_t)info.adapterType;
	out->vendor_id = info.vendorID;
	out->device_id = info.deviceID;
	wgpuAdapterInfoFreeMembers(info);
	wgpuAdapterGetLimits(a, &limits);
	out->max_buffer = limits.limits.maxBufferSize;
	out->max_storage_binding = limits.limits.maxStorageBufferBindingSize;
	out->storage_buffers = limits.limits.maxStorageBuffersPerShaderStage;
	out->workgroup_storage = limits.limits.maxComputeWorkgroupStorageSize;
	out->invocations = limits.limits.maxComputeInvocationsPerWorkgroup;
	out->groups = limits.limits.maxComputeWorkgroupsPerDimension;
	out->storage_align = limits.limits.minStorageBufferOffsetAlignment;

	size_t n = wgpuAdapterEnumerateFeatures(a, NULL);
	WGPUFeatureName *f = n ? calloc(n, sizeof *f) : NULL;
	if (f) {
		wgpuAdapterEnumerateFeatures(a, f);
		for (size_t k = 0; k < n && k < CC_FEATURES; k++) out->features[out->feature_count++] = (uint32_t)f[k];
		free(f);
	}
}

// spec_limits are WebGPU's guaranteed limits; the graphics limits come from the adapter.
static void set_spec_limits(WGPULimits *l) {
	l->maxBindGroups = 4;
	l->maxBindingsPerBindGroup = 1000;
	l->maxDynamicUniformBuffersPerPipelineLayout = 8;
	l->maxDynamicStorageBuffersPerPipelineLayout = 4;
	l->maxStorageBuffersPerShaderStage = 8;
	l->maxUniformBuffersPerShaderStage = 12;
	l->maxUniformBufferBindingSize = 65536;
	l->maxStorageBufferBindingSize = 134217728;
	l->minUniformBufferOffsetAlignment = 256;
	l->minStorageBufferOffsetAlignment = 256;
	l->maxBufferSize = 268435456;
	l->maxComputeWorkgroupStorageSize = 16384;
	l->maxComputeInvocationsPerWorkgroup = 256;
	l->maxComputeWorkgroupSizeX = 256;
	l->maxComputeWorkgroupSizeY = 256;
	l->maxComputeWorkgroupSizeZ = 64;
	l->maxComputeWorkgroupsPerDimension = 65535;
}

typedef struct {
	WGPUDevice device;
	int called;
	char *message;
	size_t n;
} open_result;

static void on_device(WGPURequestDeviceStatus status, WGPUDevice device, char const *message, void *user) {
	open_result *r = user;
	r->called = 1;
	if (status == WGPURequestDeviceStatus_Success) {
		r->device = device;
		return;
	}
	cc_copy_text(r->message, r->n, message ? message : "device request refused");
}

cc_device *cc_list_open(const cc_list *l, size_t i, int spec_limits, int timestamps, char *message, size_t n) {
	WGPUSupportedLimits have = {0};
	WGPURequiredLimitsExtras extras = {0};
	WGPURequiredLimits want = {0};
	WGPUDeviceDescriptor desc = {0};
	WGPUFeatureName features[1] = {WGPUFeatureName_TimestampQuery};
	open_result result = {0};
	result.message = message;
	result.n = n;
	cc_device *d = calloc(1, sizeof *d);
	if (!d) return NULL;

	wgpuAdapterGetLimits(l->adapters[i], &have);
	want.limits = have.limits;
	if (spec_limits) set_spec_limits(&want.limits);
	// Without these two the library reads uninitialised memory; DX12 then sizes a descriptor heap by it.
	extras.chain.sType = (WGPUSType)WGPUSType_RequiredLimitsExtras;
	extras.limits.maxPushConstantSize = 0;
	extras.limits.maxNonSamplerBindings = 1000000;
	want.nextInChain = &extras.chain;
	desc.label = "concord";
	desc.requiredLimits = &want;
	desc.requiredFeatures = features;
	desc.requiredFeatureCount = timestamps ? 1 : 0;
	desc.deviceLostCallback = cc_on_lost;
	desc.deviceLostUserdata = d;
	desc.uncapturedErrorCallbackInfo.callback = cc_on_error;
	desc.uncapturedErrorCallbackInfo.userdata = d;
	wgpuAdapterRequestDevice(l->adapters[i], &desc, on_device, &result);
	if (!result.device) {
		if (!result.called) cc_copy_text(message, n, "the driver did not answer the device request");
		free(d);
		return NULL;
	}
	d->device = result.device;
	d->queue = wgpuDeviceGetQueue(result.device);
	return d;
}

void cc_list_free(cc_list *l) {
	if (!l) return;
	for (size_t i = 0; i < l->count; i++) wgpuAdapterRelease(l->adapters[i]);
	free(l->adapters);
	if (l->instance) wgpuInstanceRelease(l->instance);
	free(l);
}
