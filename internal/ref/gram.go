package ref

// Gram returns G = J Jᵀ as m*m float64 values: row i of J is the n values of
// rows from i*stride on.
func Gram(rows []float32, m, stride, n int) []float64 {
	out := make([]float64, m*m)
	for i := range m {
		for j := range m {
			var sum float64
			for c := range n {
				sum += float64(rows[i*stride+c]) * float64(rows[j*stride+c])
			}
			out[i*m+j] = sum
		}
	}
	return out
}
