package tensor

import "concord/gpu"

// GELU is out = gelu(x) in its tanh form, both (N, F) with one leading dimension
// in different buffers. Hendrycks & Gimpel, arXiv:1606.08415.
func (e *Engine) GELU(out, x Tensor) {
	n4 := sameLayout("gelu", out, x)
	if n4 == 0 {
		return
	}
	e.run(call{
		kernel: "gelu_forward",
		params: flatParams{uint32(n4)},
		binds:  []gpu.View{x.View(), out.View()},
		groups: grid(ceilDiv(n4, elementwiseWG)),
		work:   e.moving(int64(n4)*32, int64(n4)*40),
	})
}

// GELUBackward overwrites x, GELU's input, with its gradient given dout, that of its
// output. Both are (N, F) with one leading dimension in different buffers.
func (e *Engine) GELUBackward(dout, x Tensor) {
	n4 := sameLayout("gelu backward", dout, x)
	if n4 == 0 {
		return
	}
	e.run(call{
		kernel: "gelu_backward",
		params: flatParams{uint32(n4)},
		binds:  []gpu.View{dout.View(), x.View()},
		groups: grid(ceilDiv(n4, elementwiseWG)),
		work:   e.moving(int64(n4)*48, int64(n4)*60),
	})
}
