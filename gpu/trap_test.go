package gpu

import (
	"errors"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

// lcg is what burnWGSL does to a word with p.n = n, repeated times times: the affine
// map composed by squaring.
func lcg(v uint32, n int) uint32 {
	mul, add := uint32(1), uint32(0)
	m, a := uint32(1664525), uint32(1013904223)
	for n *= 16; n > 0; n >>= 1 {
		if n&1 != 0 {
			mul, add = mul*m, add*m+a
		}
		m, a = m*m, a*m+a
	}
	return v*mul + add
}

// TestReadAfterFiveSeconds guards against the library's own wait, which reports
// success and stale bytes after 5.000 s of GPU work.
func TestReadAfterFiveSeconds(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 6 s")
	}
	d := open(t, Options{})
	if d.Info().Type != CPU {
		t.Skip("a job of 5 s is only safe on a CPU adapter")
	}
	const loops = 50000
	k := d.NewKernel("burn", burnWGSL)
	b := d.NewBuffer(RoleScratch, "x", 256*256)
	burn(d, k, b, 1) // the driver compiles on first use
	if err := d.Sync(); err != nil {
		t.Fatal(err)
	}
	d.Zero(b.view())
	once := time.Hour
	for range 2 {
		begin := time.Now()
		burn(d, k, b, loops)
		if err := d.Sync(); err != nil {
			t.Fatal(err)
		}
		once = min(once, time.Since(begin))
	}
	more := int(6*time.Second/once) + 1
	if more > arenaSlots {
		t.Skipf("%d dispatches do not fit one submit on this adapter", more)
	}
	begin := time.Now()
	d.stream.pace.rate = 1e18 // one submit, whatever it takes
	for range more {
		burn(d, k, b, loops)
	}
	got := readWords(t, d.Read(b.view()))
	took := time.Since(begin)
	want := lcg(0, loops*(more+2))
	for i, v := range got {
		if v != want {
			t.Fatalf("word %d: %#x, want %#x, after %v", i, v, want, took)
		}
	}
	t.Logf("%d dispatches, %v", more+2, took)
	if took < 5*time.Second {
		t.Logf("the job was shorter than the trap")
	}
}

func TestReadDeadline(t *testing.T) {
	d := open(t, Options{ReadDeadline: 20 * time.Millisecond})
	if d.Info().Type != CPU {
		t.Skip("a slow job is only certain on a CPU adapter")
	}
	k := d.NewKernel("burn", burnWGSL)
	b := d.NewBuffer(RoleScratch, "x", 256*256)
	d.stream.pace.rate = 1e18
	burn(d, k, b, 60000)
	r := d.Read(b.view())
	if _, err := r.Wait(); !errors.Is(err, ErrTimeout) || !errors.Is(err, ErrDevice) {
		t.Fatalf("error %v, want ErrTimeout", err)
	}
	d.opt.ReadDeadline = time.Minute
	if got := readWords(t, r); got[0] != lcg(0, 60000) {
		t.Errorf("%#x after a second Wait, want %#x", got[0], lcg(0, 60000))
	}
}

// TestReadbacksUnderGC: the binding's own map call crashes when the collector runs
// before its callback.
func TestReadbacksUnderGC(t *testing.T) {
	d := open(t, Options{})
	k := d.NewKernel("affine", addWGSL)
	b := d.NewBuffer(RoleScratch, "x", 4096)
	var pending []*Readback
	for i := range 600 {
		affine(d, k, b, 1, 1)
		pending = append(pending, d.Read(View{Buf: b, Size: 1024}))
		if i%10 == 9 {
			runtime.GC()
			for j := len(pending) - 1; j >= 0; j-- {
				if got := readWords(t, pending[j]); got[255] != uint32(i-9+j+1) {
					t.Fatalf("read %d: %d", i-9+j, got[255])
				}
			}
			pending = pending[:0]
		}
	}
}

// TestConcurrentWait: Wait may be called from other goroutines while one records.
func TestConcurrentWait(t *testing.T) {
	d := open(t, Options{})
	k := d.NewKernel("affine", addWGSL)
	b := d.NewBuffer(RoleScratch, "x", 4096)
	results := make(chan error, 50)
	for i := range 50 {
		affine(d, k, b, 1, 1)
		r := d.Read(b.view())
		go func() {
			data, err := r.Wait()
			if err == nil && data[0] != byte(i+1) {
				err = errors.New("read " + strconv.Itoa(i) + " has " + strconv.Itoa(int(data[0])))
			}
			results <- err
		}()
	}
	for range 50 {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
}

// residentBytes is the process's resident memory, 0 where it is not cheaply known.
func residentBytes() int64 {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	n, _ := strconv.ParseInt(strings.Fields(string(b))[1], 10, 64)
	return n * int64(os.Getpagesize())
}

// TestMemoryIsFlat: encoders, passes, command buffers and staging that are not
// released show as growth.
func TestMemoryIsFlat(t *testing.T) {
	d := open(t, Options{})
	k := d.NewKernel("affine", addWGSL)
	b := d.NewBuffer(RoleScratch, "x", 64<<10)
	data := make([]byte, 64<<10)
	round := func(n int) int64 {
		for range n {
			d.Write(b.view(), data)
			affine(d, k, b, 2, 1)
			tmp := d.NewBuffer(RoleScratch, "tmp", 32<<10)
			d.Copy(tmp.view(), View{Buf: b, Size: 32 << 10})
			affine(d, k, tmp, 2, 1)
			tmp.Release()
			d.Flush()
		}
		if _, err := d.Read(b.view()).Wait(); err != nil {
			t.Fatal(err)
		}
		runtime.GC()
		return residentBytes()
	}
	round(300)
	before, mem := round(300), d.Memory().Current
	after := round(1500)
	t.Logf("resident %d MiB, then %+d KiB", before>>20, (after-before)>>10)
	if before > 0 && after-before > 8<<20 {
		t.Errorf("resident memory grew by %d bytes over 1500 submits", after-before)
	}
	if got := d.Memory().Current; got != mem {
		t.Errorf("%d bytes accounted after, %d before", got, mem)
	}
	if n := len(d.groups); n != 1 {
		t.Errorf("%d bind groups are cached, want 1", n)
	}
}

// TestManyDevices: opening and closing leaves nothing large behind.
func TestManyDevices(t *testing.T) {
	cycle := func() {
		d := open(t, Options{})
		k := d.NewKernel("affine", addWGSL)
		b := d.NewBuffer(RoleScratch, "x", 4<<20)
		affine(d, k, b, 2, 1)
		d.Read(b.view()) // left pending
		d.Close()
		d.Close()
	}
	for range 5 {
		cycle()
	}
	before := residentBytes()
	for range 10 {
		cycle()
	}
	if grown := residentBytes() - before; grown > 16<<20 {
		t.Errorf("10 devices left %d bytes", grown)
	}
}

// TestLoopBound documents Mesa's silent limit of 65,535 loop iterations per invocation:
// MaxLoopIterations must count exactly, in one loop and nested.
func TestLoopBound(t *testing.T) {
	d := open(t, Options{})
	k := d.NewKernel("count", `
struct Params { outer: u32, inner: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> x: array<u32>;
@compute @workgroup_size(1)
fn main() {
    var n = 0u;
    for (var i = 0u; i < p.outer; i++) { for (var j = 0u; j < p.inner; j++) { n += x[1]; } }
    x[0] = n;
}`)
	b := d.NewBuffer(RoleScratch, "x", 8)
	d.Write(b.view(), words(0, 1))
	for _, c := range [][2]uint32{{1, MaxLoopIterations - 1}, {250, MaxLoopIterations/250 - 1}} {
		d.Run(Dispatch{Kernel: k, Params: words(c[0], c[1]), Binds: []View{b.view()}, Groups: [3]uint32{1, 1, 1}})
		if got := readWords(t, d.Read(b.view()))[0]; got != c[0]*c[1] {
			t.Errorf("%d x %d iterations counted %d", c[0], c[1], got)
		}
	}
}
