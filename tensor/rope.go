package tensor

import (
	"fmt"

	"concord/gpu"
)

// ropeParams is struct Params of rope_apply.wgsl.
type ropeParams struct {
	Pairs, Heads, Head, Half, XLD, TableLD uint32
	Sign                                   float32
}

// RoPE rotates x, (N, heads*D), in place: half-split rotary position embedding
// in the convention of Hugging Face checkpoints (rotate_half). Token i stands
// at position pos[i], pos (1, N) uint32, each less than the rows of the tables
// cos and sin, (maxPos, rotated/2) from RoPETables; the first rotated values of a
// head are rotated, the others kept. inverse applies the transposed
// rotation, which is the backward: dx from dout, in place. D and
// rotated must be multiples of 4.
func (e *Engine) RoPE(x Tensor, heads int, pos Tensor, cos, sin Tensor, inverse bool) {
	d := x.C / max(heads, 1)
	rotated := cos.C * 2
	if heads < 1 || x.C != heads*d || d%4 != 0 || d == 0 || rotated%4 != 0 || rotated > d || pos.R*pos.C != x.R || sin.C != cos.C ||
		cos.R != sin.R || cos.LD != sin.LD {
		panic(fmt.Sprintf("tensor: rope: x %v with %d heads, pos %v, cos %v, sin %v", x, heads, pos, cos, sin))
	}
	const wg = 64 // rope_apply's default
	pairs := x.R * heads * int(vec4s(rotated))
	sign := float32(1)
	if inverse {
		sign = -1
	}
	if pairs == 0 {
		return
	}
	e.run(call{
		kernel: "rope_apply",
		params: ropeParams{Pairs: uint32(pairs), Heads: uint32(heads), Head: vec4s(d) * 2, Half: vec4s(rotated), XLD: uint32(x.LD / 2),
			TableLD: uint32(cos.LD / 2), Sign: sign},
		binds:  []gpu.View{pos.View(), cos.View(), sin.View(), x.View()},
		groups: grid(ceilDiv(pairs, wg)),
		work:   e.moving(int64(pairs)*32, int64(pairs)*12),
	})
}
