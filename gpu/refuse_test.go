package gpu

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func TestBudget(t *testing.T) {
	const budget = 1 << 20
	d := open(t, Options{MemoryBudget: budget})
	keep := d.NewBuffer(RoleWeights, "kept", 256<<10)
	tmp := d.NewBuffer(RoleGradients, "dropped", 600<<10)
	d.Zero(tmp.view())
	tmp.Release()
	// The released bytes are reclaimed when they are needed.
	next := d.NewBuffer(RoleActivations, "next", 500<<10)
	if d.Err() != nil || keep.h == 0 || next.h == 0 {
		t.Fatalf("within the budget: %v", d.Err())
	}
	m := d.Memory()
	if m.Budget != budget || m.Peak > budget || m.Roles[RoleGradients].Peak != 600<<10 || m.Roles[RoleGradients].AtPeak != 600<<10 {
		t.Errorf("%+v", m)
	}
	d.ResetPeak()
	if m := d.Memory(); m.Peak != m.Current || m.Roles[RoleActivations].AtPeak != 500<<10 || m.Roles[RoleGradients].Peak != 0 {
		t.Errorf("after ResetPeak: %+v", m)
	}
	b := d.NewBuffer(RoleOptimizer, "moments", 512<<10)
	if b == nil || b.h != 0 || b.Size() != 512<<10 {
		t.Fatalf("refused buffer is %+v, want inert", b)
	}
	b.Release()
	err := d.Err()
	if !errors.Is(err, ErrOutOfMemory) {
		t.Fatalf("error %v, want ErrOutOfMemory", err)
	}
	for _, want := range []string{"moments", "optimizer", "524288", "1048576", "[device] memory"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q lacks %q", err, want)
		}
	}
}

// TestUploadWithinBudget: staging memory of a large write counts, and is bounded.
func TestUploadWithinBudget(t *testing.T) {
	d := open(t, Options{MemoryBudget: 41 << 20})
	b := d.NewBuffer(RoleWeights, "w", 40<<20)
	data := make([]byte, 40<<20)
	for i := range data {
		data[i] = byte(i >> 12)
	}
	d.Write(b.view(), data)
	if err := d.Sync(); err != nil {
		t.Fatal(err)
	}
	if m := d.Memory(); m.Peak > m.Budget || m.Roles[RoleStaging].Current > 64<<10 {
		t.Errorf("%+v", m)
	}
	got, err := d.Read(View{Buf: b, Offset: 39 << 20, Size: 4096}).Wait()
	if err != nil || got[4095] != data[39<<20+4095] {
		t.Errorf("read %v, %v", got[4095], err)
	}
}

// TestReadWithinBudget: a checkpoint reads tensors of any size with what the run
// has left of the budget.
func TestReadWithinBudget(t *testing.T) {
	const size = 40<<20 + 52
	data := make([]byte, size)
	for i := range data {
		data[i] = byte(i>>12 ^ i)
	}
	for _, left := range []int64{128 << 20, 3 << 20, 700 << 10, 5000, 100} {
		// The device's own parameters take arenaSlots*slotBytes.
		d := open(t, Options{MemoryBudget: size + arenaSlots*slotBytes + left})
		b := d.NewBuffer(RoleWeights, "w", size)
		for at := int64(0); at < size && left >= 64<<10; at += 512 << 10 {
			n := min(512<<10, size-at)
			d.Write(View{b, at, n}, data[at:at+n])
			d.Sync()
		}
		view := View{Buf: b, Offset: 4, Size: size - 8}
		if left < 64<<10 { // too little to upload, and slow in pieces of 4 KiB
			view.Size = 256 << 10
			clear(data)
		}
		got, err := d.Read(view).Wait()
		if left == 100 {
			if !errors.Is(err, ErrOutOfMemory) {
				t.Errorf("%d bytes left: error %v, want ErrOutOfMemory", left, err)
			}
			continue
		}
		if err != nil || !bytes.Equal(got, data[4:4+view.Size]) {
			t.Errorf("%d bytes left: %d bytes, %v", left, len(got), err)
		}
		if m := d.Memory(); m.Peak > m.Budget || m.Roles[RoleStaging].Peak > 2*ReadPiece {
			t.Errorf("%d bytes left: %+v", left, m)
		}
	}
}

// refusals are programs that the driver would answer with an abort or a wrong
// result. Each must leave a Go error that contains want, and a living process.
var refusals = []struct {
	name, want string
	do         func(d *Device, k *Kernel, b *Buffer)
}{
	{"no kernel", "no kernel", func(d *Device, k *Kernel, b *Buffer) { d.Run(Dispatch{}) }},
	{"too many groups", "affine", func(d *Device, k *Kernel, b *Buffer) {
		d.Run(Dispatch{Kernel: k, Params: words(1, 1, 1), Binds: []View{b.view()}, Groups: [3]uint32{70000, 1, 1}})
	}},
	{"zero groups in y", "at least 1", func(d *Device, k *Kernel, b *Buffer) {
		d.Run(Dispatch{Kernel: k, Params: words(1, 1, 1), Binds: []View{b.view()}, Groups: [3]uint32{7}})
	}},
	{"binding count", "1", func(d *Device, k *Kernel, b *Buffer) {
		d.Run(Dispatch{Kernel: k, Params: words(1, 1, 1), Groups: [3]uint32{1, 1, 1}})
	}},
	{"range", "affine", func(d *Device, k *Kernel, b *Buffer) {
		d.Run(Dispatch{Kernel: k, Binds: []View{{b, 256, b.size}}, Groups: [3]uint32{1, 1, 1}})
	}},
	{"range overflow", "affine", func(d *Device, k *Kernel, b *Buffer) {
		d.Run(Dispatch{Kernel: k, Binds: []View{{b, 1<<63 - 256, 512}}, Groups: [3]uint32{1, 1, 1}})
	}},
	{"alignment", "multiple of 256", func(d *Device, k *Kernel, b *Buffer) {
		d.Run(Dispatch{Kernel: k, Binds: []View{{b, 64, 256}}, Groups: [3]uint32{1, 1, 1}})
	}},
	{"empty binding", "at least 4", func(d *Device, k *Kernel, b *Buffer) {
		d.Run(Dispatch{Kernel: k, Binds: []View{{b, 256, 0}}, Groups: [3]uint32{1, 1, 1}})
	}},
	{"no buffer", "no buffer", func(d *Device, k *Kernel, b *Buffer) {
		d.Run(Dispatch{Kernel: k, Binds: []View{{}}, Groups: [3]uint32{1, 1, 1}})
	}},
	{"parameters", "300 bytes", func(d *Device, k *Kernel, b *Buffer) {
		d.Run(Dispatch{Kernel: k, Params: make([]byte, 300), Binds: []View{b.view()}, Groups: [3]uint32{1, 1, 1}})
	}},
	{"released buffer", "released", func(d *Device, k *Kernel, b *Buffer) {
		b.Release()
		d.Run(Dispatch{Kernel: k, Binds: []View{b.view()}, Groups: [3]uint32{1, 1, 1}})
	}},
	{"read and read_write", "alias: bindings 1 and 2", func(d *Device, _ *Kernel, b *Buffer) {
		d.Run(Dispatch{Kernel: d.NewKernel("alias", pairWGSL), Binds: []View{{b, 0, 256}, {b, 256, 256}}, Groups: [3]uint32{1, 1, 1}})
	}},
	{"overlapping writes", "overlapping", func(d *Device, _ *Kernel, b *Buffer) {
		k := d.NewKernel("alias", strings.Replace(pairWGSL, "storage, read>", "storage, read_write>", 1))
		d.Run(Dispatch{Kernel: k, Binds: []View{{b, 0, 512}, {b, 256, 256}}, Groups: [3]uint32{1, 1, 1}})
	}},
	{"refused by the driver only", "kernel big", func(d *Device, k *Kernel, b *Buffer) {
		big := d.NewKernel("big", `
struct Params { n: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> x: array<array<u32, 100>>;
@compute @workgroup_size(1) fn main() { x[0][99] = p.n; }`)
		affine(d, k, b, 1, 1)
		d.Run(Dispatch{Kernel: big, Binds: []View{{b, 0, 256}}, Groups: [3]uint32{1, 1, 1}})
		affine(d, k, b, 1, 1)
		d.Flush()
	}},
	{"bad WGSL", "kernel broken", func(d *Device, k *Kernel, b *Buffer) {
		if d.NewKernel("broken", "@compute @workgroup_size(1) fn main() { let x: u32 = 1.5; }") != nil {
			panic("a kernel came out")
		}
	}},
	{"no main", "kernel nomain", func(d *Device, k *Kernel, b *Buffer) {
		d.NewKernel("nomain", "@compute @workgroup_size(1) fn other() { }")
	}},
	{"binding gap", "numbered", func(d *Device, k *Kernel, b *Buffer) {
		d.NewKernel("gap", strings.Replace(addWGSL, "@binding(1)", "@binding(2)", 1))
	}},
	{"workgroup too large", "kernel wide", func(d *Device, k *Kernel, b *Buffer) {
		d.NewKernel("wide", strings.Replace(addWGSL, "(64)", "(4096)", 1))
	}},
	{"copy within one buffer", "copy", func(d *Device, k *Kernel, b *Buffer) { d.Copy(View{b, 0, 256}, View{b, 256, 256}) }},
	{"copy sizes", "copy", func(d *Device, k *Kernel, b *Buffer) {
		d.Copy(d.NewBuffer(RoleScratch, "c", 64).view(), View{b, 0, 128})
	}},
	{"write range", "write", func(d *Device, k *Kernel, b *Buffer) { d.Write(View{b, 0, 8}, make([]byte, 12)) }},
	{"write alignment", "write", func(d *Device, k *Kernel, b *Buffer) { d.Write(b.view(), make([]byte, 3)) }},
	{"zero range", "zero", func(d *Device, k *Kernel, b *Buffer) { d.Zero(View{b, -4, 8}) }},
	{"read released", "read", func(d *Device, k *Kernel, b *Buffer) { b.Release(); d.Read(b.view()) }},
	{"buffer limit", "largest buffer", func(d *Device, k *Kernel, b *Buffer) { d.NewBuffer(RoleScratch, "huge", 1<<40) }},
	{"negative size", "allocate", func(d *Device, k *Kernel, b *Buffer) { d.NewBuffer(RoleScratch, "neg", -1) }},
	{"closed", "closed", func(d *Device, k *Kernel, b *Buffer) {
		d.Close()
		d.NewBuffer(RoleScratch, "late", 4).Release()
		b.Release()
		d.Sync()
	}},
}

// pairWGSL reads a and writes b.
const pairWGSL = `
@group(0) @binding(1) var<storage, read> a: array<u32>;
@group(0) @binding(2) var<storage, read_write> b: array<u32>;
@compute @workgroup_size(1) fn main() { b[0] = a[0]; }`

func TestRefusals(t *testing.T) {
	for _, c := range refusals {
		t.Run(c.name, func(t *testing.T) {
			d := open(t, Options{})
			k := d.NewKernel("affine", addWGSL)
			b := d.NewBuffer(RoleScratch, "x", 1024)
			c.do(d, k, b)
			err := d.Err()
			if err == nil || !strings.HasPrefix(err.Error(), "gpu: ") || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error %v, want one with %q", err, c.want)
			}
			t.Log(err)
			if !errors.Is(err, ErrDevice) {
				t.Error("ErrDevice is not in the chain")
			}
			// After the first error everything is a no-op that keeps it.
			d.Run(Dispatch{Kernel: k})
			d.Write(b.view(), words(1))
			if _, e := d.Read(b.view()).Wait(); !errors.Is(e, err) || d.Sync() != err || d.NewKernel("k", addWGSL) != nil {
				t.Errorf("the sticky error did not stick: %v", e)
			}
		})
	}
}

func TestSpecLimits(t *testing.T) {
	d := open(t, Options{SpecLimits: true})
	if d.Info().Limits != specLimits {
		t.Errorf("%+v", d.Info().Limits)
	}
	k := d.NewKernel("affine", addWGSL)
	b := d.NewBuffer(RoleScratch, "x", 256)
	affine(d, k, b, 1, 7)
	if got := readWords(t, d.Read(b.view())); got[63] != 7 {
		t.Errorf("%v", got)
	}
	if d.NewKernel("wide", strings.Replace(addWGSL, "(64)", "(512)", 1)) != nil || d.Err() == nil {
		t.Error("512 invocations per workgroup passed")
	}
	d = open(t, Options{SpecLimits: true})
	if d.NewBuffer(RoleScratch, "large", 257<<20); d.Err() == nil {
		t.Error("a buffer of 257 MiB passed")
	}
}

func TestAdapterChoice(t *testing.T) {
	open(t, Options{}) // skips without an adapter
	as, err := Adapters()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range as {
		if a.Name == "" || a.Limits.MaxBufferSize <= 0 || a.Limits.MinStorageAlign > 256 {
			t.Errorf("%+v", a)
		}
	}
	for _, name := range []string{"0", strings.ToUpper(as[0].Name[:4])} {
		d, err := Open(Options{Adapter: name})
		if err != nil {
			t.Fatal(err)
		}
		d.Close()
	}
	if _, err := Open(Options{Adapter: "no such adapter"}); err == nil || !strings.Contains(err.Error(), as[0].Name) {
		t.Errorf("error %v, want the list of adapters", err)
	}
	if _, err := Open(Options{Backend: "cuda"}); err == nil || !strings.Contains(err.Error(), "vulkan") {
		t.Errorf("error %v, want the list of backends", err)
	}
	if _, err := Open(Options{MemoryBudget: -1}); err == nil {
		t.Error("a negative budget passed")
	}
}

func TestChoose(t *testing.T) {
	as := []AdapterInfo{{Index: 0, Name: "llvmpipe", Type: CPU}, {Index: 1, Name: "Intel Arc", Type: Integrated},
		{Index: 2, Name: "NVIDIA RTX 4090", Type: Discrete}, {Index: 3, Name: "NVIDIA H100", Type: Discrete}}
	for want, index := range map[string]int{"": 2, "1": 1, "h100": 3, "4090": 2, "LLVM": 0} {
		if i, err := choose(as, want); err != nil || i != index {
			t.Errorf("%q chose %d, %v; want %d", want, i, err, index)
		}
	}
	if i, err := choose(as[:1], ""); err != nil || i != 0 {
		t.Errorf("the only adapter: %d, %v", i, err)
	}
	if _, err := choose(nil, ""); !errors.Is(err, ErrNoAdapter) {
		t.Errorf("error %v, want ErrNoAdapter", err)
	}
	for goos, want := range map[string]string{"linux": "mesa-vulkan-drivers", "darwin": "Metal", "windows": "driver"} {
		if !strings.Contains(noAdapterText(goos, ""), want) {
			t.Errorf("%s: %s", goos, noAdapterText(goos, ""))
		}
	}
}

func TestShiftedAdapterFields(t *testing.T) {
	for _, c := range []struct {
		raw  rawAdapter
		want string
	}{
		{rawAdapter{vendor: "Mesa", device: "llvmpipe", description: "LLVM 15"}, "llvmpipe"},
		{rawAdapter{vendor: "0x10005", device: "0x0", description: "llvmpipe"}, "llvmpipe"},
		{rawAdapter{device: "\x01\x02", vendorID: 0x10de, deviceID: 1}, "unknown device 10de:0001"},
	} {
		if got := describe([]rawAdapter{c.raw})[0].Name; got != c.want {
			t.Errorf("%+v is named %q", c.raw, got)
		}
	}
}

func TestCPUWarning(t *testing.T) {
	if d := open(t, Options{}); d.Info().Type != CPU {
		t.Skip("a GPU is present")
	}
	var log []string
	d, err := Open(Options{Log: func(s string) { log = append(log, s) }})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if len(log) != 1 || !strings.Contains(log[0], d.Info().Name) {
		t.Errorf("log %q", log)
	}
}

// A kernel that may take long is named once, where a system may end it for that: a
// rasterizer is a program on the CPU.
func TestSlowDispatchIsNamed(t *testing.T) {
	for kind, want := range map[uint32]int{0: 1, 1: 1, 2: 0} { // discrete, integrated, CPU
		var log []string
		limits := Limits{4 << 30, 2<<30 - 4, 10, 32768, 1024, 65535, 256}
		d, err := openWith(dryDriver{rawAdapter{device: "card", backend: rawVulkan, kind: kind, limits: limits}},
			Options{Adapter: "0", MemoryBudget: 1 << 30, Log: func(s string) { log = append(log, s) }})
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		k, b := d.NewKernel("affine", addWGSL), d.NewBuffer(RoleScratch, "x", 256)
		log = nil // of opening
		for range 2 {
			d.Run(Dispatch{Kernel: k, Params: words(1, 1, 1), Binds: []View{b.view()}, Groups: [3]uint32{1, 1, 1}, Work: 1e15})
		}
		if d.Sync() != nil || len(log) != want || want > 0 && !strings.Contains(log[0], "affine") {
			t.Errorf("kind %d: log %q, want %d warnings naming the kernel", kind, log, want)
		}
	}
}
