package tensor

import "strconv"

// Target is where one write of a parameter's gradient goes: matrix m of Rows
// takes that of the tokens of segment m, added to the values there if Accumulate.
type Target struct {
	Rows       TaskGrads
	Segments   Segments
	Accumulate bool
}

// Part is a write of rows Lo .. Lo+Rows.R-1 of a parameter's gradient. Lo is a
// multiple of PartRows.
type Part struct {
	Lo int
	Target
}

// PartRows is the granularity of parts: a column of logits that a multiple of them
// comes before can be bound, and Factored takes a gradient in such pieces.
const PartRows = FactoredRows

// bindable cuts the objectives of r into ranges [first, end) small enough for
// one storage binding. Rows that lie far apart, as in a bucket of the whole
// model, exceed it together but not one by one.
func (e *Engine) bindable(r TaskGrads) [][2]int {
	limit := F32.Elements(e.tune.limit)
	fit := 1
	if spare := limit - int64(r.R)*int64(r.LD); spare > 0 && r.Stride > 0 {
		fit = int(min(spare/int64(r.Stride), int64(r.M))) + 1
	}
	var out [][2]int
	for m := 0; m < r.M; m += fit {
		out = append(out, [2]int{m, min(m+fit, r.M)})
	}
	return out
}

// slice is the rows of objectives first .. end-1.
func (r TaskGrads) slice(first, end int) TaskGrads {
	r.Offset += f32Bytes(int64(first) * int64(r.Stride))
	r.M = end - first
	return r
}

// wgslFloat is x as a WGSL constant.
func wgslFloat(x float32) string { return strconv.FormatFloat(float64(x), 'e', -1, 32) + "f" }

// asU32 is b as a kernel parameter.
func asU32(b bool) uint32 {
	if b {
		return 1
	}
	return 0
}
