package gpu

import (
	"testing"
	"time"
)

// TestManyDispatches: parameters of one submit must not reach another, and the
// bind-group cache may overflow.
func TestManyDispatches(t *testing.T) {
	const n = maxCachedGroups + 500
	d := open(t, Options{})
	k := d.NewKernel("affine", addWGSL)
	b := d.NewBuffer(RoleScratch, "x", n*256)
	for i := range n {
		v := View{b, int64(i) * 256, 256}
		d.Run(Dispatch{Kernel: k, Params: words(64, 1, uint32(i+1)), Binds: []View{v}, Groups: [3]uint32{1, 1, 1}})
	}
	for i, v := range readWords(t, d.Read(b.view())) {
		if v != uint32(i/64+1) {
			t.Fatalf("word %d: %d, want %d", i, v, i/64+1)
		}
	}
	if len(d.groups) > maxCachedGroups {
		t.Errorf("%d bind groups are cached", len(d.groups))
	}
}

// TestMixedOrder interleaves all kinds of command on two buffers.
func TestMixedOrder(t *testing.T) {
	d := open(t, Options{})
	k := d.NewKernel("affine", addWGSL)
	a := d.NewBuffer(RoleScratch, "a", 256)
	b := d.NewBuffer(RoleScratch, "b", 256)
	for i := range uint32(30) {
		d.Zero(a.view())
		affine(d, k, a, 1, i)                // a = i
		d.Copy(b.view(), a.view())           // b = i
		d.Write(View{a, 0, 4}, words(100+i)) // a[0] = 100+i
		affine(d, k, b, 3, 0)                // b = 3i
		affine(d, k, a, 2, 1)                // a[0] = 201+2i, a[1] = 2i+1
		d.Write(View{b, 4, 4}, words(7))     // b[1] = 7
		ra, rb := d.Read(a.view()), d.Read(b.view())
		if v := readWords(t, rb); v[0] != 3*i || v[1] != 7 || v[63] != 3*i {
			t.Fatalf("round %d: b = %v", i, v)
		}
		if v := readWords(t, ra); v[0] != 201+2*i || v[1] != 2*i+1 {
			t.Fatalf("round %d: a = %v", i, v)
		}
	}
}

// TestNewBufferIsZero: also memory that was just released is zero when it comes back.
func TestNewBufferIsZero(t *testing.T) {
	d := open(t, Options{})
	k := d.NewKernel("affine", addWGSL)
	for range 5 {
		b := d.NewBuffer(RoleScratch, "x", 64<<10)
		for i, v := range readWords(t, d.Read(b.view())) {
			if v != 0 {
				t.Fatalf("word %d is %#x", i, v)
			}
		}
		affine(d, k, b, 1, 0xffffffff)
		b.Release()
	}
}

// TestSubmitsAreBounded: expensive dispatches do not share a submit.
func TestSubmitsAreBounded(t *testing.T) {
	d := open(t, Options{})
	k := d.NewKernel("affine", addWGSL)
	b := d.NewBuffer(RoleScratch, "x", 256)
	before := d.stream.submitted
	for range 10 {
		d.stream.pace.rate = 1e9
		d.Run(Dispatch{Kernel: k, Params: words(1, 1, 1), Binds: []View{b.view()}, Groups: [3]uint32{1, 1, 1}, Work: 20e6})
	}
	d.Flush()
	if n := d.stream.submitted - before; n != 5 { // two of 20 ms fit into 50 ms
		t.Errorf("10 dispatches of 20 ms made %d submits, want 5", n)
	}
}

func TestPaceLearns(t *testing.T) {
	const real = 5e9 // float operations per second
	for _, start := range []float64{1e6, 5e9, 1e13} {
		p := pace{rate: start}
		now := time.Now()
		for range 100 {
			work := min(max(p.rate*submitTarget.Seconds(), 1e6), 1e12)
			p.queue = append(p.queue, submit{now, load{work: work}})
			now = now.Add(time.Duration(work / real * 1e9))
			p.completed(1, now, true)
		}
		if p.rate < real/2 || p.rate > real*2 {
			t.Errorf("from %g the rate became %g, want %g", start, p.rate, real)
		}
	}
	// A completion that was only noticed late must not lower the rate.
	p := pace{rate: real}
	p.queue = append(p.queue, submit{time.Now().Add(-time.Hour), load{work: 1e9}})
	p.completed(1, time.Now(), false)
	if p.rate != real {
		t.Errorf("the rate became %g", p.rate)
	}
}

func BenchmarkDispatch(b *testing.B) {
	d := open(b, Options{})
	k := d.NewKernel("affine", addWGSL)
	x := d.NewBuffer(RoleScratch, "x", 1024)
	affine(d, k, x, 1, 1)
	if err := d.Sync(); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		affine(d, k, x, 1, 1)
	}
	if err := d.Sync(); err != nil {
		b.Fatal(err)
	}
}
