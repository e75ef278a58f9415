package doctor

import (
	"errors"
	"fmt"

	"concord/internal/optest"
	"concord/internal/ref"
	"concord/tensor"
)

// ropeTests covers the rotation and its transpose, the backward.
func ropeTests() []Test {
	return []Test{{Kernel: "rope_apply", Run: func(e *Probe) error {
		return errors.Join(checkRoPE(e, 1, 1, 12, 12, false), checkRoPE(e, 31, 3, 64, 48, false), checkRoPE(e, 31, 3, 64, 64, true))
	}}}
}

func checkRoPE(e *Probe, n, heads, d, rotated int, inverse bool) error {
	const maxPos = 64
	cos, sin := tensor.RoPETables(maxPos, rotated, 10000, tensor.RoPEScaling{})
	want, pos := optest.Random(n*heads*d, 1), make([]uint32, n)
	for i := range pos {
		pos[i] = uint32((i*11 + 5) % maxPos)
	}
	x, tp := matrix(e, n, heads*d, want), vectorU32(e, pos)
	tc, ts := matrix(e, maxPos, rotated/2, cos), matrix(e, maxPos, rotated/2, sin)
	defer release(x, tp, tc, ts)
	e.RoPE(x, heads, tp, tc, ts, inverse)
	ref.RoPE(want, heads, pos, cos, sin, d, rotated, inverse)
	return same(e, fmt.Sprintf("head dimension %d, inverse %v", d, inverse), x, want)
}
