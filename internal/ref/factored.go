package ref

import "math"

// Factored is one update of weight (r, c), and of the mean squares of the gradient's
// rows and columns, in place: Adafactor (Shazeer & Stern 2018, algorithm 4) without
// relative steps. With v̂ = rows·columns / mean(rows) / (1 − β2^t):
//
//	u = g / (√v̂ + ε),   weight ← (1 − lr·decay) weight − lr u / max(1, RMS(u))
func Factored(weight, rows, columns, grad []float32, lr, beta2, eps, decay float64, step int64, gradScale float64) {
	r, c := len(rows), len(columns)
	square, perRow, perColumn := func(i int) float64 { g := gradScale * float64(grad[i]); return g * g }, make([]float64, r),
		make([]float64, c)
	for i := range grad {
		perRow[i/c] += square(i)
		perColumn[i%c] += square(i)
	}
	mean := 0.0
	for i := range rows {
		rows[i] = float32(beta2*float64(rows[i]) + (1-beta2)*perRow[i]/float64(c))
		mean += float64(rows[i]) / float64(r)
	}
	for i := range columns {
		columns[i] = float32(beta2*float64(columns[i]) + (1-beta2)*perColumn[i]/float64(r))
	}
	correction, size, u := 1-math.Pow(beta2, float64(step)), 0.0, make([]float64, len(grad))
	for i := range grad {
		v := 0.0
		if mean > 0 {
			v = float64(rows[i/c]) * float64(columns[i%c]) / mean / correction
		}
		u[i] = gradScale * float64(grad[i]) / (math.Sqrt(v) + eps)
		size += u[i] * u[i] / float64(len(grad))
	}
	for i := range weight {
		weight[i] = float32((1-lr*decay)*float64(weight[i]) - lr*u[i]/max(1, math.Sqrt(size)))
	}
}
