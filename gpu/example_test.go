package gpu_test

import (
	"encoding/binary"
	"fmt"
	"strings"

	"concord/gpu"
)

// The way of a kernel: open a device, compile, allocate, write, run, read. Errors are
// kept by the device and come out at Wait.
func Example() {
	dev, err := gpu.Open(gpu.Options{})
	if err != nil {
		fmt.Println(err) // says what to install
		return
	}
	defer dev.Close()
	double := dev.NewKernel("double", `
struct Params { n: u32, factor: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<u32>;
@group(0) @binding(2) var<storage, read_write> out: array<u32>;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x < p.n) { out[id.x] = x[id.x] * p.factor; }
}`)
	x := gpu.View{Buf: dev.NewBuffer(gpu.RoleData, "x", 16), Size: 16}
	out := gpu.View{Buf: dev.NewBuffer(gpu.RoleScratch, "out", 16), Size: 16}
	dev.Write(x, littleEndian(3, 5, 7, 9))
	dev.Run(gpu.Dispatch{Kernel: double, Params: littleEndian(4, 2), Binds: []gpu.View{x, out}, Groups: [3]uint32{1, 1, 1}})
	b, err := dev.Read(out).Wait()
	if err != nil {
		fmt.Println(err)
		return
	}
	for ; len(b) > 0; b = b[4:] {
		fmt.Println(binary.LittleEndian.Uint32(b))
	}
	// Output:
	// 6
	// 10
	// 14
	// 18
}

// The first error is kept, and names the buffer or the kernel; what is recorded after
// it does nothing.
func ExampleDevice_Err() {
	dev, err := gpu.Open(gpu.Options{MemoryBudget: 1 << 20})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer dev.Close()
	b := dev.NewBuffer(gpu.RoleWeights, "weights", 64<<20)
	dev.Zero(gpu.View{Buf: b, Size: 64 << 20})
	said, _, _ := strings.Cut(dev.Err().Error(), ";") // then the fix
	fmt.Println(said)
	// Output:
	// gpu: allocate "weights" (weights): out of GPU memory: 67108864 bytes asked, 16384 of 1048576 used
}

func littleEndian(v ...uint32) []byte {
	var b []byte
	for _, u := range v {
		b = binary.LittleEndian.AppendUint32(b, u)
	}
	return b
}
