package tensor

import (
	"fmt"
	"strconv"

	"concord/gpu"
)

// doraTurns bounds the turns of an invocation's loop in dora_squares: software
// rasterizers end a loop at 65,535.
const doraTurns = 1 << 14

type doraSquaresParams struct {
	N, C, First, End, WLD4, ALD4, BLD, Rank, Accumulate uint32
	S                                                   float32
}

// RowSquares is out[j] = ‖W_j + s (B A)_j‖², the squared norms of the rows of an adapted
// weight: w (R, C) of any element type, a (rank, C), b (R, rank), out (1, R) in a buffer
// of its own. W + s B A is made nowhere (DoRA, arXiv:2402.09353, equation 5).
func (e *Engine) RowSquares(out, w, a, b Tensor, s float32) {
	if a.C != w.C || b.R != w.R || b.C != a.R || out.R != 1 || out.C != w.R {
		panic(fmt.Sprintf("tensor: row squares: out %v, w %v, a %v, b %v", out, w, a, b))
	}
	if w.R == 0 || w.C == 0 {
		return
	}
	for _, r := range e.rowCuts(w, blockUnit) {
		e.rowSquares(span(out, r[0], r[0]+F32.LD(r[1]-r[0])), w.rows(r[0], r[1]), a, b.rows(r[0], r[1]), s)
	}
}

// rowSquares is RowSquares of matrices that are bound at once.
func (e *Engine) rowSquares(out, w, a, b Tensor, s float32) {
	const wg = 64
	lanes := e.rmsnormLanes(w.C)
	consts := choose("W", w.DType)
	consts["LANES"] = strconv.Itoa(lanes)
	c4 := int(vec4s(w.C))
	step := max(1, doraTurns/(a.R+1)) * lanes
	for first := 0; first < c4; first += step {
		e.run(call{
			kernel: "dora_squares", consts: consts,
			params: doraSquaresParams{N: uint32(w.R), C: uint32(w.C), First: uint32(first), End: uint32(min(c4, first+step)),
				WLD4: vec4s(w.LD), ALD4: vec4s(a.LD), BLD: uint32(b.LD), Rank: uint32(a.R), Accumulate: asU32(first > 0), S: s},
			binds:  []gpu.View{w.RawView(), a.View(), b.View(), out.View()},
			groups: grid(ceilDiv(F32.LD(w.R), wg/lanes)),
			work:   e.moving(w.Bytes(), 2*int64(w.R)*int64(min(c4, step))*4*int64(a.R+1)),
		})
	}
}

type doraScaleParams struct {
	Total, C4, XLD4, FLD4 uint32
	Offset                float32
}

// ScaleColumns is x[i,c] = x[i,c]·(f[c]/√squares[c] − offset), x (N, C), f and squares
// (1, C) in other buffers; f may also be (N, C), a factor for each value. Where a square is
// 0 the quotient counts as 0.
func (e *Engine) ScaleColumns(x, f, squares Tensor, offset float32) {
	if squares.R*squares.C != x.C || f.C != x.C || f.R != 1 && f.R != x.R {
		panic(fmt.Sprintf("tensor: scale columns: %v by %v and %v", x, f, squares))
	}
	n := x.R * int(vec4s(x.C))
	if n == 0 {
		return
	}
	params := doraScaleParams{Total: uint32(n), C4: vec4s(x.C), XLD4: vec4s(x.LD), Offset: offset}
	if f.R > 1 {
		params.FLD4 = vec4s(f.LD)
	}
	e.run(call{kernel: "dora_scale", params: params, binds: []gpu.View{f.View(), squares.View(), x.View()},
		groups: grid(ceilDiv(n, elementwiseWG)), work: e.moving(int64(n)*48, elements(n))})
}
