package ref

// AddBias adds bias to every row of x, (N, len(bias)). The twin of
// shaders/bias_add.wgsl.
func AddBias[F float32 | float64](x, bias []F) {
	for i := range x {
		x[i] += bias[i%len(bias)]
	}
}

// BiasBackward sums, for each objective m, the rows starts[m] .. starts[m+1]-1
// of dout, (N, c), into row m of out. The twin of shaders/bias_backward.wgsl.
func BiasBackward[F float32 | float64](out, dout []F, c int, starts []int, accumulate bool) {
	sum := make([]float64, len(out))
	for m := range len(starts) - 1 {
		for r := starts[m]; r < starts[m+1]; r++ {
			for j := range c {
				sum[m*c+j] += float64(dout[r*c+j])
			}
		}
	}
	store(out, sum, accumulate)
}
