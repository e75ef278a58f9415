package tensor

import (
	"fmt"

	"concord/gpu"
)

type gradDropParams struct {
	N, Cols, LD, Stride, M, Mask0, Mask1, Key0, Key1, Base uint32
	Leak, Share                                            float32
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
// Chen et al., NeurIPS 2020. The rows must fit one binding.
func (e *Engine) GradDrop(out Tensor, rows Rows, used []int, leak float32, key [2]uint32, base uint32) {
	mask := elementMask(e, "graddrop", out, rows, used)
	n := rows.R * rows.LD
	e.run(call{kernel: "graddrop", params: gradDropParams{N: uint32(n), Cols: uint32(rows.C), LD: uint32(rows.LD), Stride: uint32(rows.Stride), M: uint32(rows.M),
		Mask0: mask[0], Mask1: mask[1], Key0: key[0], Key1: key[1], Base: base, Leak: leak, Share: 1 / float32(len(used))},
		binds: []gpu.View{rows.View(), out.View()}, groups: grid(ceilDiv(n, 64)), work: e.moving(int64(n)*4*int64(len(used)+1), int64(n)*int64(4*rows.M))})
}

// TrimmedMean is, element by element, the mean of the rows in used (ascending,
// others are not read) without the trim smallest and the trim largest values;
// trim is lowered so that at least one value is left. out is one row's matrix in
// another buffer. Yin et al., ICML 2018. The rows must fit one binding.
func (e *Engine) TrimmedMean(out Tensor, rows Rows, used []int, trim int) {
	mask := elementMask(e, "trimmed mean", out, rows, used)
	n, k := rows.R*rows.LD, len(used)
	trim = min(trim, (k-1)/2)
	e.run(call{kernel: "trimmed_mean", params: trimmedMeanParams{N4: uint32(n / 4), Stride4: uint32(rows.Stride / 4), M: uint32(rows.M), Mask0: mask[0], Mask1: mask[1],
		Trim: float32(trim), Top: float32(k - trim), Share: 1 / float32(k-2*trim)},
		binds: []gpu.View{rows.View(), out.View()}, groups: grid(ceilDiv(n/4, 64)), work: e.moving(int64(n)*4*int64(k*k), int64(n)*int64(3*rows.M*rows.M))})
}

// elementMask checks the operands and returns used as bits.
func elementMask(e *Engine, what string, out Tensor, rows Rows, used []int) [2]uint32 {
	if len(used) == 0 || rows.M > 64 || out.R != rows.R || out.C != rows.C || out.LD != rows.LD {
		panic(fmt.Sprintf("tensor: %s: %d of %d rows (%d,%d), at most 64, into %v", what, len(used), rows.M, rows.R, rows.C, out))
	}
	if size, limit := rows.View().Size, e.Dev.Info().Limits.MaxStorageBufferBindingSize; size > limit {
		panic(fmt.Sprintf("tensor: %s: %d bytes of rows, the device binds at most %d", what, size, limit))
	}
	var mask [2]uint32
	for _, m := range used {
		if m < 0 || m >= rows.M {
			panic(fmt.Sprintf("tensor: %s: row %d of %d", what, m, rows.M))
		}
		mask[m/32] |= 1 << (m % 32)
	}
	return mask
}
