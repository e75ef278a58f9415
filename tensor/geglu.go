package tensor

import "concord/gpu"

// GeGLU is out = gelu(gate)·up with the tanh form of GELU, all (N, F) with
// one leading dimension; out lies in another buffer than gate and up.
func (e *Engine) GeGLU(out, gate, up Tensor) {
	n4 := sameLayout("geglu", out, gate, up)
	if n4 == 0 {
		return
	}
	e.run(call{
		kernel: "geglu_forward",
		params: flatParams{uint32(n4)},
		binds:  []gpu.View{gate.View(), up.View(), out.View()},
		groups: grid(ceilDiv(n4, elementwiseWG)),
		work:   e.moving(int64(n4)*48, int64(n4)*40),
	})
}

// GeGLUBackward overwrites dout, the gradient of GeGLU's output, with that of gate, and up
// with its own; gate is read. All are (N, F) with one leading dimension in different
// buffers.
func (e *Engine) GeGLUBackward(dout, gate, up Tensor) {
	n4 := sameLayout("geglu backward", dout, gate, up)
	if n4 == 0 {
		return
	}
	e.run(call{
		kernel: "geglu_backward",
		params: flatParams{uint32(n4)},
		binds:  []gpu.View{gate.View(), dout.View(), up.View()},
		groups: grid(ceilDiv(n4, elementwiseWG)),
		work:   e.moving(int64(n4)*80, int64(n4)*60),
	})
}
