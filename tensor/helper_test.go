package tensor

import (
	"encoding/binary"
	"os"
	"testing"

	"concord/gpu"
	"concord/internal/optest"
)

// testEngine opens the preferred adapter. Without one the test is skipped, but
// REQUIRE_GPU=1 (set by CI) makes that a failure. CONCORD_TREAT_AS_GPU=1 tests
// the choices that are made on a GPU.
func testEngine(t testing.TB) *Engine {
	t.Helper()
	dev, err := gpu.Open(gpu.Options{Adapter: os.Getenv("CONCORD_ADAPTER")})
	if err != nil {
		if os.Getenv("REQUIRE_GPU") != "" {
			t.Fatalf("no GPU adapter: %v", err)
		}
		t.Skipf("no GPU adapter: %v", err)
	}
	t.Cleanup(dev.Close)
	e := NewEngine(dev, Options{NoAutotune: true, TreatAsGPU: os.Getenv("CONCORD_TREAT_AS_GPU") != ""})
	t.Cleanup(func() { checkSpecialisations(t, e) })
	return e
}

const guardBytes = 256

// guarded returns an (r, c) tensor whose whole buffer, guard zones of 256 bytes
// before and after included, is filled with optest.GuardBits.
func guarded(e *Engine, r, c int) Tensor {
	ld := (c + 3) &^ 3
	n := int64(r) * int64(ld) * 4
	buf := e.Dev.NewBuffer(gpu.RoleScratch, "guarded", n+2*guardBytes)
	fill := make([]byte, n+2*guardBytes)
	for i := 0; i < len(fill); i += 4 {
		binary.LittleEndian.PutUint32(fill[i:], optest.GuardBits)
	}
	e.Dev.Write(gpu.View{Buf: buf, Offset: 0, Size: int64(len(fill))}, fill)
	return Tensor{Buf: buf, Offset: guardBytes, R: r, C: c, LD: ld}
}

// checkGuards fails the test when a guard word around t was written.
func checkGuards(t testing.TB, e *Engine, x Tensor) {
	t.Helper()
	b, err := e.Dev.Read(gpu.View{Buf: x.Buf, Offset: 0, Size: x.Buf.Size()}).Wait()
	if err != nil {
		t.Fatal(err)
	}
	end := x.Offset + x.Bytes()
	for i := int64(0); i < int64(len(b)); i += 4 {
		if (i < x.Offset || i >= end) && binary.LittleEndian.Uint32(b[i:]) != optest.GuardBits {
			t.Errorf("guard word at byte %d (tensor is %d..%d) was overwritten", i, x.Offset, end)
			return
		}
	}
}

// upload allocates and fills an (r, c) tensor.
func upload(e *Engine, r, c int, data []float32) Tensor {
	x := e.New(gpu.RoleScratch, "input", r, c)
	e.Upload(x, data)
	return x
}

// download reads x or fails the test.
func download(t testing.TB, e *Engine, x Tensor) []float32 {
	t.Helper()
	v, err := e.Download(x)
	if err != nil {
		t.Fatal(err)
	}
	return v
}
