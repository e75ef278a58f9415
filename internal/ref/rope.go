package ref

// RoPE rotates x, (N, heads*D) row-major, in place by the positions pos (N):
// half-split form (Hugging Face rotate_half) of the first rotated values of a
// head, tables cos and sin of shape (P, rotated/2) with row = position. inverse applies the transposed rotation, which
// is the backward. The twin of shaders/rope_apply.wgsl.
func RoPE[F float32 | float64](x []F, heads int, pos []uint32, cos, sin []F, headDim, rotated int, inverse bool) {
	half := rotated / 2
	sign := 1.0
	if inverse {
		sign = -1
	}
	for i, position := range pos {
		for h := range heads {
			row := x[(i*heads+h)*headDim:][:headDim]
			for j := range half {
				c := float64(cos[int(position)*half+j])
				s := float64(sin[int(position)*half+j]) * sign
				a, b := float64(row[j]), float64(row[j+half])
				row[j] = F(a*c - b*s)
				row[j+half] = F(b*c + a*s)
			}
		}
	}
}
