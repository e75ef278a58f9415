package tensor

import (
	"fmt"
	"testing"

	"concord/internal/optest"
	"concord/internal/ref"
)

func TestGELU(t *testing.T) {
	e := testEngine(t)
	for _, s := range elementwiseShapes {
		t.Run(fmt.Sprint(s), func(t *testing.T) {
			r, c := s[0], s[1]
			x, dout := gates(r*c), optest.Random(r*c, 3)
			want, dx := make([]float32, r*c), make([]float32, r*c)
			ref.GELU(want, x)
			ref.GELUBackward(dx, dout, x)
			tx, td := upload(e, r, c, x), upload(e, r, c, dout)
			defer tx.Buf.Release()
			defer td.Buf.Release()
			checkOutputs(t, e, []output{{r, c, want, nil}}, func(out []Tensor) { e.GELU(out[0], tx) })
			checkOutputs(t, e, []output{{r, c, dx, x}}, func(out []Tensor) { e.GELUBackward(td, out[0]) })
		})
	}
}
