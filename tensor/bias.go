package tensor

import (
	"fmt"

	"concord/gpu"
)

type biasAddParams struct{ N, C4, LD4 uint32 }

// AddBias adds bias, (1, C), to every row of x, (N, C), in another buffer.
func (e *Engine) AddBias(x, bias Tensor) {
	if bias.R*bias.C != x.C {
		panic(fmt.Sprintf("tensor: add bias: %v to the rows of %v", bias, x))
	}
	n4 := x.R * int(vec4s(x.C))
	if n4 == 0 {
		return
	}
	e.run(call{
		kernel: "bias_add",
		params: biasAddParams{N: uint32(x.R), C4: vec4s(x.C), LD4: vec4s(x.LD)},
		binds:  []gpu.View{bias.View(), x.View()},
		groups: grid(ceilDiv(n4, elementwiseWG)),
		work:   e.moving(int64(n4)*32, elements(n4)),
	})
}

type biasBackwardParams struct{ C4, DoutLD4, Stride4, Base, Accumulate uint32 }

// BiasBackward writes to out, rows of (1, C), objective m's gradient of a bias:
// the sum of dout's rows, (N, C), over the tokens of segment m, added when
// accumulate. N is seg's last start. out lies in another buffer than dout.
func (e *Engine) BiasBackward(out TaskGrads, dout Tensor, seg Segments, accumulate bool) {
	if out.M != seg.M() || out.R*out.C != dout.C || seg.Starts[seg.M()] != dout.R {
		panic(fmt.Sprintf("tensor: bias backward: out %d x (%d,%d), dout %v, segments %v", out.M, out.R, out.C, dout, seg.Starts))
	}
	if dout.C == 0 {
		return
	}
	const cols = 16 // bias_backward's default of COLS
	for _, part := range e.bindable(out) {
		sub := out.slice(part[0], part[1])
		e.run(call{
			kernel: "bias_backward",
			params: biasBackwardParams{C4: vec4s(dout.C), DoutLD4: vec4s(dout.LD), Stride4: vec4s(out.Stride), Base: uint32(part[0]),
				Accumulate: asU32(accumulate)},
			binds:  []gpu.View{dout.View(), seg.Dev.View(), sub.View()},
			groups: [3]int{ceilDiv(int(vec4s(dout.C)), cols), sub.M, 1},
			work:   e.moving(f32Bytes(dout.R*dout.LD), 0),
		})
	}
}
