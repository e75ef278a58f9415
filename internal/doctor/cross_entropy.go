package doctor

import (
	"errors"
	"fmt"
	"math"

	"concord/gpu"
	"concord/internal/optest"
	"concord/internal/ref"
	"concord/tensor"
)

// crossEntropyTests covers the loss and its gradient for each split of a row
// over a workgroup, and that a broken row is seen.
func crossEntropyTests() []Test {
	return []Test{{Kernel: "cross_entropy", Run: func(e *Probe) error {
		return errors.Join(checkCrossEntropy(e), checkBrokenRow(e))
	}}}
}

func checkCrossEntropy(e *Probe) error {
	var errs []error
	for _, s := range [][2]int{{1, 1}, {9, 31}, {5, 1021}, {3, 4099}, {2, 16387}} {
		n, v := s[0], s[1]
		logits, scale, loss := optest.Random(n*v, 1), optest.Random(n, 2), make([]float32, n)
		labels := make([]uint32, n)
		for i := range logits {
			logits[i] *= 9
		}
		for i := range labels {
			labels[i] = uint32(i * i * 131 % v)
		}
		if n > 2 {
			labels[1] = ref.Ignored
		}
		tz, ts, tl, out := matrix(e, n, v, logits), matrix(e, 1, n, scale), vectorU32(e, labels), matrix(e, 1, n, loss)
		ref.CrossEntropy(logits, loss, labels, scale, 0, v, 0, true)
		e.CrossEntropy(tz, out, tl, ts, 0, v, 0, true)
		errs = append(errs, same(e, "loss", out, loss), same(e, "dlogits", tz, logits))
		release(tz, ts, tl, out)
	}
	return errors.Join(errs...)
}

// checkBrokenRow: a NaN among the logits must not vanish in a maximum.
func checkBrokenRow(e *Probe) error {
	const v = 70
	logits := optest.Random(v, 1)
	logits[33] = float32(math.NaN())
	tz, tl, loss := matrix(e, 1, v, logits), vectorU32(e, []uint32{2}), e.New(gpu.RoleScratch, "doctor", 1, 1)
	defer release(tz, tl, loss)
	e.CrossEntropy(tz, loss, tl, tensor.Tensor{}, 0, v, 0, false)
	got, err := e.Download(loss)
	if err == nil && !math.IsNaN(float64(got[0])) {
		err = fmt.Errorf("the loss of logits with a NaN is %v, want NaN", got[0])
	}
	return err
}
