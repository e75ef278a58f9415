package tensor

import (
	"fmt"
	"strconv"

	"concord/gpu"
)

// rmsnormWG is the workgroup size of rmsnorm_forward and rmsnorm_backward.
const rmsnormWG = 64

// rmsnormLanes is how many invocations share a row of c elements. Few save
// reduction steps, which are dear on software rasterizers; on a GPU as many as
// have something to load read a row in whole cache lines and hide its latency.
func (e *Engine) rmsnormLanes(c int) int {
	switch {
	case e.cpu || c < 256:
		return 8
	case c < 2048:
		return 32
	}
	return 64
}

type rmsnormParams struct {
	N, C, C4, XLD4, OutLD4 uint32
	Eps                    float32
}

// RMSNorm normalises each row of x, (N, C): rstd = 1/sqrt(mean(x²)+eps), out =
// (offset+weight)·x·rstd. out (N, C), weight (1, C), rstd (1, N), which the backward
// needs. out and rstd lie in other buffers than x and weight.
func (e *Engine) RMSNorm(out, rstd, x, weight Tensor, eps, offset float32) {
	if out.R != x.R || out.C != x.C || rstd.R*rstd.C != x.R || weight.R*weight.C != x.C {
		panic(fmt.Sprintf("tensor: rmsnorm: out %v, rstd %v, x %v, weight %v", out, rstd, x, weight))
	}
	if x.R == 0 || x.C == 0 {
		return
	}
	lanes := e.rmsnormLanes(x.C)
	e.run(call{
		kernel: "rmsnorm_forward",
		consts: map[string]string{"LANES": strconv.Itoa(lanes), "OFFSET": wgslFloat(offset)},
		params: rmsnormParams{N: uint32(x.R), C: uint32(x.C), C4: vec4s(x.C), XLD4: vec4s(x.LD), OutLD4: vec4s(out.LD), Eps: eps},
		binds:  []gpu.View{x.View(), weight.View(), out.View(), rstd.View()},
		groups: grid(ceilDiv(x.R, rmsnormWG/lanes)),
		work:   e.moving(int64(x.R)*int64(x.LD)*12, 0),
	})
}

type rmsnormBackwardParams struct {
	N, C, C4, DoutLD4, XLD4, DxLD4, Accumulate uint32
}

// RMSNormBackward writes to dx, (N, C), the gradient of RMSNorm's x given dout,
// (N, C), that of its output, and its offset; with accumulate it adds to the values of dx, the
// gradient that came down the residual stream. rstd (1, N) is the forward's. dx
// lies in another buffer than the inputs.
func (e *Engine) RMSNormBackward(dx, dout, x, weight, rstd Tensor, offset float32, accumulate bool) {
	if dx.R != x.R || dx.C != x.C || dout.R != x.R || dout.C != x.C || rstd.R*rstd.C != x.R || weight.R*weight.C != x.C {
		panic(fmt.Sprintf("tensor: rmsnorm backward: dx %v, dout %v, x %v, weight %v, rstd %v", dx, dout, x, weight, rstd))
	}
	if x.R == 0 || x.C == 0 {
		return
	}
	lanes := e.rmsnormLanes(x.C)
	e.run(call{
		kernel: "rmsnorm_backward",
		consts: map[string]string{"LANES": strconv.Itoa(lanes), "OFFSET": wgslFloat(offset)},
		params: rmsnormBackwardParams{N: uint32(x.R), C: uint32(x.C), C4: vec4s(x.C), DoutLD4: vec4s(dout.LD), XLD4: vec4s(x.LD),
			DxLD4: vec4s(dx.LD), Accumulate: asU32(accumulate)},
		binds:  []gpu.View{dout.View(), x.View(), weight.View(), rstd.View(), dx.View()},
		groups: grid(ceilDiv(x.R, rmsnormWG/lanes)),
		work:   e.moving(int64(x.R)*int64(x.LD)*24, int64(x.R)*int64(x.LD)*10),
	})
}

type rmsnormBackwardWeightParams struct {
	C4, DoutLD4, XLD4, Stride4, Base, Accumulate uint32
}

// RMSNormBackwardWeight writes to out, rows of (1, C), objective m's gradient of
// RMSNorm's weight: the sum of dout·x·rstd over the tokens of segment m, added
// when accumulate. dout and x are (N, C), rstd (1, N); N is seg's last start. out
// lies in another buffer than the inputs.
func (e *Engine) RMSNormBackwardWeight(out TaskGrads, dout, x, rstd Tensor, seg Segments, accumulate bool) {
	if out.M != seg.M() || out.R*out.C != x.C || dout.R != x.R || dout.C != x.C || rstd.R*rstd.C != x.R || seg.Starts[seg.M()] != x.R {
		panic(fmt.Sprintf("tensor: rmsnorm backward weight: out %d x (%d,%d), dout %v, x %v, rstd %v, segments %v", out.M, out.R, out.C,
			dout, x, rstd, seg.Starts))
	}
	if x.C == 0 {
		return
	}
	const cols = 16 // rmsnorm_backward_weight's default of COLS
	for _, part := range e.bindable(out) {
		sub := out.slice(part[0], part[1])
		e.run(call{
			kernel: "rmsnorm_backward_weight",
			params: rmsnormBackwardWeightParams{C4: vec4s(x.C), DoutLD4: vec4s(dout.LD), XLD4: vec4s(x.LD), Stride4: vec4s(out.Stride),
				Base: uint32(part[0]), Accumulate: asU32(accumulate)},
			binds:  []gpu.View{dout.View(), x.View(), rstd.View(), seg.Dev.View(), sub.View()},
			groups: [3]int{ceilDiv(int(vec4s(x.C)), cols), sub.M, 1},
			work:   e.moving(int64(x.R)*int64(x.LD)*8, 0),
		})
	}
}
