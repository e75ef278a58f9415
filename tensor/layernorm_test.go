package tensor

import (
	"fmt"
	"slices"
	"testing"

	"concord/gpu"
	"concord/internal/optest"
	"concord/internal/ref"
)

func TestLayerNorm(t *testing.T) {
	e := testEngine(t)
	for _, s := range [][2]int{{1, 2}, {1, 4}, {7, 31}, {8, 32}, {9, 33}, {61, 130}, {13, 576}, {8*65535 + 3, 4}} {
		t.Run(fmt.Sprint(s), func(t *testing.T) {
			n, c := s[0], s[1]
			const eps = 0.1 // the terms of dx cancel but for it in rows of two
			x, w, b := optest.Random(n*c, 1), optest.Random(c, 2), optest.Random(c, 5)
			dout, before := optest.Random(n*c, 3), optest.Random(n*c, 4)
			for i := range x {
				x[i] += 3 // a mean well away from 0
			}
			out, mean, rstd := make([]float32, n*c), make([]float32, n), make([]float32, n)
			ref.LayerNorm(out, mean, rstd, x, w, b, eps)
			tx, tw, tb, td := upload(e, n, c, x), upload(e, 1, c, w), upload(e, 1, c, b), upload(e, n, c, dout)
			checkOutputs(t, e, []output{{n, c, out, nil}, {1, n, mean, nil}, {1, n, rstd, nil}}, func(o []Tensor) {
				clearPadding(e, o[1])
				clearPadding(e, o[2])
				e.LayerNorm(o[0], o[1], o[2], tx, tw, tb, eps)
			})
			tm, tr := upload(e, 1, n, mean), upload(e, 1, n, rstd)
			for _, accumulate := range []bool{false, true} {
				o := output{r: n, c: c, want: slices.Clone(before)}
				if accumulate {
					o.before = before
				}
				ref.LayerNormBackward(o.want, dout, x, w, mean, rstd, accumulate)
				checkOutputs(t, e, []output{o}, func(o []Tensor) { e.LayerNormBackward(o[0], td, tx, tw, tm, tr, accumulate) })
			}
		})
	}
}

func TestLayerNormBackwardWeight(t *testing.T) {
	e := testEngine(t)
	for _, s := range []struct {
		c      int
		starts []int
	}{{1, []int{0, 1}}, {4, []int{0, 0, 3}}, {31, []int{0, 31, 31, 32, 65}}, {132, []int{0, 1000}}, {64, []int{0, 16}}} {
		t.Run(fmt.Sprint(s), func(t *testing.T) {
			m, n := len(s.starts)-1, s.starts[len(s.starts)-1]
			x, dout, mean, rstd, before := optest.Random(n*s.c, 1), optest.Random(n*s.c, 2), optest.Random(n, 5), optest.Random(n, 3),
				optest.Random(m*s.c, 4)
			tx, td, tm, tr := upload(e, n, s.c, x), upload(e, n, s.c, dout), upload(e, 1, n, mean), upload(e, 1, n, rstd)
			seg := e.NewSegments(gpu.RoleData, s.starts)
			for _, accumulate := range []bool{false, true} {
				want, held := slices.Clone(before), []float32(nil)
				if accumulate {
					held = before
				}
				ref.LayerNormBackwardWeight(want, dout, x, mean, rstd, s.starts, accumulate)
				checkRows(t, e, m, 1, s.c, want, held, func(out TaskGrads) { e.LayerNormBackwardWeight(out, td, tx, tm, tr, seg, accumulate) })
			}
		})
	}
}
