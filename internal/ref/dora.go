package ref

import "math"

// RowSquares are the squared norms of the rows of W + s B A, for W (rows, c), A (rank, c)
// and B (rows, rank). The twin of shaders/dora_squares.wgsl.
func RowSquares(w, a, b []float32, rank, c int, s float64) []float32 {
	out := make([]float32, len(b)/rank)
	for j := range out {
		sum := 0.0
		for i := range c {
			v := float64(w[j*c+i])
			for k := range rank {
				v += s * float64(b[j*rank+k]) * float64(a[k*c+i])
			}
			sum += v * v
		}
		out[j] = float32(sum)
	}
	return out
}

// ScaleColumns multiplies the values of x, rows of len(squares), by f, one row or as many
// as x has, over the root of their column's square, less offset; the quotient by 0 is 0. The
// twin of shaders/dora_scale.wgsl.
func ScaleColumns(x, f, squares []float32, offset float64) {
	for i := range x {
		scale, q := 0.0, float64(squares[i%len(squares)])
		if q > 0 {
			scale = float64(f[i%len(f)]) / math.Sqrt(q)
		}
		x[i] = float32(float64(x[i]) * (scale - offset))
	}
}
