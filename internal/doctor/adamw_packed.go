package doctor

import (
	"fmt"

	"concord/gpu"
	"concord/internal/optest"
	"concord/internal/ref"
	"concord/tensor"
)

// adamwPackedTests checks an update of bf16 weights with moments of every type.
func adamwPackedTests() []Test {
	rounds := map[tensor.DType]func([]float32, []uint32) []float32{tensor.F32: ref.Exact, tensor.BF16: ref.RoundBF16,
		tensor.Dynamic8: ref.Dynamic8, tensor.Dynamic8Root: ref.Dynamic8Root}
	return []Test{{"adamw_packed", func(e *Probe) error {
		const n = 2 * tensor.PackedBlock
		key := [2]uint32{1, 2}
		for _, types := range [][3]tensor.DType{{tensor.BF16, tensor.F32, tensor.F32}, {tensor.F32, tensor.BF16, tensor.BF16},
			{tensor.BF16, tensor.Dynamic8, tensor.Dynamic8Root}} {
			var x [3]tensor.Tensor
			for i, d := range types {
				x[i] = e.NewTyped(gpu.RoleScratch, "self-test state", d, 1, n)
				defer release(x[i])
			}
			grad := e.New(gpu.RoleScratch, "self-test gradient", 1, n)
			defer release(grad)
			g, want := optest.Random(n, 2), [3][]float32{optest.Random(n, 1), make([]float32, n), make([]float32, n)}
			e.Upload(grad, g)
			e.Upload(x[0], want[0])
			want[0] = types[0].Decode(types[0].Encode(want[0]))
			s := tensor.AdamWParams{LR: 1e-2, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, WeightDecay: 0.1, GradScale: 0.5, Step: 1}
			e.AdamWPacked(x[0], x[1], x[2], grad, key, 0, s)
			ref.AdamWPacked(want[0], want[1], want[2], g, s.LR, s.Beta1, s.Beta2, s.Eps, s.WeightDecay, s.Step, s.GradScale, key,
				[3]func([]float32, []uint32) []float32{rounds[types[0]], rounds[types[1]], rounds[types[2]]})
			for i, name := range []string{"weight", "m", "v"} {
				got, err := e.Download(x[i])
				if err != nil {
					return err
				}
				if err := e.compare(got, want[i], 1e-5); err != nil { // a draw at its boundary may fall the other way
					return fmt.Errorf("%s of %v: %w", name, types[i], err)
				}
			}
		}
		return nil
	}}}
}
