package ref

// GhostGram is ⟨dW_i, dW_j⟩ of dW_m = dy_mᵀ x_m as m*m float64 values, from inner
// products between tokens: dy is n rows of r values, x of c.
func GhostGram(dy, x []float32, starts []int, r, c int) []float64 {
	m := len(starts) - 1
	out := make([]float64, m*m)
	dot := func(a []float32, s, t, k int) (sum float64) {
		for i := range k {
			sum += float64(a[s*k+i]) * float64(a[t*k+i])
		}
		return sum
	}
	for i := range m {
		for j := range m {
			for s := starts[i]; s < starts[i+1]; s++ {
				for t := starts[j]; t < starts[j+1]; t++ {
					out[i*m+j] += dot(dy, s, t, r) * dot(x, s, t, c)
				}
			}
		}
	}
	return out
}
