package gpu

import (
	"testing"
	"time"
)

// burnWGSL makes every invocation step a linear congruential generator
// p.n * 16 times.
const burnWGSL = `
struct Params { n: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> x: array<u32>;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    var v = x[id.x];
    for (var i = 0u; i < p.n; i++) {
        v = v * 1664525u + 1013904223u; v = v * 1664525u + 1013904223u;
        v = v * 1664525u + 1013904223u; v = v * 1664525u + 1013904223u;
        v = v * 1664525u + 1013904223u; v = v * 1664525u + 1013904223u;
        v = v * 1664525u + 1013904223u; v = v * 1664525u + 1013904223u;
        v = v * 1664525u + 1013904223u; v = v * 1664525u + 1013904223u;
        v = v * 1664525u + 1013904223u; v = v * 1664525u + 1013904223u;
        v = v * 1664525u + 1013904223u; v = v * 1664525u + 1013904223u;
        v = v * 1664525u + 1013904223u; v = v * 1664525u + 1013904223u;
    }
    x[id.x] = v;
}`

func burn(d *Device, k *Kernel, b *Buffer, n uint32) {
	d.Run(Dispatch{Kernel: k, Params: words(n), Binds: []View{b.view()}, Groups: [3]uint32{uint32(b.size / 256), 1, 1}})
}

func TestSpans(t *testing.T) {
	for _, wall := range []bool{false, true} {
		d := open(t, Options{})
		if wall {
			d.info.Timestamps = false
		} else if !d.Info().Timestamps {
			t.Log("no timestamps on this adapter")
			continue
		}
		k := d.NewKernel("burn", burnWGSL)
		b := d.NewBuffer(RoleScratch, "x", 64*256)
		burn(d, k, b, 10) // the driver compiles on first use
		if err := d.Sync(); err != nil {
			t.Fatal(err)
		}
		if len(d.Spans()) != 0 {
			t.Error("spans while profiling is off")
		}
		d.Profile(true)
		begin := time.Now()
		for range 10 {
			d.Span("short")
			burn(d, k, b, 300)
			d.Span("long")
			burn(d, k, b, 3000)
		}
		d.Span("idle")
		got := d.Spans()
		all := time.Since(begin)
		if d.Err() != nil {
			t.Fatal(d.Err())
		}
		t.Logf("wall=%v spans %v of %v, tick %v", wall, got, all, d.prof.clock.scale)
		if s, l := got["short"], got["long"]; s <= 0 || l < 2*s || s+l > all*11/10 {
			t.Errorf("wall=%v: short %v, long %v, in all %v", wall, s, l, all)
		}
		d.Profile(false)
		if n := len(d.Spans()); n != 0 {
			t.Errorf("%d spans after Profile(false)", n)
		}
	}
}

func TestSpansBeyondOneQuerySet(t *testing.T) {
	d := open(t, Options{})
	k := d.NewKernel("burn", burnWGSL)
	b := d.NewBuffer(RoleScratch, "x", 256)
	d.Profile(true)
	for range 1100 {
		d.Span("a")
	}
	burn(d, k, b, 1000)
	if got := d.Spans(); d.Err() != nil || got["a"] <= 0 {
		t.Errorf("%v, %v", got, d.Err())
	}
}

func TestCopyBandwidth(t *testing.T) {
	d := open(t, Options{MemoryBudget: 64 << 20})
	bw, err := d.CopyBandwidth()
	if err != nil || bw < 1e8 {
		t.Fatalf("%v bytes/s, %v", bw, err)
	}
	t.Logf("%.1f GB/s", bw/1e9)
	if m := d.Memory(); m.Roles[RoleScratch].Current != 0 {
		t.Errorf("scratch left: %v", m)
	}
}
