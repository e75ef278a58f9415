package tensor

import (
	"fmt"
	"testing"

	"concord/gpu"
	"concord/internal/optest"
	"concord/internal/ref"
)

// elementwiseShapes are around the edges of a vec4 and of a workgroup (64
// vec4s); the last needs more than 65,535 workgroups.
var elementwiseShapes = [][2]int{{1, 1}, {1, 3}, {1, 255}, {1, 256}, {1, 257}, {7, 13}, {31, 68}, {1025, 16384}}

func TestAdd(t *testing.T) {
	e := testEngine(t)
	for _, s := range elementwiseShapes {
		t.Run(fmt.Sprint(s), func(t *testing.T) {
			r, c := s[0], s[1]
			a, b, want := optest.Random(r*c, 1), optest.Random(r*c, 2), make([]float32, r*c)
			ref.Add(want, a, b)
			ta, tb := upload(e, r, c, a), upload(e, r, c, b)
			defer ta.Buf.Release()
			defer tb.Buf.Release()
			checkOutputs(t, e, []output{{r, c, want, nil}}, func(out []Tensor) { e.Add(out[0], ta, tb) })
			checkOutputs(t, e, []output{{r, c, want, a}}, func(out []Tensor) { e.Add(out[0], out[0], tb) })
			if r*c >= largeOutput {
				return
			}
			checkOutputs(t, e, []output{{r, c, want, b}}, func(out []Tensor) { e.Add(out[0], ta, out[0]) })
		})
	}
}

func TestAddRefusesOtherShapes(t *testing.T) {
	e := testEngine(t)
	defer func() {
		if recover() == nil {
			t.Error("no panic for (2,3) + (3,2)")
		}
	}()
	a := e.New(gpu.RoleScratch, "a", 2, 3)
	e.Add(a, a, e.New(gpu.RoleScratch, "b", 3, 2))
}
