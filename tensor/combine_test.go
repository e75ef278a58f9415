package tensor

import (
	"math"
	"testing"

	"concord/gpu"
	"concord/internal/optest"
	"concord/internal/ref"
)

func TestCombine(t *testing.T) {
	e := testEngine(t)
	for _, m := range []int{1, 2, 8, 9, 16, 17, 32, 33, 64} {
		for _, n := range []int{1, 3, 255, 256, 257, 65537} {
			if m*n > 1<<20 {
				continue
			}
			for _, accumulate := range []bool{false, true} {
				rows, host := testRows(e, m, n, 7)
				weights := optest.Random(m, 11)
				out := guarded(e, 1, n)
				want := make([]float32, n)
				if accumulate {
					copy(want, optest.Random(n, 5))
					e.Upload(out, want)
				}
				e.Combine(out, rows, weights, accumulate)
				ref.Combine(want, host, rows.Stride, weights, accumulate)
				got := download(t, e, out)
				if err := optest.Compare(got, want, 1e-10); err != nil {
					t.Errorf("M=%d n=%d accumulate=%v: %v", m, n, accumulate, err)
				}
				checkGuards(t, e, out)
				if !accumulate {
					e.Combine(out, rows, weights, false)
					if i := optest.Bits(got, download(t, e, out)); i >= 0 {
						t.Errorf("M=%d n=%d: other bits at %d the second time", m, n, i)
					}
				}
				rows.Buf.Release()
				out.Buf.Release()
			}
		}
	}
}

// TestCombineSkipsZeroWeights checks that rows of weight 0 are not read: 0·NaN is NaN.
func TestCombineSkipsZeroWeights(t *testing.T) {
	e := testEngine(t)
	rows, host := testRows(e, 5, 100, 1)
	host[2*rows.Stride+50] = float32(math.NaN())
	rows.Buf = upload(e, 1, len(host), host).Buf
	out := e.New(gpu.RoleScratch, "out", 1, 100)
	e.Upload(out, optest.Random(100, 3))
	want := make([]float32, 100)
	for _, weights := range [][]float32{{1, -1, 0, .5, 2}, {0, 0, 0, 0, 1}, {0, 0, 0, 0, 0}} {
		e.Combine(out, rows, weights, false)
		ref.Combine(want, host, rows.Stride, weights, false)
		if err := optest.Compare(download(t, e, out), want, 1e-10); err != nil {
			t.Errorf("weights %v: %v", weights, err)
		}
	}
}

// TestCombineFoldsGrid covers more than 65,535 workgroups.
func TestCombineFoldsGrid(t *testing.T) {
	e := testEngine(t)
	const n = 64*4*65536 + 4
	x := optest.Random(n, 1)
	row := upload(e, 1, n, x)
	out := e.New(gpu.RoleScratch, "out", 1, n)
	e.Combine(out, TaskGrads{Buf: row.Buf, M: 1, Stride: n + 60, R: 1, C: n, LD: n}, []float32{-2}, false)
	got := download(t, e, out)
	for i := range got {
		if got[i] != -2*x[i] {
			t.Fatalf("index %d is %v, want %v", i, got[i], -2*x[i])
		}
	}
}
