package doctor

import (
	"errors"

	"concord/gpu"
	"concord/internal/optest"
	"concord/internal/ref"
)

// embeddingTests covers the token table's lookup and its per-objective gradient,
// with a token frequent enough to be summed in pieces.
func embeddingTests() []Test {
	return []Test{
		{Kernel: "embedding_forward", Run: checkEmbedding},
		{Kernel: "embedding_backward", Run: checkEmbeddingBackward},
	}
}

func embeddingIDs(n, vocab int) []uint32 {
	ids := make([]uint32, n)
	for i := range ids {
		if i%3 != 0 {
			ids[i] = uint32(i*i%vocab + i%2)
		}
	}
	return ids
}

func checkEmbedding(e *Probe) error {
	var errs []error
	for _, s := range [][3]int{{1, 2, 1}, {61, 19, 30}, {65, 5, 64}} {
		n, v, c := s[0], s[1], s[2]
		ids, table, want := embeddingIDs(n, v-1), optest.Random(v*c, 1), make([]float32, n*c)
		ref.Embedding(want, table, ids, c)
		ti, tt, out := vectorU32(e, ids), matrix(e, v, c, table), e.New(gpu.RoleScratch, "doctor", n, c)
		e.Embedding(out, tt, ti)
		errs = append(errs, same(e, "out", out, want))
		release(ti, tt, out)
	}
	return errors.Join(errs...)
}

func checkEmbeddingBackward(e *Probe) error {
	const n, v, c = 1501, 11, 30
	starts := []int{0, 40, 40, n}
	ids, dout, want := embeddingIDs(n, v-1), optest.Random(n*c, 1), make([]float32, 3*v*c)
	ref.EmbeddingBackward(want, dout, ids, starts, v, c, false)
	td, seg, idx, rows := matrix(e, n, c, dout), e.NewSegments(gpu.RoleScratch, starts), e.NewTokenIndex(n, 3), objectiveRows(e, 3, v, c)
	defer idx.Release()
	defer release(td, seg.Dev, rows.Objective(0))
	idx.Update(ids, seg)
	e.EmbeddingBackward(rows, td, idx, false)
	return sameRows(e, "dtable", rows, want)
}
