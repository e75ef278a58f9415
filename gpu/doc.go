// Package gpu runs WGSL compute kernels on a GPU through WebGPU: adapters, one
// device, buffers, kernels, one command stream, readback. Start reading at Open and
// Device.Run.
//
// It knows bytes, not tensors; it has no textures, no second queue and no kernel of
// its own. The interface in driver.go is all that it needs of a driver. native.go and
// native_*.c implement it on wgpu-native, driver_none.go stands in for js/wasm and
// where there is no cgo; conformance_test.go is the test that another one has to pass.
//
// # Order and errors
//
// A device has one implicit command stream. Run, Write, Copy, Zero and Read take
// effect in the order of the calls; they record and return at once. Work is submitted
// when about 50 ms of it (predicted from the measured rate of earlier work and
// Dispatch.Work) or 64 dispatches are recorded, and by Flush, Read and Sync. When the
// GPU falls about 200 ms behind, recording waits, so memory stays flat.
//
// Errors are sticky, as in bufio.Writer: the first one is kept, later recording does
// nothing, and Err, Sync and Readback.Wait return it. Errors name the kernel or the
// buffer, and have ErrDevice in their chain. A Device with an error is closed, and
// another one opened.
//
// # Ownership and concurrency
//
// The caller owns each Buffer and releases them; a Kernel lives as long as its Device;
// Device.Close releases the rest and is idempotent. All methods may be called from
// any goroutine, but program order is only meaningful when one goroutine records.
// Readback.Wait lets others record while it waits; all other waits do not.
//
// # Memory
//
// Every allocation is checked against Options.MemoryBudget and the adapter's limits
// before the driver sees it, because a driver that runs out of memory may end the
// process, or on Linux appear to succeed. Released memory counts until the GPU is done
// with it. Staging memory of this package counts too (RoleStaging).
//
// # Traps of the library, and where they are contained
//
//   - Its blocking wait reports success after 5 s with the GPU still at work, and mapped
//     bytes are then stale: only non-blocking polls are used, with our own deadline
//     (wait.go, native_device.c).
//   - Its Go callbacks break when the garbage collector runs: all callbacks are C
//     functions that set fields (native_device.c, native_stream.c).
//   - An invalid command buffer at submit aborts the process: everything is validated
//     before it is recorded (stream.go, kernel.go, buffer.go), and an encoder with an error
//     is never submitted (native_stream.c).
//   - So does a call on a lost device: one known as lost, by the callback or by the text of
//     a validation error, gets no further work, and the sticky error is ErrDeviceLost
//     (Device.ok, cc_gone). A loss that shows first in the answer to a submit, a poll or an
//     allocation of memory cannot be caught, as the library panics inside of the call: the
//     process ends with SIGABRT, which Go turns into a trace and exit status 2, below the
//     library's line "Parent device is lost" or "The logical device has been lost". One
//     that shows first when a kernel is compiled is an ErrDeviceLost. Checkpoint often.
//   - Requested limits are half uninitialised through its Go API: native_adapter.c sets all.
//   - Names of adapters may sit in the wrong field: nameAndDriver in adapter.go.
//   - Upload memory is only freed after a submit: uploads are cut and submitted (transfer.go).
//   - Objects that are not released leak: each C function releases those that it creates.
//   - There is no tick length for timestamps: profile.go measures it.
//   - Long submits are killed by Windows and macOS: pace.go bounds the time of a submit. One
//     dispatch cannot be split here; Options.Log names a kernel that takes too long.
//   - Mesa's software rasterizers silently stop all loops of an invocation after 65,535
//     iterations: kernels stay below MaxLoopIterations.
//   - One buffer cannot be bound read and read_write in one dispatch, even in disjoint
//     ranges: Run refuses it by name.
//
// Not contained: WGSL is compiled by naga 0.19 (no override, enable, f16, subgroups), and
// shaders keep the bounds checks that the backend adds.
package gpu
