package ref

// ScaleRows computes out[r,c] = scale[r]·a[r,c] for rows of c values; a scale of
// 0 gives zeros for any a, NaN included. out may be a.
func ScaleRows(out, a, scale []float32, c int) {
	for r, s := range scale {
		for i := r * c; i < (r+1)*c; i++ {
			if s == 0 {
				out[i] = 0
				continue
			}
			out[i] = float32(float64(s) * float64(a[i]))
		}
	}
}
