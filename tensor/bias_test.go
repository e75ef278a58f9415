package tensor

import (
	"fmt"
	"slices"
	"testing"

	"concord/gpu"
	"concord/internal/optest"
	"concord/internal/ref"
)

func TestAddBias(t *testing.T) {
	e := testEngine(t)
	for _, s := range elementwiseShapes {
		r, c := s[0], s[1]
		x, bias := optest.Random(r*c, 1), optest.Random(c, 2)
		want := slices.Clone(x)
		ref.AddBias(want, bias)
		tb := upload(e, 1, c, bias)
		checkOutputs(t, e, []output{{r, c, want, x}}, func(out []Tensor) { e.AddBias(out[0], tb) })
		tb.Buf.Release()
	}
}

func TestBiasBackward(t *testing.T) {
	e := testEngine(t)
	for _, s := range []struct {
		c      int
		starts []int
	}{{1, []int{0, 1}}, {4, []int{0, 0, 3}}, {31, []int{0, 31, 31, 32, 65}}, {132, []int{0, 1000}}, {64, []int{0, 16}}, {68, []int{0, 17}}} {
		t.Run(fmt.Sprint(s), func(t *testing.T) {
			m, n := len(s.starts)-1, s.starts[len(s.starts)-1]
			dout, before := optest.Random(n*s.c, 2), optest.Random(m*s.c, 4)
			td, seg := upload(e, n, s.c, dout), e.NewSegments(gpu.RoleData, s.starts)
			for _, accumulate := range []bool{false, true} {
				want, held := slices.Clone(before), []float32(nil)
				if accumulate {
					held = before
				}
				ref.BiasBackward(want, dout, s.c, s.starts, accumulate)
				checkRows(t, e, m, 1, s.c, want, held, func(out TaskGrads) { e.BiasBackward(out, td, seg, accumulate) })
			}
		})
	}
}
