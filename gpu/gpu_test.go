package gpu

import (
	"encoding/binary"
	"os"
	"testing"
)

// open opens the preferred adapter. Without one the test is skipped, but
// REQUIRE_GPU=1 (set by CI) makes that a failure.
func open(t testing.TB, o Options) *Device {
	t.Helper()
	if o.Adapter == "" {
		o.Adapter = os.Getenv("CONCORD_ADAPTER")
	}
	d, err := Open(o)
	if err != nil {
		if os.Getenv("REQUIRE_GPU") != "" {
			t.Fatalf("no GPU adapter: %v", err)
		}
		t.Skipf("no GPU adapter: %v", err)
	}
	t.Cleanup(d.Close)
	return d
}

// addWGSL is x[i] = x[i] * mul + add.
const addWGSL = `
struct Params { n: u32, mul: u32, add: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> x: array<u32>;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x < p.n) { x[id.x] = x[id.x] * p.mul + p.add; }
}`

func words(v ...uint32) []byte {
	var b []byte
	for _, u := range v {
		b = binary.LittleEndian.AppendUint32(b, u)
	}
	return b
}

func (b *Buffer) view() View { return View{Buf: b, Size: b.size} }

// affine dispatches addWGSL over the whole of b.
func affine(d *Device, k *Kernel, b *Buffer, mul, add uint32) {
	n := uint32(b.size / 4)
	d.Run(Dispatch{Kernel: k, Params: words(n, mul, add), Binds: []View{b.view()}, Groups: [3]uint32{(n + 63) / 64, 1, 1}})
}

func readWords(t testing.TB, r *Readback) []uint32 {
	t.Helper()
	b, err := r.Wait()
	if err != nil {
		t.Fatal(err)
	}
	out := make([]uint32, len(b)/4)
	for i := range out {
		out[i] = binary.LittleEndian.Uint32(b[4*i:])
	}
	return out
}

func TestProgramOrder(t *testing.T) {
	d := open(t, Options{})
	k := d.NewKernel("affine", addWGSL)
	b := d.NewBuffer(RoleScratch, "x", 1000*4)
	fill := make([]byte, 1000*4)
	var want []uint32
	var got []*Readback
	for i := range uint32(20) {
		for j := range 1000 {
			binary.LittleEndian.PutUint32(fill[4*j:], i)
		}
		d.Write(b.view(), fill)
		affine(d, k, b, 2, 1)
		affine(d, k, b, 3, 5)
		got = append(got, d.Read(View{Buf: b, Size: 4000}))
		want = append(want, (i*2+1)*3+5)
	}
	for i := len(got) - 1; i >= 0; i-- {
		for j, v := range readWords(t, got[i]) {
			if v != want[i] {
				t.Fatalf("read %d, word %d: %d, want %d", i, j, v, want[i])
			}
		}
	}
}
