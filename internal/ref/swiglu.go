package ref

import "math"

// SwiGLU is out = silu(gate)·up, element by element, silu(g) = g/(1+exp(-g)).
// The twin of shaders/swiglu_forward.wgsl.
func SwiGLU[F float32 | float64](out, gate, up []F) {
	for i := range out {
		g := float64(gate[i])
		out[i] = F(g / (1 + math.Exp(-g)) * float64(up[i]))
	}
}

// SwiGLUBackward overwrites dgate and dup with the gradients of SwiGLU's inputs
// given dout, that of its output. The twin of shaders/swiglu_backward.wgsl.
func SwiGLUBackward[F float32 | float64](dgate, dup, dout, gate, up []F) {
	for i := range dout {
		d, g := float64(dout[i]), float64(gate[i])
		s := 1 / (1 + math.Exp(-g))
		dup[i] = F(d * g * s)
		dgate[i] = F(d * float64(up[i]) * s * (1 + g*(1-s)))
	}
}
