package tensor

import (
	"fmt"
	"testing"

	"concord/internal/optest"
	"concord/internal/ref"
)

// gates is random values up to ±8, and ±200 where exp would overflow.
func gates(n int) []float32 {
	out := optest.Random(n, 7)
	for i := range out {
		out[i] *= 8
		if i%97 == 11 {
			out[i] *= 25
		}
	}
	return out
}

func TestSwiGLU(t *testing.T) {
	e := testEngine(t)
	for _, s := range elementwiseShapes {
		t.Run(fmt.Sprint(s), func(t *testing.T) {
			r, c := s[0], s[1]
			gate, up, dout := gates(r*c), optest.Random(r*c, 2), optest.Random(r*c, 3)
			want, dgate, dup := make([]float32, r*c), make([]float32, r*c), make([]float32, r*c)
			ref.SwiGLU(want, gate, up)
			ref.SwiGLUBackward(dgate, dup, dout, gate, up)
			tg, tu := upload(e, r, c, gate), upload(e, r, c, up)
			defer tg.Buf.Release()
			defer tu.Buf.Release()
			checkOutputs(t, e, []output{{r, c, want, nil}}, func(out []Tensor) { e.SwiGLU(out[0], tg, tu) })
			checkOutputs(t, e, []output{{r, c, dgate, dout}, {r, c, dup, up}}, func(out []Tensor) {
				e.SwiGLUBackward(out[0], tg, out[1])
			})
		})
	}
}
