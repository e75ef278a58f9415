package tensor

import (
	"fmt"
	"math"
	"testing"

	"concord/internal/optest"
	"concord/internal/ref"
)

// elementRows is m matrices (r, c) for the element-wise operations: row 1 is NaN
// where there are three or more, and every fifth value of row 0 is 0.
func elementRows(e *Engine, m, r, c int) (TaskGrads, []float32) {
	ld := (c + 3) &^ 3
	stride := alignUp(r*ld, 64)
	padded, dense := make([]float32, m*stride), make([]float32, m*r*c)
	for k := range m {
		for i, v := range optest.Random(r*c, uint64(k+1)) {
			switch {
			case k == 1 && m > 2:
				v = float32(math.NaN())
			case k == 0 && i%5 == 0:
				v = 0
			}
			dense[k*r*c+i], padded[k*stride+i/c*ld+i%c] = v, v
		}
	}
	return TaskGrads{Buf: upload(e, 1, len(padded), padded).Buf, M: m, Stride: stride, R: r, C: c, LD: ld}, dense
}

func TestElementwise(t *testing.T) {
	e := testEngine(t)
	for _, m := range []int{1, 2, 3, 8, 33, 64} {
		for _, s := range [][2]int{{1, 1}, {3, 5}, {7, 64}, {17, 31}} {
			r, c := s[0], s[1]
			rows, host := elementRows(e, m, r, c)
			var used []int
			for k := range m {
				if k != 1 || m <= 2 {
					used = append(used, k)
				}
			}
			at := fmt.Sprintf("M=%d %v", m, s)
			want, key := make([]float32, r*c), [2]uint32{0xdeadbeef, 77}
			for _, leak := range []float32{0, 0.25, 1} {
				ref.GradDrop(want, host, r*c, used, leak, key, 1000)
				checkElementwise(t, e, at+fmt.Sprint(" graddrop ", leak), r, c, want, func(out Tensor) { e.GradDrop(out, rows, used, leak, key, 1000) })
			}
			for _, trim := range []int{0, 1, 3, 100} {
				ref.TrimmedMean(want, host, r*c, used, trim)
				checkElementwise(t, e, at+fmt.Sprint(" trim ", trim), r, c, want, func(out Tensor) { e.TrimmedMean(out, rows, used, trim) })
			}
			rows.Buf.Release()
		}
	}
}

func checkElementwise(t *testing.T, e *Engine, at string, r, c int, want []float32, run func(out Tensor)) {
	t.Helper()
	out := guarded(e, r, c)
	defer out.Buf.Release()
	run(out)
	got := download(t, e, out)
	if err := optest.Compare(got, want, 1e-10); err != nil {
		t.Errorf("%s: %v", at, err)
	}
	checkGuards(t, e, out)
	run(out)
	if i := optest.Bits(got, download(t, e, out)); i >= 0 {
		t.Errorf("%s: other bits at %d the second time", at, i)
	}
}

// Rows that one binding cannot span are packed, a range of elements at a time:
// the bits stay.
func TestElementwiseFarRows(t *testing.T) {
	e := testEngine(t)
	limit := e.tune.limit
	defer func() { e.tune.limit = limit }()
	const m, r, c = 9, 7, 61
	rows, _ := elementRows(e, m, r, c)
	used := []int{0, 2, 3, 5, 8}
	for what, f := range map[string]func(out Tensor){
		"graddrop":     func(out Tensor) { e.GradDrop(out, rows, used, 0.1, [2]uint32{3, 4}, 5) },
		"trimmed mean": func(out Tensor) { e.TrimmedMean(out, rows, used, 1) },
	} {
		var whole []float32
		for _, bytes := range []int64{limit, 5 * 128 * 4, 1} { // whole, 128 and 64 elements at a time
			e.tune.limit = bytes
			out := guarded(e, r, c)
			f(out)
			e.tune.limit = limit
			got := download(t, e, out)
			if whole == nil {
				whole = got
			}
			checkGuards(t, e, out)
			if at := optest.Bits(got, whole); at >= 0 {
				t.Errorf("%s by %d bytes: %v at %d, want %v", what, bytes, got[at], at, whole[at])
			}
		}
	}
}
