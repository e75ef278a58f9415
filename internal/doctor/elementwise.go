package doctor

import (
	"concord/gpu"
	"concord/internal/optest"
	"concord/internal/ref"
	"concord/tensor"
)

// elementwiseTests checks the combinations that are no weighted sum.
func elementwiseTests() []Test {
	used, key := []int{0, 2, 3, 4, 6}, [2]uint32{7, 11}
	return []Test{
		{Kernel: "graddrop", Run: func(e *Probe) error {
			return checkElementwise(e, func(want, host []float32, stride int) { ref.GradDrop(want, host, stride, used, 0.25, key, 9) },
				func(out tensor.Tensor, rows tensor.TaskGrads) { e.GradDrop(out, rows, used, 0.25, key, 9) })
		}},
		{Kernel: "trimmed_mean", Run: func(e *Probe) error {
			return checkElementwise(e, func(want, host []float32, stride int) { ref.TrimmedMean(want, host, stride, used, 1) },
				func(out tensor.Tensor, rows tensor.TaskGrads) { e.TrimmedMean(out, rows, used, 1) })
		}},
	}
}

func checkElementwise(e *Probe, twin func(want, host []float32, stride int), op func(out tensor.Tensor, rows tensor.TaskGrads)) error {
	const m, n = 7, 257
	rows, host := randomRows(e, m, n)
	out, want := e.New(gpu.RoleScratch, "self-test combined", 1, n), optest.Random(n, 3)
	defer release(out)
	defer rows.Buf.Release()
	twin(want, host, rows.Stride)
	op(out, rows)
	return same(e, "out", out, want)
}
