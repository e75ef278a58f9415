package doctor

import (
	"errors"
	"slices"

	"concord/gpu"
	"concord/internal/optest"
	"concord/internal/ref"
)

// biasTests covers the additive vector of a linear map and its gradient.
func biasTests() []Test {
	return []Test{{Kernel: "bias_add", Run: checkAddBias}, {Kernel: "bias_backward", Run: checkBiasGradient}}
}

func checkAddBias(e *Probe) error {
	var errs []error
	for _, s := range [][2]int{{1, 3}, {7, 37}, {13, 64}} {
		n, c := s[0], s[1]
		x, bias := optest.Random(n*c, 1), optest.Random(c, 2)
		want := slices.Clone(x)
		ref.AddBias(want, bias)
		tx, tb := matrix(e, n, c, x), matrix(e, 1, c, bias)
		e.AddBias(tx, tb)
		errs = append(errs, same(e, "x", tx, want))
		release(tx, tb)
	}
	return errors.Join(errs...)
}

func checkBiasGradient(e *Probe) error {
	const n, c = 71, 70
	starts := []int{0, 5, 5, 40, n}
	dout, want := optest.Random(n*c, 2), make([]float32, 4*c)
	ref.BiasBackward(want, dout, c, starts, false)
	td, seg, rows := matrix(e, n, c, dout), e.NewSegments(gpu.RoleScratch, starts), objectiveRows(e, 4, 1, c)
	defer release(td, seg.Dev, rows.Objective(0))
	e.BiasBackward(rows, td, seg, false)
	return sameRows(e, "dbias", rows, want)
}
