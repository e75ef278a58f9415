package tensor

import (
	"fmt"

	"concord/gpu"
)

// elementwiseWG is the workgroup size of the kernels with one vec4 per
// invocation: add, swiglu, embedding.
const elementwiseWG = 64

// flatParams is struct Params of the kernels that see a matrix as one row.
type flatParams struct{ N4 uint32 }

// sameLayout panics unless all tensors have the shape and the leading dimension
// of the first; op is for the message. It returns their elements, padding
// included, in vec4s.
func sameLayout(op string, ts ...Tensor) int {
	for _, t := range ts {
		if t.R != ts[0].R || t.C != ts[0].C || t.LD != ts[0].LD {
			panic(fmt.Sprintf("tensor: %s: shapes %v differ (leading dimensions %d and %d)", op, ts, ts[0].LD, t.LD))
		}
	}
	return int(vec4s(ts[0].R * ts[0].LD))
}

// Add is out = a + b, all (R, C) with one leading dimension. out may be a itself
// or b itself; otherwise it lies in another buffer than both.
func (e *Engine) Add(out, a, b Tensor) {
	n4 := sameLayout("add", out, a, b)
	if n4 == 0 {
		return
	}
	c := call{kernel: "add_forward", params: flatParams{uint32(n4)}, groups: grid(ceilDiv(n4, elementwiseWG)),
		work: e.moving(3*f32Bytes(elements(n4)), elements(n4))}
	switch out {
	case a:
		c.kernel, c.binds = "add_inplace", []gpu.View{b.View(), out.View()}
	case b:
		c.kernel, c.binds = "add_inplace", []gpu.View{a.View(), out.View()}
	default:
		c.binds = []gpu.View{a.View(), b.View(), out.View()}
	}
	e.run(c)
}
