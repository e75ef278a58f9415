package doctor

import (
	"errors"

	"concord/internal/optest"
	"concord/internal/ref"
)

// swigluTests covers the gated activation and its gradient.
func swigluTests() []Test {
	return []Test{
		{Kernel: "swiglu_forward", Run: func(e *Probe) error { return checkSwiGLU(e, false) }},
		{Kernel: "swiglu_backward", Run: func(e *Probe) error { return checkSwiGLU(e, true) }},
	}
}

func checkSwiGLU(e *Probe, backward bool) error {
	var errs []error
	for _, s := range [][2]int{{1, 3}, {7, 37}, {13, 64}} {
		r, c := s[0], s[1]
		gate, up, dout := optest.Random(r*c, 1), optest.Random(r*c, 2), optest.Random(r*c, 3)
		for i := range gate {
			gate[i] *= 8
			if i%41 == 2 {
				gate[i] *= 25 // exp would overflow
			}
		}
		tg, tu, td := matrix(e, r, c, gate), matrix(e, r, c, up), matrix(e, r, c, dout)
		out := matrix(e, r, c, up)
		want, want2 := make([]float32, r*c), make([]float32, r*c)
		if backward {
			ref.SwiGLUBackward(want, want2, dout, gate, up)
			e.SwiGLUBackward(td, tg, tu)
			errs = append(errs, same(e, "dgate", td, want), same(e, "dup", tu, want2))
		} else {
			ref.SwiGLU(want, gate, up)
			e.SwiGLU(out, tg, tu)
			errs = append(errs, same(e, "out", out, want))
		}
		release(tg, tu, td, out)
	}
	return errors.Join(errs...)
}
