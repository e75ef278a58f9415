package ref

// Combine computes out (+)= Σ weights[i] · rows[i*stride : i*stride+len(out)].
// A row of weight 0 is not read.
func Combine(out, rows []float32, stride int, weights []float32, accumulate bool) {
	for c := range out {
		var sum float64
		if accumulate {
			sum = float64(out[c])
		}
		for i, w := range weights {
			if w != 0 {
				sum += float64(w) * float64(rows[i*stride+c])
			}
		}
		out[c] = float32(sum)
	}
}
