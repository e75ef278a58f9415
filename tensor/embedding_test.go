package tensor

import (
	"fmt"
	"slices"
	"testing"

	"concord/gpu"
	"concord/internal/optest"
	"concord/internal/ref"
)

func TestEmbedding(t *testing.T) {
	e := testEngine(t)
	for _, s := range [][3]int{{1, 1, 1}, {7, 5, 31}, {63, 17, 4}, {64, 17, 5}, {65, 9, 64}, {1025, 3, 16384}} {
		t.Run(fmt.Sprint(s), func(t *testing.T) {
			n, v, c := s[0], s[1], s[2]
			table, ids, want := optest.Random(v*c, 1), randomIDs(n, v, 2), make([]float32, n*c)
			ids[n/2] = uint32(v) // one beyond the table
			ref.Embedding(want, table, ids, c)
			tt, ti := upload(e, v, c, table), uploadU32(e, ids)
			checkOutputs(t, e, []output{{n, c, want, nil}}, func(out []Tensor) { e.Embedding(out[0], tt, ti) })
		})
	}
}

func TestEmbeddingBackward(t *testing.T) {
	e := testEngine(t)
	same := func(n int) []uint32 { return slices.Repeat([]uint32{2}, n) }
	for name, s := range map[string]struct {
		v, c   int
		ids    []uint32
		starts []int
	}{
		"one":             {1, 1, []uint32{0}, []int{0, 1}},
		"out of range":    {3, 5, []uint32{0, 3, 1, 0xffffffff, 0}, []int{0, 5}},
		"empty objective": {7, 6, randomIDs(40, 7, 1), []int{0, 0, 13, 13, 40, 40}},
		"piece - 1":       {4, 4, same(pieceTokens - 1), []int{0, pieceTokens - 1}},
		"piece":           {4, 4, same(pieceTokens), []int{0, pieceTokens}},
		"piece + 1":       {4, 4, same(pieceTokens + 1), []int{0, pieceTokens + 1}},
		"hot tokens":      {13, 36, randomIDs(3001, 13, 3), []int{0, 700, 701, 3001}},
		"many groups":     {1025, 16384, ascending(1025), []int{0, 1025}},
	} {
		t.Run(name, func(t *testing.T) {
			n, m := len(s.ids), len(s.starts)-1
			dout := optest.Random(n*s.c, 1)
			td, seg := upload(e, n, s.c, dout), e.NewSegments(gpu.RoleData, s.starts)
			idx := e.NewTokenIndex(n, m)
			defer idx.Release()
			idx.Update(s.ids, seg)
			for _, accumulate := range []bool{false, true} {
				want, before := make([]float32, m*s.v*s.c), []float32(nil)
				if accumulate && len(want) >= largeOutput {
					continue
				}
				if accumulate {
					before = optest.Random(len(want), 5)
					copy(want, before)
				}
				ref.EmbeddingBackward(want, dout, s.ids, s.starts, s.v, s.c, accumulate)
				checkRows(t, e, m, s.v, s.c, want, before, func(out TaskGrads) { e.EmbeddingBackward(out, td, idx, accumulate) })
			}
		})
	}
}

func ascending(n int) []uint32 {
	out := make([]uint32, n)
	for i := range out {
		out[i] = uint32(i)
	}
	return out
}

// One index serves batch after batch, smaller ones included.
func TestTokenIndexIsReused(t *testing.T) {
	e := testEngine(t)
	const v, c = 5, 8
	idx := e.NewTokenIndex(900, 3)
	for i, starts := range [][]int{{0, 300, 600, 900}, {0, 7}, {0, 400, 899}} {
		n, m := starts[len(starts)-1], len(starts)-1
		ids, dout, want := randomIDs(n, v, uint64(i)), optest.Random(n*c, uint64(i)), make([]float32, m*v*c)
		idx.Update(ids, e.NewSegments(gpu.RoleData, starts))
		td := upload(e, n, c, dout)
		ref.EmbeddingBackward(want, dout, ids, starts, v, c, false)
		checkRows(t, e, m, v, c, want, nil, func(out TaskGrads) { e.EmbeddingBackward(out, td, idx, false) })
	}
}

func BenchmarkEmbedding(b *testing.B) {
	e := testEngine(b)
	const n, v, c = 2048, 1024, 128
	ids := randomIDs(n, v, 1)
	seg := e.NewSegments(gpu.RoleData, []int{0, 256, 512, 768, 1024, 1280, 1536, 1792, n})
	table, ti, out := upload(e, v, c, optest.Random(v*c, 1)), uploadU32(e, ids), e.New(gpu.RoleScratch, "out", n, c)
	rows := guardedRows(e, 8, v, c, nil)
	idx := e.NewTokenIndex(n, 8)
	benchOp(b, e, "forward", n*c*8, func() { e.Embedding(out, table, ti) })
	benchOp(b, e, "index", n*4, func() { idx.Update(ids, seg) })
	benchOp(b, e, "backward", n*c*4+8*v*c*4, func() { e.EmbeddingBackward(rows, out, idx, false) })
}
