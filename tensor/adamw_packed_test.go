package tensor

import (
	"fmt"
	"math"
	"testing"

	"concord/gpu"
	"concord/internal/optest"
	"concord/internal/ref"
)

var packedRounds = map[DType]func([]float32, []uint32) []float32{F32: ref.Exact, BF16: ref.RoundBF16, Dynamic8: ref.Dynamic8,
	Dynamic8Root: ref.Dynamic8Root}

var packedTypes = [][3]DType{{BF16, F32, F32}, {F32, BF16, BF16}, {F32, Dynamic8, Dynamic8Root}, {BF16, Dynamic8, Dynamic8Root},
	{BF16, BF16, Dynamic8Root}}

// packedState is weight, m and v of n values, in larger buffers: the moments begin at
// a block that no binding may begin at.
func packedState(e *Engine, types [3]DType, n int) (all, part [3]Tensor) {
	for i, d := range types {
		all[i] = e.NewTyped(gpu.RoleScratch, "state", d, 1, n+2*PackedBlock)
		part[i] = all[i]
		part[i].Offset, part[i].C, part[i].LD = d.Bytes(PackedBlock), n, n
	}
	return all, part
}

// TestAdamWPacked follows the twin for some updates, each from what the device holds,
// and wants the neighbours in the buffers untouched and the same bits twice.
func TestAdamWPacked(t *testing.T) {
	e := testEngine(t)
	for _, types := range packedTypes {
		for _, n := range []int{256, 1280} {
			t.Run(fmt.Sprint(types, n), func(t *testing.T) {
				var bits [2][]float32
				for run := range 2 {
					all, x := packedState(e, types, n)
					e.Upload(x[0], optest.Random(n, 1))
					s := AdamWParams{LR: 3e-3, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, WeightDecay: 0.1, GradScale: 0.7}
					for s.Step = 1; s.Step < 5; s.Step++ {
						grad, key := optest.Random(n, 100+uint64(s.Step)), [2]uint32{uint32(s.Step), 7}
						var want [3][]float32
						for i := range x {
							want[i] = download(t, e, x[i])
						}
						e.AdamWPacked(x[0], x[1], x[2], upload(e, 1, n, grad), key, 0, s)
						if run == 0 {
							ref.AdamWPacked(want[0], want[1], want[2], grad, s.LR, s.Beta1, s.Beta2, s.Eps, s.WeightDecay, s.Step, s.GradScale, key,
								[3]func([]float32, []uint32) []float32{packedRounds[types[0]], packedRounds[types[1]], packedRounds[types[2]]})
							for i, name := range []string{"weight", "m", "v"} {
								if err := optest.Compare(download(t, e, x[i]), want[i], 1e-5); err != nil {
									t.Errorf("%s after update %d: %v", name, s.Step, err)
								}
							}
						}
					}
					for i, a := range all {
						v := download(t, e, a)
						for k := range PackedBlock {
							if v[k] != 0 || v[len(v)-1-k] != 0 {
								t.Fatalf("state %d: value %d beside the operand was written", i, k)
							}
						}
						bits[run] = append(bits[run], v...)
					}
				}
				if i := optest.Bits(bits[0], bits[1]); i >= 0 {
					t.Errorf("other bits at %d the second time", i)
				}
			})
		}
	}
}

// TestAdamWPackedMean holds the rounding of all that is stored to be without bias: the
// mean over many keys is the value that float32 gives, within five standard errors and
// eight draws: a step between levels is at most 2 % of the largest value.
func TestAdamWPackedMean(t *testing.T) {
	e := testEngine(t)
	const n, keys = 256, 1024
	s := AdamWParams{LR: 1e-3, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, GradScale: 1, Step: 1}
	weight, grad := optest.Random(n, 1), optest.Random(n, 2)
	exact := [3][]float32{BF16.Decode(BF16.Encode(weight)), make([]float32, n), make([]float32, n)}
	ref.AdamW(exact[0], exact[1], exact[2], grad, s.LR, s.Beta1, s.Beta2, s.Eps, 0, 1, 1)
	for i := range exact[2] { // of v the root is stored
		exact[2][i] = float32(math.Sqrt(float64(exact[2][i])))
	}
	for _, types := range [][3]DType{{BF16, BF16, Dynamic8Root}, {BF16, Dynamic8, Dynamic8Root}} {
		_, x := packedState(e, types, n)
		g := upload(e, 1, n, grad)
		var sum, square [3][n]float64
		for k := range uint32(keys) {
			e.Upload(x[0], weight)
			for i := 1; i < 3; i++ {
				e.Dev.Zero(x[i].RawView())
			}
			e.AdamWPacked(x[0], x[1], x[2], g, [2]uint32{k * 2654435761, k ^ 0x5bd1e995}, 0, s)
			for i := range x {
				for j, v := range download(t, e, x[i]) {
					y := float64(v)
					if i == 2 {
						y = math.Sqrt(y)
					}
					sum[i][j], square[i][j] = sum[i][j]+y, square[i][j]+y*y
				}
			}
		}
		for i := range x {
			varied, most := 0, 0.0
			for _, v := range exact[i] {
				most = max(most, math.Abs(float64(v)))
			}
			for j := range n {
				mean := sum[i][j] / keys
				sd := math.Sqrt(max(0, square[i][j]/keys-mean*mean))
				if sd > 1e-7*math.Abs(mean) {
					varied++
				}
				want := float64(exact[i][j])
				if i == 2 && mean < 1e-6 {
					continue // near 0 roots are kept above it
				}
				if d := math.Abs(mean - want); d > 5*sd/math.Sqrt(keys)+8*0.02*most/keys {
					t.Errorf("%v: value %d of state %d has mean %v, want %v ± %v", types, j, i, mean, want, sd/math.Sqrt(keys))
				}
			}
			if varied < n/2 {
				t.Errorf("%v: only %d of %d values of state %d are rounded by chance", types, varied, n, i)
			}
		}
	}
}

// TestAdamWPackedFloor wants no zero as a second moment that is not: m / 0 would be an
// update without bound.
func TestAdamWPackedFloor(t *testing.T) {
	e := testEngine(t)
	_, x := packedState(e, [3]DType{F32, Dynamic8, Dynamic8Root}, 256)
	grad := make([]float32, 256)
	for i := range grad {
		grad[i] = float32(math.Pow(10, -float64(i%12)))
	}
	e.AdamWPacked(x[0], x[1], x[2], upload(e, 1, 256, grad), [2]uint32{3, 4}, 0,
		AdamWParams{LR: 1, Beta1: 0.9, Beta2: 0.999, Eps: 1e-12, GradScale: 1, Step: 1})
	for i, v := range download(t, e, x[2]) {
		if !(v > 0) {
			t.Fatalf("the second moment of gradient %v is %v", grad[i], v)
		}
	}
}
