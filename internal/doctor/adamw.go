package doctor

import (
	"fmt"

	"concord/gpu"
	"concord/internal/optest"
	"concord/internal/ref"
	"concord/tensor"
)

// adamwTests checks three updates.
func adamwTests() []Test {
	return []Test{{"adamw", func(e *Probe) error {
		const n = 257
		state := [4][]float32{optest.Random(n, 1), make([]float32, n), make([]float32, n), optest.Random(n, 2)}
		var x [4]tensor.Tensor
		for i := range x {
			x[i] = e.New(gpu.RoleScratch, "self-test state", 1, n)
			defer x[i].Buf.Release()
			e.Upload(x[i], state[i])
		}
		s := tensor.AdamWParams{LR: 1e-2, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, WeightDecay: 0.1, GradScale: 0.5}
		for s.Step = 1; s.Step <= 3; s.Step++ {
			e.AdamW(x[0], x[1], x[2], x[3], s)
			ref.AdamW(state[0], state[1], state[2], state[3], s.LR, s.Beta1, s.Beta2, s.Eps, s.WeightDecay, s.Step, s.GradScale)
		}
		for i, name := range []string{"weight", "m", "v"} {
			got, err := e.Download(x[i])
			if err != nil {
				return err
			}
			if err := e.compare(got, state[i], 1e-10); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		return nil
	}}}
}
