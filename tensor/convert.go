package tensor

import (
	"fmt"
	"maps"

	"concord/gpu"
)

type convertParams struct{ N, C4, XLD4, OutLD4 uint32 }

// Convert copies x to out, of the same shape in another buffer, each value rounded
// to the nearest one of out's element type, ties to even. out is F32, BF16 or F16; x
// is of any type, so that Convert decodes weights. Values below 2^-126 in magnitude
// may become zero, as on any GPU; the columns of out's padding become zero.
func (e *Engine) Convert(out, x Tensor) {
	if out.R != x.R || out.C != x.C || layouts[out.DType].block > 1 {
		panic(fmt.Sprintf("tensor: convert: %v %v into %v %v", x.DType, x, out.DType, out))
	}
	larger := x
	if extent(out) > extent(x) {
		larger = out
	}
	if cut := e.rowCuts(larger, max(x.DType.rowUnit(), out.DType.rowUnit())); len(cut) > 1 {
		for _, r := range cut {
			e.Convert(block(out, r[0], r[1], 0, out.C), block(x, r[0], r[1], 0, x.C))
		}
		return
	}
	c4 := vec4s(x.C)
	n := x.R * int(c4)
	if n == 0 {
		return
	}
	consts := choose("X", x.DType)
	maps.Copy(consts, choose("OUT", out.DType))
	e.run(call{kernel: "convert", consts: consts, params: convertParams{uint32(n), c4, vec4s(x.LD), vec4s(out.LD)},
		binds: []gpu.View{x.RawView(), out.RawView()}, groups: grid(ceilDiv(n, elementwiseWG)), work: e.moving(x.Bytes()+out.Bytes(), 0)})
}

// choose is the choice of an include for element type d; none for the default.
func choose(key string, d DType) map[string]string {
	c := map[string]string{}
	if d != F32 {
		c[key] = d.String()
	}
	return c
}
