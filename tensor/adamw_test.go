package tensor

import (
	"testing"

	"concord/gpu"
	"concord/internal/optest"
	"concord/internal/ref"
)

func TestAdamW(t *testing.T) {
	e := testEngine(t)
	for _, n := range []int{1, 3, 255, 256, 257, 4099} {
		var bits [2][]float32
		for run := range 2 {
			state := [3][]float32{optest.Random(n, 1), make([]float32, n), make([]float32, n)}
			var dev [3]Tensor
			for i := range dev {
				dev[i] = guarded(e, 1, n)
				e.Upload(dev[i], state[i])
			}
			s := AdamWParams{LR: 3e-3, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, WeightDecay: 0.1, GradScale: 0.7}
			for step := range int64(10) {
				grad := optest.Random(n, 100+uint64(step))
				s.Step = step + 1
				e.AdamW(dev[0], dev[1], dev[2], upload(e, 1, n, grad), s)
				ref.AdamW(state[0], state[1], state[2], grad, s.LR, s.Beta1, s.Beta2, s.Eps, s.WeightDecay, s.Step, s.GradScale)
			}
			for i, name := range []string{"weight", "m", "v"} {
				got := download(t, e, dev[i])
				if err := optest.Compare(got, state[i], 1e-10); err != nil {
					t.Errorf("n=%d: %s after 10 steps: %v", n, name, err)
				}
				checkGuards(t, e, dev[i])
				bits[run] = append(bits[run], got...)
			}
		}
		if i := optest.Bits(bits[0], bits[1]); i >= 0 {
			t.Errorf("n=%d: other bits at %d the second time", n, i)
		}
	}
}

// TestAdamWKeepsPadding checks that zeros stay zeros and NaN-free.
func TestAdamWKeepsPadding(t *testing.T) {
	e := testEngine(t)
	var x [4]Tensor
	for i := range x {
		x[i] = e.New(gpu.RoleScratch, "zeros", 1, 64)
	}
	e.AdamW(x[0], x[1], x[2], x[3], AdamWParams{LR: 1, Beta1: 0.9, Beta2: 0.95, Eps: 1e-8, WeightDecay: 0.1, Step: 1, GradScale: 1})
	for i, v := range download(t, e, x[0]) {
		if v != 0 {
			t.Fatalf("index %d is %v", i, v)
		}
	}
}

// TestAdamWFoldsGrid covers more than 65,535 workgroups.
func TestAdamWFoldsGrid(t *testing.T) {
	e := testEngine(t)
	const n = 64*4*65536 + 4
	grad := make([]float32, n)
	for i := range grad {
		grad[i] = float32(1 + i%3)
	}
	var x [3]Tensor
	for i := range x {
		x[i] = e.New(gpu.RoleScratch, "state", 1, n)
	}
	e.AdamW(x[0], x[1], x[2], upload(e, 1, n, grad), AdamWParams{LR: 0.5, Beta1: 0.9, Beta2: 0.95, Eps: 1e-8, Step: 1, GradScale: 1})
	for i, v := range download(t, e, x[0]) {
		if v > -0.4999 || v < -0.5001 { // the first step is lr·sign(g)
			t.Fatalf("index %d is %v", i, v)
		}
	}
}
