package ref

import "math"

// AdamW is one update of weight, m and v in place, as torch.optim.AdamW
// documents it: decay first, then the bias-corrected step. step counts from 1.
func AdamW(weight, m, v, grad []float32, lr, beta1, beta2, eps, decay float64, step int64, gradScale float64) {
	c1 := 1 - math.Pow(beta1, float64(step))
	c2 := 1 - math.Pow(beta2, float64(step))
	for i := range weight {
		g := gradScale * float64(grad[i])
		first := beta1*float64(m[i]) + (1-beta1)*g
		second := beta2*float64(v[i]) + (1-beta2)*g*g
		w := float64(weight[i])
		w -= lr * decay * w
		w -= lr * (first / c1) / (math.Sqrt(second/c2) + eps)
		weight[i], m[i], v[i] = float32(w), float32(first), float32(second)
	}
}
