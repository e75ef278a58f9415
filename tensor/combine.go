package tensor

import (
	"fmt"
	"strconv"

	"concord/gpu"
)

// combineRows is how many rows one dispatch takes.
const combineRows = 16

// combineParams mirrors the kernel's scalars; Go arrays have no WGSL twin.
type combineParams struct {
	N4, Accumulate                                                       uint32
	R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, R10, R11, R12, R13, R14, R15 uint32
	W0, W1, W2, W3, W4, W5, W6, W7, W8, W9, W10, W11, W12, W13, W14, W15 float32
}

// Combine computes out (+)= Σ weights[m] · rows[m], the combined gradient
// Jᵀ w. Rows of weight 0 are not read at all, so a NaN in them does no harm.
// out has the shape of one row, in a buffer other than the rows'; M is at most 64.
func (e *Engine) Combine(out Tensor, rows TaskGrads, weights []float32, accumulate bool) {
	if len(weights) != rows.M || rows.M > 64 || out.R != rows.R || out.LD != rows.LD {
		panic(fmt.Sprintf("tensor: combine: %d weights for %d rows (%d,%d), at most 64, into %v", len(weights), rows.M, rows.R, rows.C, out))
	}
	if n := rows.R * rows.LD; n > e.BindingElements() {
		for _, c := range e.flatCuts(n, blockUnit) {
			flat := Tensor{Buf: out.Buf, Offset: out.Offset, R: 1, C: n, LD: n}
			e.Combine(span(flat, c[0], c[1]), rows.vectors().columns(c[0], c[1]), weights, accumulate)
		}
		return
	}
	var used []int
	for m, w := range weights {
		if w != 0 {
			used = append(used, m)
		}
	}
	if len(used) == 0 && !accumulate {
		e.Dev.Zero(out.View())
	}
	for len(used) > 0 {
		n := e.combineSome(out, rows, weights, used, accumulate)
		used, accumulate = used[n:], true
	}
}

// combineSome adds the first rows of used, as many as one dispatch takes and
// one binding may span, and returns how many.
func (e *Engine) combineSome(out Tensor, rows TaskGrads, weights []float32, used []int, accumulate bool) int {
	n := rows.R * rows.LD
	limit := e.tune.limit
	first, count := used[0], 1
	span := func(last int) int64 { return f32Bytes(int64(last-first)*int64(rows.Stride) + int64(n)) }
	for count < min(len(used), combineRows) && span(used[count]) <= limit {
		count++
	}
	p := combineParams{N4: vec4s(n)}
	if accumulate {
		p.Accumulate = 1
	}
	at := [combineRows]*uint32{&p.R0, &p.R1, &p.R2, &p.R3, &p.R4, &p.R5, &p.R6, &p.R7, &p.R8, &p.R9, &p.R10, &p.R11, &p.R12, &p.R13,
		&p.R14, &p.R15}
	w := [combineRows]*float32{&p.W0, &p.W1, &p.W2, &p.W3, &p.W4, &p.W5, &p.W6, &p.W7, &p.W8, &p.W9, &p.W10, &p.W11, &p.W12, &p.W13,
		&p.W14, &p.W15}
	for k, m := range used[:count] {
		*at[k], *w[k] = uint32(m-first)*vec4s(rows.Stride), weights[m]
	}
	e.run(call{kernel: "combine", params: p, consts: map[string]string{"COUNT": strconv.Itoa(count)},
		binds: []gpu.View{{Buf: rows.Buf, Offset: rows.Offset + f32Bytes(int64(first)*int64(rows.Stride)), Size: span(used[count-1])},
			out.View()},
		groups: grid(ceilDiv(int(vec4s(n)), 64)), work: e.moving(f32Bytes(n)*int64(count+2), int64(n)*int64(2*count))})
	return count
}
