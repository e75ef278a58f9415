package ref

// GELU is out = gelu(x), element by element, in its tanh form. The twin of
// shaders/gelu_forward.wgsl.
func GELU[F float32 | float64](out, x []F) {
	for i := range out {
		value, _ := gelu64(float64(x[i]))
		out[i] = F(value)
	}
}

// GELUBackward overwrites dx with the gradient of GELU's input given dout, that of
// its output. The twin of shaders/gelu_backward.wgsl.
func GELUBackward[F float32 | float64](dx, dout, x []F) {
	for i := range dx {
		_, slope := gelu64(float64(x[i]))
		dx[i] = F(float64(dout[i]) * slope)
	}
}
