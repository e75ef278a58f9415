//go:build cgo && !js

// Pipelines, bind groups and the encoding and submission of a list of commands.

#include "native_internal.h"

#include <stdlib.h>
#include <string.h>

static WGPUBindGroupLayout new_layout(cc_device *d, const char *name, const char *bindings, size_t n) {
	WGPUBindGroupLayoutEntry *e = calloc(n + 1, sizeof *e);
	WGPUBindGroupLayoutDescriptor desc = {0};
	WGPUBindGroupLayout layout;
	if (!e) return NULL;
	e[0].visibility = WGPUShaderStage_Compute;
	e[0].buffer.type = WGPUBufferBindingType_Uniform;
	e[0].buffer.hasDynamicOffset = 1;
	for (size_t i = 0; i < n; i++) {
		e[i + 1].binding = (uint32_t)(i + 1);
		e[i + 1].visibility = WGPUShaderStage_Compute;
		e[i + 1].buffer.type =
			bindings[i] == 'w' ? WGPUBufferBindingType_Storage : WGPUBufferBindingType_ReadOnlyStorage;
	}
	desc.label = name;
	desc.entryCount = n + 1;
	desc.entries = e;
	layout = wgpuDeviceCreateBindGroupLayout(d->device, &desc);
	free(e);
	return layout;
}

static WGPUComputePipeline new_pipeline(cc_device *d, const char *name, WGPUShaderModule module, WGPUBindGroupLayout layout) {
	WGPUPipelineLayoutDescriptor pl = {0};
	WGPUComputePipelineDescriptor desc = {0};
	pl.label = name;
	pl.bindGroupLayoutCount = 1;
	pl.bindGroupLayouts = &layout;
	WGPUPipelineLayout whole = wgpuDeviceCreatePipelineLayout(d->device, &pl);
	if (d->error == CC_ERROR_NONE) {
		desc.label = name;
		desc.layout = whole;
		desc.compute.module = module;
		desc.compute.entryPoint = "main";
		WGPUComputePipeline p = wgpuDeviceCreateComputePipeline(d->device, &desc);
		wgpuPipelineLayoutRelease(whole);
		return p;
	}
	if (whole) wgpuPipelineLayoutRelease(whole);
	return NULL;
}

int cc_kernel_new(cc_device *d, const char *name, const char *wgsl, const char *bindings, size_t n,
	cc_handle *pipeline, cc_handle *layout) {
	WGPUShaderModuleWGSLDescriptor text = {0};
	WGPUShaderModuleDescriptor desc = {0};
	WGPUBindGroupLayout l = NULL;
	WGPUComputePipeline p = NULL;
	if (cc_gone(d)) return 1;
	text.chain.sType = WGPUSType_ShaderModuleWGSLDescriptor;
	text.code = wgsl;
	desc.label = name;
	desc.nextInChain = &text.chain;
	WGPUShaderModule m = wgpuDeviceCreateShaderModule(d->device, &desc);
	if (d->error == CC_ERROR_NONE) l = new_layout(d, name, bindings, n);
	if (l && d->error == CC_ERROR_NONE) p = new_pipeline(d, name, m, l);
	if (m) wgpuShaderModuleRelease(m);
	if (d->error != CC_ERROR_NONE || !p) {
		if (p) wgpuComputePipelineRelease(p);
		if (l) wgpuBindGroupLayoutRelease(l);
		return 1;
	}
	*pipeline = (cc_handle)p;
	*layout = (cc_handle)l;
	return 0;
}

void cc_kernel_free(cc_handle pipeline, cc_handle layout) {
	wgpuComputePipelineRelease((WGPUComputePipeline)pipeline);
	wgpuBindGroupLayoutRelease((WGPUBindGroupLayout)layout);
}

cc_handle cc_group_new(cc_device *d, cc_handle layout, cc_handle params, const cc_binding *b, size_t n) {
	WGPUBindGroupEntry *e = calloc(n + 1, sizeof *e);
	WGPUBindGroupDescriptor desc = {0};
	if (!e) return 0;
	if (cc_gone(d)) {
		free(e);
		return 0;
	}
	e[0].buffer = (WGPUBuffer)params;
	e[0].size = 256;
	for (size_t i = 0; i < n; i++) {
		e[i + 1].binding = (uint32_t)(i + 1);
		e[i + 1].buffer = (WGPUBuffer)b[i].buffer;
		e[i + 1].offset = b[i].offset;
		e[i + 1].size = b[i].size;
	}
	desc.layout = (WGPUBindGroupLayout)layout;
	desc.entryCount = n + 1;
	desc.entries = e;
	WGPUBindGroup g = wgpuDeviceCreateBindGroup(d->device, &desc);
	free(e);
	if (g && d->error != CC_ERROR_NONE) {
		wgpuBindGroupRelease(g);
		g = NULL;
	}
	return (cc_handle)g;
}

void cc_group_free(cc_handle g) { wgpuBindGroupRelease((WGPUBindGroup)g); }

static void end_pass(WGPUComputePassEncoder *pass) {
	if (!*pass) return;
	wgpuComputePassEncoderEnd(*pass);
	wgpuComputePassEncoderRelease(*pass);
	*pass = NULL;
}

static void encode_other(WGPUCommandEncoder enc, const cc_command *c) {
	switch (c->kind) {
	case CC_COPY:
		wgpuCommandEncoderCopyBufferToBuffer(enc, (WGPUBuffer)c->a, c->a_offset, (WGPUBuffer)c->b, c->b_offset, c->size);
		break;
	case CC_CLEAR:
		wgpuCommandEncoderClearBuffer(enc, (WGPUBuffer)c->a, c->a_offset, c->size);
		break;
	case CC_TIMESTAMP:
		wgpuCommandEncoderWriteTimestamp(enc, (WGPUQuerySet)c->a, (uint32_t)c->a_offset);
		break;
	case CC_RESOLVE:
		wgpuCommandEncoderResolveQuerySet(enc, (WGPUQuerySet)c->a, (uint32_t)c->a_offset, (uint32_t)c->size,
			(WGPUBuffer)c->b, c->b_offset);
		break;
	}
}

// encode returns a finished command buffer, or NULL with the error recorded: an
// invalid one must not reach the queue, which would end the process.
static WGPUCommandBuffer encode(cc_device *d, const cc_command *c, size_t n) {
	WGPUCommandEncoder enc = wgpuDeviceCreateCommandEncoder(d->device, NULL);
	WGPUComputePassEncoder pass = NULL;
	cc_handle pipeline = 0;
	for (size_t i = 0; i < n; i++) {
		if (c[i].kind != CC_DISPATCH) {
			end_pass(&pass);
			encode_other(enc, &c[i]);
			continue;
		}
		if (!pass) {
			pass = wgpuCommandEncoderBeginComputePass(enc, NULL);
			pipeline = 0;
		}
		if (c[i].a != pipeline) {
			pipeline = c[i].a;
			wgpuComputePassEncoderSetPipeline(pass, (WGPUComputePipeline)pipeline);
		}
		uint32_t slot = (uint32_t)c[i].a_offset;
		wgpuComputePassEncoderSetBindGroup(pass, 0, (WGPUBindGroup)c[i].b, 1, &slot);
		wgpuComputePassEncoderDispatchWorkgroups(pass, c[i].x, c[i].y, c[i].z);
	}
	end_pass(&pass);
	if (d->error != CC_ERROR_NONE) {
		wgpuCommandEncoderRelease(enc);
		return NULL;
	}
	WGPUCommandBuffer buf = wgpuCommandEncoderFinish(enc, NULL);
	wgpuCommandEncoderRelease(enc);
	if (buf && d->error != CC_ERROR_NONE) {
		wgpuCommandBufferRelease(buf);
		return NULL;
	}
	return buf;
}

static void on_done(WGPUQueueWorkDoneStatus status, void *device) {
	(void)status;
	((cc_device *)device)->completed++;
}

int cc_submit(cc_device *d, const cc_command *c, size_t n) {
	WGPUCommandBuffer buf = NULL;
	if (cc_gone(d)) return 1;
	if (n > 0) {
		buf = encode(d, c, n);
		if (!buf) return 1;
	}
	wgpuQueueSubmit(d->queue, buf ? 1 : 0, &buf);
	if (buf) wgpuCommandBufferRelease(buf);
	wgpuQueueOnSubmittedWorkDone(d->queue, on_done, d);
	return d->error != CC_ERROR_NONE;
}

int cc_check(cc_device *d, const cc_command *c) {
	WGPUCommandBuffer buf = encode(d, c, 1);
	if (buf) wgpuCommandBufferRelease(buf);
	int bad = d->error != CC_ERROR_NONE;
	d->error = CC_ERROR_NONE;
	return bad;
}
