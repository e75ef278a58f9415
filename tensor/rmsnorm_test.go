package tensor

import (
	"fmt"
	"testing"

	"concord/gpu"
	"concord/internal/optest"
	"concord/internal/ref"
)

const testEps = 1e-5

func TestRMSNorm(t *testing.T) {
	e := testEngine(t)
	for _, s := range [][2]int{{1, 1}, {1, 4}, {7, 31}, {8, 32}, {9, 33}, {61, 130}, {13, 576}, {8*65535 + 3, 4}} {
		t.Run(fmt.Sprint(s), func(t *testing.T) { checkRMSNorm(t, e, s[0], s[1]) })
	}
}

// TestRMSNormLanes has rows that a GPU gives more lanes.
func TestRMSNormLanes(t *testing.T) {
	e := NewEngine(testEngine(t).Dev, Options{NoAutotune: true, TreatAsGPU: true})
	for _, s := range [][3]int{{5, 255, 8}, {5, 260, 32}, {3, 2047, 32}, {3, 2049, 64}} {
		if lanes := e.rmsnormLanes(s[1]); lanes != s[2] {
			t.Errorf("%d columns: %d lanes, want %d", s[1], lanes, s[2])
		}
		checkRMSNorm(t, e, s[0], s[1])
	}
}

func checkRMSNorm(t *testing.T, e *Engine, n, c int) {
	t.Helper()
	testEps := float32(testEps)
	if c == 1 {
		testEps = 0.5 // the two terms of dx cancel but for eps
	}
	for _, offset := range []float32{0, 1} {
		checkRMSNormOffset(t, e, n, c, testEps, offset)
	}
}

func checkRMSNormOffset(t *testing.T, e *Engine, n, c int, testEps, offset float32) {
	t.Helper()
	x, stored, dout, before := optest.Random(n*c, 1), optest.Random(c, 2), optest.Random(n*c, 3), optest.Random(n*c, 4)
	w := make([]float32, c) // what the twin sees
	for i := range w {
		w[i] = stored[i] + offset
	}
	out, rstd := make([]float32, n*c), make([]float32, n)
	ref.RMSNorm(out, rstd, x, w, float64(testEps))
	tx, tw, td := upload(e, n, c, x), upload(e, 1, c, stored), upload(e, n, c, dout)
	checkOutputs(t, e, []output{{n, c, out, nil}, {1, n, rstd, nil}}, func(o []Tensor) {
		clearPadding(e, o[1])
		e.RMSNorm(o[0], o[1], tx, tw, testEps, offset)
	})
	tr := upload(e, 1, n, rstd)
	for _, accumulate := range []bool{false, true} {
		o := output{r: n, c: c, want: append([]float32(nil), before...)}
		if accumulate {
			o.before = before
		}
		ref.RMSNormBackward(o.want, dout, x, w, rstd, accumulate)
		checkOutputs(t, e, []output{o}, func(o []Tensor) { e.RMSNormBackward(o[0], td, tx, tw, tr, offset, accumulate) })
	}
}

// clearPadding zeroes x, as an allocation would: vectors written element by
// element do not touch their padding.
func clearPadding(e *Engine, x Tensor) { e.Dev.Zero(x.View()) }

func TestRMSNormBackwardWeight(t *testing.T) {
	e := testEngine(t)
	for _, s := range []struct {
		c      int
		starts []int
	}{
		{1, []int{0, 1}}, {4, []int{0, 0, 3}}, {31, []int{0, 31, 31, 32, 65}}, {33, []int{0, 33, 97, 97}}, {132, []int{0, 1000}}, {576, []int{0, 5, 70}}, {60, []int{0, 15, 31, 48}}, {64, []int{0, 16}}, {68, []int{0, 17}},
	} {
		t.Run(fmt.Sprint(s), func(t *testing.T) {
			m, n := len(s.starts)-1, s.starts[len(s.starts)-1]
			x, dout, rstd, before := optest.Random(n*s.c, 1), optest.Random(n*s.c, 2), optest.Random(n, 3), optest.Random(m*s.c, 4)
			tx, td, tr := upload(e, n, s.c, x), upload(e, n, s.c, dout), upload(e, 1, n, rstd)
			seg := e.NewSegments(gpu.RoleData, s.starts)
			for _, accumulate := range []bool{false, true} {
				want, held := append([]float32(nil), before...), []float32(nil)
				if accumulate {
					held = before
				}
				ref.RMSNormBackwardWeight(want, dout, x, rstd, s.starts, accumulate)
				checkRows(t, e, m, 1, s.c, want, held, func(out TaskGrads) {
					e.RMSNormBackwardWeight(out, td, tx, tr, seg, accumulate)
				})
			}
		})
	}
}

func TestRMSNormBackwardWeightOfDistantRows(t *testing.T) {
	e := testEngine(t)
	stride := int(e.Dev.Info().Limits.MaxStorageBufferBindingSize/4)&^63 - 64
	if int64(stride)*8+4096 > min(e.Dev.Info().Limits.MaxBufferSize, 512<<20) {
		t.Skipf("a binding holds %d MiB: rows that exceed it are too large for a test", stride>>18)
	}
	const n, c = 5, 300
	x, dout, rstd, want := optest.Random(n*c, 1), optest.Random(n*c, 2), optest.Random(n, 3), make([]float32, 2*c)
	starts := []int{0, 2, n}
	ref.RMSNormBackwardWeight(want, dout, x, rstd, starts, false)
	rows := TaskGrads{Buf: e.Dev.NewBuffer(gpu.RoleScratch, "rows", int64(stride)*4+c*4), M: 2, Stride: stride, R: 1, C: c, LD: c}
	e.RMSNormBackwardWeight(rows, upload(e, n, c, dout), upload(e, n, c, x), upload(e, 1, n, rstd), e.NewSegments(gpu.RoleData, starts), false)
	if err := optest.Compare(downloadRows(t, e, rows), want, opTolerance); err != nil {
		t.Error(err)
	}
}

func BenchmarkRMSNorm(b *testing.B) {
	e := testEngine(b)
	for _, c := range []int{128, 576} {
		const n = 2048
		x, w := upload(e, n, c, optest.Random(n*c, 1)), upload(e, 1, c, optest.Random(c, 2))
		d, out, rstd := upload(e, n, c, optest.Random(n*c, 3)), e.New(gpu.RoleScratch, "out", n, c), e.New(gpu.RoleScratch, "rstd", 1, n)
		seg := e.NewSegments(gpu.RoleData, []int{0, 256, 512, 768, 1024, 1280, 1536, 1792, n})
		rows := guardedRows(e, 8, 1, c, nil)
		bytes := int64(n) * int64(c) * 4
		benchOp(b, e, fmt.Sprintf("forward/%dx%d", n, c), 3*bytes, func() { e.RMSNorm(out, rstd, x, w, testEps, 0) })
		benchOp(b, e, fmt.Sprintf("backward/%dx%d", n, c), 5*bytes, func() { e.RMSNormBackward(out, d, x, w, rstd, 0, false) })
		benchOp(b, e, fmt.Sprintf("weight/%dx%d", n, c), 2*bytes, func() { e.RMSNormBackwardWeight(rows, d, x, rstd, seg, false) })
	}
}

// benchOp times op, recorded b.N times, on the drained queue.
func benchOp(b *testing.B, e *Engine, name string, bytes int64, op func()) {
	b.Run(name, func(b *testing.B) {
		op()
		if err := e.Dev.Sync(); err != nil {
			b.Fatal(err)
		}
		b.SetBytes(bytes)
		b.ResetTimer()
		for range b.N {
			op()
		}
		if err := e.Dev.Sync(); err != nil {
			b.Fatal(err)
		}
	})
}
