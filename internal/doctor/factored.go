package doctor

import (
	"fmt"

	"concord/gpu"
	"concord/internal/optest"
	"concord/internal/ref"
	"concord/tensor"
)

// factoredTests checks two updates, which take all of the kernels.
func factoredTests() (out []Test) {
	for _, kernel := range []string{"factored_rows", "factored_columns", "factored_fold", "factored_mean", "factored_size",
		"factored_update"} {
		out = append(out, Test{kernel, factoredTest})
	}
	return out
}

func factoredTest(e *Probe) error {
	const r, c = 130, 70
	w, rows, columns := e.New(gpu.RoleScratch, "self-test weight", r, c), e.New(gpu.RoleScratch, "self-test rows", 1, r),
		e.New(gpu.RoleScratch, "self-test columns", 1, c)
	grad, scratch := e.New(gpu.RoleScratch, "self-test gradient", r, c), e.NewFactoredScratch(tensor.FactoredSlices(r, c), r)
	defer release(w, rows, columns, grad)
	defer scratch.Release()
	g, want := optest.Random(r*c, 2), [3][]float32{optest.Random(r*c, 1), make([]float32, r), make([]float32, c)}
	e.Upload(w, want[0])
	e.Upload(grad, g)
	s := tensor.FactoredParams{LR: 1e-2, Beta2: 0.99, Eps: 1e-8, WeightDecay: 0.1, GradScale: 0.5}
	for s.Step = 1; s.Step <= 2; s.Step++ {
		e.Factored(w, rows, columns, func(f func(int, tensor.Tensor)) { f(0, grad) }, [2]uint32{1, 2}, s, scratch)
		ref.Factored(want[0], want[1], want[2], g, s.LR, s.Beta2, s.Eps, s.WeightDecay, s.Step, s.GradScale)
	}
	for i, x := range []tensor.Tensor{w, rows, columns} {
		got, err := e.Download(x)
		if err != nil {
			return err
		}
		if err := e.compare(got, want[i], 1e-10); err != nil {
			return fmt.Errorf("%s: %w", []string{"weight", "rows", "columns"}[i], err)
		}
	}
	return nil
}
