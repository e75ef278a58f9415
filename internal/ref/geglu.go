package ref

import "math"

// GeGLU is out = gelu(gate)·up, element by element, with the tanh form of GELU.
// The twin of shaders/geglu_forward.wgsl.
func GeGLU[F float32 | float64](out, gate, up []F) {
	for i := range out {
		value, _ := gelu64(float64(gate[i]))
		out[i] = F(value * float64(up[i]))
	}
}

// GeGLUBackward overwrites dgate and dup with the gradients of GeGLU's inputs
// given dout, that of its output. The twin of shaders/geglu_backward.wgsl.
func GeGLUBackward[F float32 | float64](dgate, dup, dout, gate, up []F) {
	for i := range dout {
		value, slope := gelu64(float64(gate[i]))
		dup[i] = F(float64(dout[i]) * value)
		dgate[i] = F(float64(dout[i]) * float64(up[i]) * slope)
	}
}

// gelu64 is 0.5 x (1 + tanh(√(2/π) (x + 0.044715 x³))) and its derivative.
// Hendrycks & Gimpel, arXiv:1606.08415.
func gelu64(x float64) (value, slope float64) {
	c := math.Sqrt(2 / math.Pi)
	t := math.Tanh(c * (x + 0.044715*x*x*x))
	return 0.5 * x * (1 + t), 0.5*(1+t) + 0.5*x*(1-t*t)*c*(1+3*0.044715*x*x)
}
