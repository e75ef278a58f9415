package tensor

import (
	"fmt"

	"concord/gpu"
)

type gradDropParams struct {
	First, N, Cols, LD, Stride, M, Mask0, Mask1, Key0, Key1, Base uint32
	Leak, Share                                                   float32
}

type trimmedMeanParams struct {
	N4, Stride4, M, Mask0, Mask1 uint32
	Trim, Top, Share             float32
}

// GradDrop combines the rows in used (ascending, others are not read) element by
// element: the positive or the negative values pass, by a draw whose probability
// is the sign's share; leak is the share of the others that passes too. The sum
// is divided by the number of rows used. Draws are keyed by key and the
// element's number, base + r·C + c. out is one row's matrix in another buffer.
// Chen et al., NeurIPS 2020.
func (e *Engine) GradDrop(out Tensor, rows TaskGrads, used []int, leak float32, key [2]uint32, base uint32) {
	e.eachPiece("graddrop", out, rows, used, func(x piece) {
		e.run(call{kernel: "graddrop", params: gradDropParams{First: uint32(x.first), N: uint32(x.n), Cols: uint32(rows.C),
			LD: uint32(rows.LD), Stride: uint32(x.stride), M: uint32(x.m),
			Mask0: x.mask[0], Mask1: x.mask[1], Key0: key[0], Key1: key[1], Base: base, Leak: leak, Share: 1 / float32(len(used))},
			binds: []gpu.View{x.rows, x.out}, groups: grid(ceilDiv(x.n, 64)),
			work: e.moving(f32Bytes(x.n)*int64(len(used)+1), int64(x.n)*int64(4*len(used)))})
	})
}

// TrimmedMean is, element by element, the mean of the rows in used (ascending,
// others are not read) without the trim smallest and the trim largest values;
// trim is lowered so that at least one value is left. out is one row's matrix in
// another buffer. Yin et al., ICML 2018.
func (e *Engine) TrimmedMean(out Tensor, rows TaskGrads, used []int, trim int) {
	k := len(used)
	trim = max(0, min(trim, (k-1)/2))
	e.eachPiece("trimmed mean", out, rows, used, func(x piece) {
		e.run(call{kernel: "trimmed_mean", params: trimmedMeanParams{N4: vec4s(x.n), Stride4: vec4s(x.stride), M: uint32(x.m),
			Mask0: x.mask[0], Mask1: x.mask[1],
			Trim: float32(trim), Top: float32(k - trim), Share: 1 / float32(k-2*trim)},
			binds: []gpu.View{x.rows, x.out}, groups: grid(ceilDiv(int(vec4s(x.n)), 64)),
			work: e.moving(f32Bytes(x.n)*int64(k*k), int64(x.n)*int64(3*k*k))})
	})
}

// packBytes bounds the workspace that packs rows too far apart for one binding.
const packBytes = 16 << 20

// piece is a range of elements of the rows used, bindable at once.
type piece struct {
	rows, out gpu.View
	first, n  int // elements of one row, padding included
	stride    int // elements between rows
	m         int // rows in the binding
	mask      [2]uint32
}

// eachPiece calls f for the pieces of an element-wise operation from the rows in
// used to out. Rows that lie further apart than one binding spans, as those of a
// large parameter or of a bucket of the whole model, are copied together, a range
// of elements at a time.
func (e *Engine) eachPiece(what string, out Tensor, rows TaskGrads, used []int, f func(piece)) {
	checkUsed(what, out, rows, used)
	first, total := used[0], rows.R*rows.LD
	near := rows.slice(first, used[len(used)-1]+1)
	if near.View().Size <= e.tune.limit {
		p := piece{rows: near.View(), out: out.View(), n: total, stride: rows.Stride, m: near.M}
		for _, m := range used {
			p.mask[(m-first)/32] |= 1 << ((m - first) % 32)
		}
		f(p)
		return
	}
	step := max(64, int(F32.Elements(min(e.tune.limit, packBytes)))/len(used)&^63)
	for lo := 0; lo < total; lo += step {
		p := piece{first: lo, n: min(step, total-lo), stride: step, m: len(used)}
		p.rows = e.tune.workspace(f32Bytes(len(used) * step))
		p.out = f32View(out, lo, p.n)
		for k, m := range used {
			p.mask[k/32] |= 1 << (k % 32)
			e.Dev.Copy(gpu.View{Buf: p.rows.Buf, Offset: p.rows.Offset + f32Bytes(k*step), Size: p.out.Size},
				gpu.View{Buf: rows.Buf, Offset: rows.Offset + f32Bytes(int64(m)*int64(rows.Stride)+int64(lo)), Size: p.out.Size})
		}
		f(p)
	}
}

// checkUsed panics unless used lists rows in ascending order and out is like one.
func checkUsed(what string, out Tensor, rows TaskGrads, used []int) {
	ok := rows.M <= 64 && out.R == rows.R && out.C == rows.C && out.LD == rows.LD && out.Buf != rows.Buf && len(used) > 0
	for k, m := range used {
		ok = ok && m >= 0 && m < rows.M && (k == 0 || m > used[k-1])
	}
	if !ok {
		panic(fmt.Sprintf("tensor: %s: rows %v of %d (%d,%d), at most 64, ascending and not none, into %v of another buffer", what, used,
			rows.M, rows.R, rows.C, out))
	}
}
