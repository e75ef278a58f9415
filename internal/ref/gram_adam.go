package ref

import "math"

// AdamRoot is √(1/(√v̂ + eps)) for every element, v̂ as AdamW's next update t will
// have it when the gradient is scale·mean. Where the mean is not finite it is 0.
func AdamRoot(mean, v []float32, beta2, eps, scale float64, t int64) []float64 {
	out := make([]float64, len(v))
	for i := range v {
		g := float64(mean[i]) * scale
		if math.IsNaN(g) || math.IsInf(g, 0) {
			continue
		}
		second := (beta2*float64(v[i]) + (1-beta2)*g*g) / (1 - math.Pow(beta2, float64(t)))
		out[i] = math.Sqrt(1 / (math.Sqrt(second) + eps))
	}
	return out
}
