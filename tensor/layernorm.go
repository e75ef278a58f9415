package tensor

import (
	"fmt"
	"strconv"

	"concord/gpu"
)

type layernormParams struct {
	N, C, C4, XLD4, OutLD4 uint32
	Eps                    float32
}

// LayerNorm normalises each row of x, (N, C), to mean 0 and variance 1: out =
// weight·(x-mean)·rstd + bias, rstd = 1/sqrt(var+eps). out (N, C), weight and bias
// (1, C), mean and rstd (1, N), which the backward needs. out, mean and rstd lie
// in other buffers than the inputs and than each other.
func (e *Engine) LayerNorm(out, mean, rstd, x, weight, bias Tensor, eps float32) {
	if out.R != x.R || out.C != x.C || mean.R*mean.C != x.R || rstd.R*rstd.C != x.R || weight.R*weight.C != x.C || bias.R*bias.C != x.C {
		panic(fmt.Sprintf("tensor: layernorm: out %v, mean %v, rstd %v, x %v, weight %v, bias %v", out, mean, rstd, x, weight, bias))
	}
	if x.R == 0 || x.C == 0 {
		return
	}
	lanes := e.rmsnormLanes(x.C)
	e.run(call{
		kernel: "layernorm_forward",
		consts: map[string]string{"LANES": strconv.Itoa(lanes)},
		params: layernormParams{N: uint32(x.R), C: uint32(x.C), C4: vec4s(x.C), XLD4: vec4s(x.LD), OutLD4: vec4s(out.LD), Eps: eps},
		binds:  []gpu.View{weight.View(), bias.View(), x.View(), out.View(), mean.View(), rstd.View()},
		groups: grid(ceilDiv(x.R, rmsnormWG/lanes)),
		work:   e.moving(int64(x.R)*int64(x.LD)*16, 0),
	})
}

// LayerNormBackward writes to dx, (N, C), the gradient of LayerNorm's x given
// dout, (N, C), that of its output; with accumulate it adds to the values of dx. mean
// and rstd (1, N) are the forward's. dx lies in another buffer than the inputs.
func (e *Engine) LayerNormBackward(dx, dout, x, weight, mean, rstd Tensor, accumulate bool) {
	if dx.R != x.R || dx.C != x.C || dout.R != x.R || dout.C != x.C || mean.R*mean.C != x.R || rstd.R*rstd.C != x.R ||
		weight.R*weight.C != x.C {
		panic(fmt.Sprintf("tensor: layernorm backward: dx %v, dout %v, x %v, weight %v, mean %v, rstd %v", dx, dout, x, weight, mean, rstd))
	}
	if x.R == 0 || x.C == 0 {
		return
	}
	lanes := e.rmsnormLanes(x.C)
	e.run(call{
		kernel: "layernorm_backward",
		consts: map[string]string{"LANES": strconv.Itoa(lanes)},
		params: rmsnormBackwardParams{N: uint32(x.R), C: uint32(x.C), C4: vec4s(x.C), DoutLD4: vec4s(dout.LD), XLD4: vec4s(x.LD),
			DxLD4: vec4s(dx.LD), Accumulate: asU32(accumulate)},
		binds:  []gpu.View{mean.View(), rstd.View(), dout.View(), x.View(), weight.View(), dx.View()},
		groups: grid(ceilDiv(x.R, rmsnormWG/lanes)),
		work:   e.moving(int64(x.R)*int64(x.LD)*24, int64(x.R)*int64(x.LD)*12),
	})
}

// LayerNormBackwardWeight writes to out, rows of (1, C), objective m's gradient of
// LayerNorm's weight: the sum of dout·(x-mean)·rstd over the tokens of segment m,
// added when accumulate. The bias's is BiasBackward. dout and x are (N, C), mean and
// rstd (1, N); N is seg's last start. out lies in another buffer than the inputs.
func (e *Engine) LayerNormBackwardWeight(out TaskGrads, dout, x, mean, rstd Tensor, seg Segments, accumulate bool) {
	if out.M != seg.M() || out.R*out.C != x.C || dout.R != x.R || dout.C != x.C || mean.R*mean.C != x.R || rstd.R*rstd.C != x.R ||
		seg.Starts[seg.M()] != x.R {
		panic(fmt.Sprintf("tensor: layernorm backward weight: out %d x (%d,%d), dout %v, x %v, mean %v, rstd %v, segments %v", out.M,
			out.R, out.C, dout, x, mean, rstd, seg.Starts))
	}
	if x.C == 0 {
		return
	}
	const cols = 16 // layernorm_backward_weight's default of COLS
	for _, part := range e.bindable(out) {
		sub := out.slice(part[0], part[1])
		e.run(call{
			kernel: "layernorm_backward_weight",
			params: rmsnormBackwardWeightParams{C4: vec4s(x.C), DoutLD4: vec4s(dout.LD), XLD4: vec4s(x.LD), Stride4: vec4s(out.Stride),
				Base: uint32(part[0]), Accumulate: asU32(accumulate)},
			binds:  []gpu.View{mean.View(), rstd.View(), dout.View(), x.View(), seg.Dev.View(), sub.View()},
			groups: [3]int{ceilDiv(int(vec4s(x.C)), cols), sub.M, 1},
			work:   e.moving(int64(x.R)*int64(x.LD)*8, 0),
		})
	}
}
