package tensor

import (
	"fmt"
	"math"
	"testing"

	"concord/internal/optest"
	"concord/internal/ref"
)

func TestScaleRows(t *testing.T) {
	e := testEngine(t)
	for _, s := range elementwiseShapes {
		t.Run(fmt.Sprint(s), func(t *testing.T) {
			r, c := s[0], s[1]
			a, scale := optest.Random(r*c, 1), optest.Random(r, 2)
			scale[r/2] = 0
			for i := range c {
				a[r/2*c+i] = float32(math.NaN()) // must not reach the output
			}
			want := make([]float32, r*c)
			ref.ScaleRows(want, a, scale, c)
			ta, ts := upload(e, r, c, a), upload(e, 1, r, scale)
			defer ta.Buf.Release()
			defer ts.Buf.Release()
			checkOutputs(t, e, []output{{r, c, want, nil}}, func(out []Tensor) { e.ScaleRows(out[0], ta, ts) })
			x := guarded(e, r, c)
			defer x.Buf.Release()
			e.Upload(x, a)
			e.ScaleRowsInPlace(x, ts)
			if err := optest.Compare(download(t, e, x), want, 1e-10); err != nil {
				t.Errorf("in place: %v", err)
			}
			checkGuards(t, e, x)
		})
	}
}
