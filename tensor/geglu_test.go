package tensor

import (
	"fmt"
	"testing"

	"concord/internal/optest"
	"concord/internal/ref"
)

func TestGeGLU(t *testing.T) {
	e := testEngine(t)
	for _, s := range elementwiseShapes {
		t.Run(fmt.Sprint(s), func(t *testing.T) {
			r, c := s[0], s[1]
			gate, up, dout := gates(r*c), optest.Random(r*c, 2), optest.Random(r*c, 3)
			want, dgate, dup := make([]float32, r*c), make([]float32, r*c), make([]float32, r*c)
			ref.GeGLU(want, gate, up)
			ref.GeGLUBackward(dgate, dup, dout, gate, up)
			tg, tu := upload(e, r, c, gate), upload(e, r, c, up)
			defer tg.Buf.Release()
			defer tu.Buf.Release()
			checkOutputs(t, e, []output{{r, c, want, nil}}, func(out []Tensor) { e.GeGLU(out[0], tg, tu) })
			checkOutputs(t, e, []output{{r, c, dgate, dout}, {r, c, dup, up}}, func(out []Tensor) {
				e.GeGLUBackward(out[0], tg, out[1])
			})
		})
	}
}
