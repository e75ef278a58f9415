package tensor

import (
	"fmt"

	"concord/gpu"
)

type scaleRowsParams struct{ N4, LD4 uint32 }

// ScaleRows is out[r,:] = scale[r]·a[r,:], out and a (N, C) with one leading
// dimension in different buffers, scale (1, N). Rows with a scale of 0 become
// exact zeros, for all values of a there.
func (e *Engine) ScaleRows(out, a, scale Tensor) {
	n4 := sameLayout("scale rows", out, a)
	if scale.R*scale.C < a.R {
		panic(fmt.Sprintf("tensor: scale rows: %v by %v", a, scale))
	}
	if n4 == 0 {
		return
	}
	e.run(call{
		kernel: "scale_rows",
		params: scaleRowsParams{uint32(n4), vec4s(a.LD)},
		binds:  []gpu.View{a.View(), scale.View(), out.View()},
		groups: grid(ceilDiv(n4, elementwiseWG)),
		work:   e.moving(int64(n4)*32, elements(n4)),
	})
}

// ScaleRowsInPlace is ScaleRows with out = a.
func (e *Engine) ScaleRowsInPlace(a, scale Tensor) {
	if scale.R*scale.C < a.R {
		panic(fmt.Sprintf("tensor: scale rows: %v by %v", a, scale))
	}
	n4 := int(vec4s(a.R * a.LD))
	if n4 == 0 {
		return
	}
	e.run(call{
		kernel: "scale_rows_inplace",
		params: scaleRowsParams{uint32(n4), vec4s(a.LD)},
		binds:  []gpu.View{scale.View(), a.View()},
		groups: grid(ceilDiv(n4, elementwiseWG)),
		work:   e.moving(int64(n4)*32, elements(n4)),
	})
}
