package doctor

import (
	"errors"

	"concord/internal/optest"
	"concord/internal/ref"
)

// gegluTests covers the gated activation and its gradient.
func gegluTests() []Test {
	return []Test{
		{Kernel: "geglu_forward", Run: func(e *Probe) error { return checkGeGLU(e, false) }},
		{Kernel: "geglu_backward", Run: func(e *Probe) error { return checkGeGLU(e, true) }},
	}
}

func checkGeGLU(e *Probe, backward bool) error {
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
			ref.GeGLUBackward(want, want2, dout, gate, up)
			e.GeGLUBackward(td, tg, tu)
			errs = append(errs, same(e, "dgate", td, want), same(e, "dup", tu, want2))
		} else {
			ref.GeGLU(want, gate, up)
			e.GeGLU(out, tg, tu)
			errs = append(errs, same(e, "out", out, want))
		}
		release(tg, tu, td, out)
	}
	return errors.Join(errs...)
}
