package doctor

import (
	"errors"

	"concord/internal/optest"
	"concord/internal/ref"
)

// addTests covers the residual connection in both of its forms.
func addTests() []Test {
	return []Test{
		{Kernel: "add_forward", Run: func(e *Probe) error { return checkAdd(e, false) }},
		{Kernel: "add_inplace", Run: func(e *Probe) error { return checkAdd(e, true) }},
	}
}

func checkAdd(e *Probe, inplace bool) error {
	var errs []error
	for _, s := range [][2]int{{1, 1}, {7, 37}, {13, 64}} {
		r, c := s[0], s[1]
		a, b, want := optest.Random(r*c, 1), optest.Random(r*c, 2), make([]float32, r*c)
		ref.Add(want, a, b)
		ta, tb, out := matrix(e, r, c, a), matrix(e, r, c, b), matrix(e, r, c, a)
		if inplace {
			e.Add(out, out, tb)
		} else {
			e.Add(out, ta, tb)
		}
		errs = append(errs, same(e, "out", out, want))
		release(ta, tb, out)
	}
	return errors.Join(errs...)
}
