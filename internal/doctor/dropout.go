package doctor

import (
	"concord/gpu"
	"concord/internal/optest"
	"concord/internal/ref"
)

// dropoutTests checks values and mask of a dropout, which are those of its twin.
func dropoutTests() []Test {
	return []Test{{Kernel: "dropout", Run: checkDropout}}
}

func checkDropout(e *Probe) error {
	const r, c, share = 13, 37, 0.3
	key := [2]uint32{0x9e3779b9, 7}
	x, want := optest.Random(r*c, 1), optest.Random(r*c, 2)
	var numbers []uint64
	var words []uint32
	for i := range r {
		n := 1<<32 - 5 + uint64(i)
		numbers, words = append(numbers, n), append(words, uint32(n), uint32(n>>32))
	}
	tx, out, tokens := matrix(e, r, c, x), matrix(e, r, c, want), e.New(gpu.RoleScratch, "doctor", 1, 2*r)
	defer release(tx, out, tokens)
	e.UploadU32(tokens, words)
	ref.Dropout(want, x, numbers, c, share, key, true)
	e.Dropout(out, tx, tokens, share, key, true)
	return same(e, "values", out, want)
}
