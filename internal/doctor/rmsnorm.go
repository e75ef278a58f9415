package doctor

import (
	"errors"

	"concord/gpu"
	"concord/internal/optest"
	"concord/internal/ref"
)

// rmsnormTests covers the norm and the gradients of its input and its weight.
func rmsnormTests() []Test {
	return []Test{
		{Kernel: "rmsnorm_forward", Run: func(e *Probe) error { return checkRMSNorm(e, false) }},
		{Kernel: "rmsnorm_backward", Run: func(e *Probe) error { return checkRMSNorm(e, true) }},
		{Kernel: "rmsnorm_backward_weight", Run: checkRMSNormWeight},
	}
}

const rmsnormEps = 1e-5

func checkRMSNorm(e *Probe, backward bool) error {
	var errs []error
	for _, s := range [][2]int{{1, 4}, {9, 31}, {23, 130}} {
		n, c := s[0], s[1]
		x, w, dout := optest.Random(n*c, 1), optest.Random(c, 2), optest.Random(n*c, 3)
		out, rstd, dx := make([]float32, n*c), make([]float32, n), optest.Random(n*c, 4)
		tx, tw, td, tdx := matrix(e, n, c, x), matrix(e, 1, c, w), matrix(e, n, c, dout), matrix(e, n, c, dx)
		to, tr := matrix(e, n, c, dout), matrix(e, 1, n, rstd)
		ref.RMSNorm(out, rstd, x, w, rmsnormEps)
		e.RMSNorm(to, tr, tx, tw, rmsnormEps, 0)
		if backward {
			ref.RMSNormBackward(dx, dout, x, w, rstd, true)
			e.RMSNormBackward(tdx, td, tx, tw, tr, 0, true)
			errs = append(errs, same(e, "dx", tdx, dx))
		} else {
			errs = append(errs, same(e, "out", to, out), same(e, "rstd", tr, rstd))
		}
		release(tx, tw, td, tdx, to, tr)
	}
	return errors.Join(errs...)
}

func checkRMSNormWeight(e *Probe) error {
	const n, c = 71, 70
	starts := []int{0, 5, 5, 40, n}
	x, dout, rstd, want := optest.Random(n*c, 1), optest.Random(n*c, 2), optest.Random(n, 3), make([]float32, 4*c)
	ref.RMSNormBackwardWeight(want, dout, x, rstd, starts, false)
	tx, td, tr, seg := matrix(e, n, c, x), matrix(e, n, c, dout), matrix(e, 1, n, rstd), e.NewSegments(gpu.RoleScratch, starts)
	rows := objectiveRows(e, 4, 1, c)
	defer release(tx, td, tr, seg.Dev, rows.Objective(0))
	e.RMSNormBackwardWeight(rows, td, tx, tr, seg, false)
	return sameRows(e, "dweight", rows, want)
}
