package ref

import "math"

// RMSNorm normalises the rows of x, (len(rstd), c) row-major:
// rstd = 1/sqrt(mean(x²)+eps), out = weight·x·rstd. The twin of
// shaders/rmsnorm_forward.wgsl (arXiv:1910.07467, equation 4).
func RMSNorm[F float32 | float64](out, rstd, x, weight []F, eps float64) {
	c := len(weight)
	for r := range rstd {
		var s float64
		for _, v := range x[r*c : (r+1)*c] {
			s += float64(v) * float64(v)
		}
		scale := 1 / math.Sqrt(s/float64(c)+eps)
		rstd[r] = F(scale)
		for j, w := range weight {
			out[r*c+j] = F(float64(w) * float64(x[r*c+j]) * scale)
		}
	}
}

// RMSNormBackward writes the gradient of RMSNorm's x to dx, or adds it when
// accumulate, given dout, that of its output, and the rstd of the forward. The
// twin of shaders/rmsnorm_backward.wgsl.
func RMSNormBackward[F float32 | float64](dx, dout, x, weight, rstd []F, accumulate bool) {
	c := len(weight)
	g := make([]float64, len(dx))
	for r := range rstd {
		scale := float64(rstd[r])
		var s float64
		for j, w := range weight {
			s += float64(dout[r*c+j]) * float64(w) * float64(x[r*c+j])
		}
		q := s * scale * scale / float64(c)
		for j, w := range weight {
			g[r*c+j] = scale * (float64(w)*float64(dout[r*c+j]) - q*float64(x[r*c+j]))
		}
	}
	store(dx, g, accumulate)
}

// RMSNormBackwardWeight sums, for each objective m, dout·x·rstd over the rows
// starts[m] .. starts[m+1]-1 into row m of out, (len(starts)-1, c). The twin of
// shaders/rmsnorm_backward_weight.wgsl.
func RMSNormBackwardWeight[F float32 | float64](out, dout, x, rstd []F, starts []int, accumulate bool) {
	c := len(x) / len(rstd)
	sum := make([]float64, len(out))
	for m := range len(starts) - 1 {
		for r := starts[m]; r < starts[m+1]; r++ {
			for j := range c {
				sum[m*c+j] += float64(dout[r*c+j]) * float64(x[r*c+j]) * float64(rstd[r])
			}
		}
	}
	store(out, sum, accumulate)
}
