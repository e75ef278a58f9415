package doctor

import (
	"errors"

	"concord/gpu"
	"concord/internal/optest"
	"concord/internal/ref"
)

// layernormTests covers the norm and the gradients of its input and its weight.
func layernormTests() []Test {
	return []Test{
		{Kernel: "layernorm_forward", Run: func(e *Probe) error { return checkLayerNorm(e, false) }},
		{Kernel: "layernorm_backward", Run: func(e *Probe) error { return checkLayerNorm(e, true) }},
		{Kernel: "layernorm_backward_weight", Run: checkLayerNormWeight},
	}
}

func checkLayerNorm(e *Probe, backward bool) error {
	const eps = 0.1
	var errs []error
	for _, s := range [][2]int{{1, 4}, {9, 31}, {23, 130}} {
		n, c := s[0], s[1]
		x, w, b, dout, dx := optest.Random(n*c, 1), optest.Random(c, 2), optest.Random(c, 5), optest.Random(n*c, 3), optest.Random(n*c, 4)
		out, mean, rstd := make([]float32, n*c), make([]float32, n), make([]float32, n)
		tx, tw, tb, td, tdx := matrix(e, n, c, x), matrix(e, 1, c, w), matrix(e, 1, c, b), matrix(e, n, c, dout), matrix(e, n, c, dx)
		to, tm, tr := matrix(e, n, c, dout), matrix(e, 1, n, mean), matrix(e, 1, n, rstd)
		ref.LayerNorm(out, mean, rstd, x, w, b, eps)
		e.LayerNorm(to, tm, tr, tx, tw, tb, eps)
		if backward {
			ref.LayerNormBackward(dx, dout, x, w, mean, rstd, true)
			e.LayerNormBackward(tdx, td, tx, tw, tm, tr, true)
			errs = append(errs, same(e, "dx", tdx, dx))
		} else {
			errs = append(errs, same(e, "out", to, out), same(e, "mean", tm, mean), same(e, "rstd", tr, rstd))
		}
		release(tx, tw, tb, td, tdx, to, tm, tr)
	}
	return errors.Join(errs...)
}

func checkLayerNormWeight(e *Probe) error {
	const n, c = 71, 70
	starts := []int{0, 5, 5, 40, n}
	x, dout, mean, rstd, want := optest.Random(n*c, 1), optest.Random(n*c, 2), optest.Random(n, 5), optest.Random(n, 3), make([]float32, 4*c)
	ref.LayerNormBackwardWeight(want, dout, x, mean, rstd, starts, false)
	tx, td, tm, tr, seg := matrix(e, n, c, x), matrix(e, n, c, dout), matrix(e, 1, n, mean),
		matrix(e, 1, n, rstd), e.NewSegments(gpu.RoleScratch, starts)
	rows := objectiveRows(e, 4, 1, c)
	defer release(tx, td, tm, tr, seg.Dev, rows.Objective(0))
	e.LayerNormBackwardWeight(rows, td, tx, tm, tr, seg, false)
	return sameRows(e, "dweight", rows, want)
}
