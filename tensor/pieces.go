package tensor

// An operand larger than one storage binding is cut: products by matmul.go, everything
// else by the functions here. Each element is computed as it would be uncut, so that the
// bits do not depend on the limit, but for sums over all of a row (Gram, SumSquares),
// whose parts are added in float64 on the host.

// cuts are ranges [from, to) of n things, as many at a time as most, a multiple of unit
// unless they are the last.
func cuts(n, unit int, most int64) [][2]int {
	step := int(max(min(most, int64(n)+int64(unit))/int64(unit), 1)) * unit
	var out [][2]int
	for at := 0; at < n; at += step {
		out = append(out, [2]int{at, min(at+step, n)})
	}
	return out
}

// BindingElements is the number of float32 that one binding holds, a multiple of 64.
func (e *Engine) BindingElements() int {
	return int(min(F32.Elements(e.tune.limit), 1<<40) / blockUnit * blockUnit)
}

// flatCuts are ranges of a vector of n values of at most 4 bytes each that can be bound.
func (e *Engine) flatCuts(n, unit int) [][2]int { return cuts(n, unit, int64(e.BindingElements())) }

// rowCuts are ranges of x's rows that can be bound, of a multiple of unit rows.
func (e *Engine) rowCuts(x Tensor, unit int) [][2]int {
	if extent(x) <= e.tune.limit {
		return [][2]int{{0, x.R}}
	}
	return cuts(x.R, max(unit, x.DType.rowUnit()), e.tune.limit/max(x.DType.extent(int64(x.LD)), 1))
}

// span is values from .. to-1 of the vector t, of an element type without blocks or cut
// at whole ones.
func span(t Tensor, from, to int) Tensor {
	t.Offset += t.DType.Bytes(int64(from))
	t.C, t.LD = to-from, to-from
	return t
}

// columns is values from .. to-1 of vectors.
func (r TaskGrads) columns(from, to int) TaskGrads {
	r.Offset += f32Bytes(from)
	r.C, r.LD = to-from, to-from
	return r
}

// rowRange is rows from .. to-1 of the matrices.
func (r TaskGrads) rowRange(from, to int) TaskGrads {
	r.Offset += f32Bytes(int64(from) * int64(r.LD))
	r.R = to - from
	return r
}

// vectors is r as vectors, padding within a matrix included.
func (r TaskGrads) vectors() TaskGrads {
	n := r.R * r.LD
	r.R, r.C, r.LD = 1, n, n
	return r
}
