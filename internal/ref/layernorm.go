package ref

import "math"

// LayerNorm normalises the rows of x, (len(rstd), c) row-major, to mean 0 and
// variance 1: out = weight·(x-mean)·rstd + bias, rstd = 1/sqrt(var(x)+eps). The
// twin of shaders/layernorm_forward.wgsl (arXiv:1607.06450).
func LayerNorm[F float32 | float64](out, mean, rstd, x, weight, bias []F, eps float64) {
	c := len(weight)
	for r := range rstd {
		var m, s float64
		row := x[r*c : (r+1)*c]
		for _, v := range row {
			m += float64(v) / float64(c)
		}
		for _, v := range row {
			s += (float64(v) - m) * (float64(v) - m) / float64(c)
		}
		scale := 1 / math.Sqrt(s+eps)
		mean[r], rstd[r] = F(m), F(scale)
		for j, w := range weight {
			out[r*c+j] = F(float64(w)*(float64(row[j])-m)*scale + float64(bias[j]))
		}
	}
}

// LayerNormBackward writes the gradient of LayerNorm's x to dx, or adds it when
// accumulate, given dout, that of its output, and the forward's mean and rstd.
// The twin of shaders/layernorm_backward.wgsl.
func LayerNormBackward[F float32 | float64](dx, dout, x, weight, mean, rstd []F, accumulate bool) {
	c := len(weight)
	g := make([]float64, len(dx))
	for r := range rstd {
		scale, m := float64(rstd[r]), float64(mean[r])
		var s, q float64
		for j, w := range weight {
			v := float64(w) * float64(dout[r*c+j])
			s += v / float64(c)
			q += v * (float64(x[r*c+j]) - m) * scale / float64(c)
		}
		for j, w := range weight {
			g[r*c+j] = scale * (float64(w)*float64(dout[r*c+j]) - s - (float64(x[r*c+j])-m)*scale*q)
		}
	}
	store(dx, g, accumulate)
}

// LayerNormBackwardWeight sums, for each objective m, dout·(x-mean)·rstd over the
// rows starts[m] .. starts[m+1]-1 into row m of out, (len(starts)-1, c). The twin
// of shaders/layernorm_backward_weight.wgsl.
func LayerNormBackwardWeight[F float32 | float64](out, dout, x, mean, rstd []F, starts []int, accumulate bool) {
	c := len(x) / len(rstd)
	sum := make([]float64, len(out))
	for m := range len(starts) - 1 {
		for r := starts[m]; r < starts[m+1]; r++ {
			for j := range c {
				sum[m*c+j] += float64(dout[r*c+j]) * (float64(x[r*c+j]) - float64(mean[r])) * float64(rstd[r])
			}
		}
	}
	store(out, sum, accumulate)
}
