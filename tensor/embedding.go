package tensor

import (
	"cmp"
	"fmt"
	"slices"

	"concord/gpu"
)

type embeddingParams struct{ N, C4, Lo, Rows, TableLD4, OutLD4 uint32 }

// Embedding copies row ids[i] of table, (V, C) of any element type, to row i of out,
// (N, C). ids is (1, N) uint32; an id >= V gives a row of zeros. out lies in another
// buffer than table.
func (e *Engine) Embedding(out, table Tensor, ids Tensor) {
	if ids.R*ids.C != out.R || table.C != out.C || out.DType != F32 {
		panic(fmt.Sprintf("tensor: embedding: out %v, table %v, ids %v", out, table, ids))
	}
	c4 := vec4s(out.C)
	n := out.R * int(c4)
	if n == 0 {
		return
	}
	for _, r := range e.rowCuts(table, 1) {
		part := block(table, r[0], r[1], 0, table.C)
		e.run(call{
			kernel: "embedding_forward", consts: choose("TABLE", table.DType),
			params: embeddingParams{uint32(out.R), c4, uint32(r[0]), uint32(part.R), vec4s(table.LD), vec4s(out.LD)},
			binds:  []gpu.View{ids.View(), part.RawView(), out.View()},
			groups: grid(ceilDiv(n, elementwiseWG)),
			work:   e.moving(int64(n)*32, 0),
		})
	}
}

// pieceTokens is how many tokens one invocation of embedding_backward adds up at
// most: more occurrences of one token in one objective are summed in pieces of
// this many, which are then summed in turn.
const pieceTokens = 256

// TokenIndex lists, per objective, the rows of a batch that hold each token: the index that
// EmbeddingBackward needs to sum them without atomics. It holds device buffers
// for batches of up to the rows and objectives it was made for; Update fills it.
type TokenIndex struct {
	e          *Engine
	n, m       int        // capacity
	perm, runs Tensor     // (1, n + pieces) rows, (1, 4·runs) of tokenRun
	partial    Tensor     // (pieces, C) sums of pieces, made on first use
	direct     []int      // direct[m]: first direct run of objective m; M+1 entries
	pieces     [2]int     // runs [first, end) into partial
	long       []int      // as direct, for the runs over partial
	tokens     int        // rows of the batch
	host       []tokenRun // staging, reused
	order      []uint32   // staging, reused
}

// tokenRun is a run of embedding_backward.wgsl: add the rows perm[Begin:End] to
// row Row of objective Objective.
type tokenRun struct{ Objective, Row, Begin, End uint32 }

// runWords is the number of uint32 of a tokenRun.
const runWords = 4

// NewTokenIndex allocates an index for batches of up to n rows in up to m
// objectives: about 20 bytes per row.
func (e *Engine) NewTokenIndex(n, m int) *TokenIndex {
	pieces := maxPieces(n)
	return &TokenIndex{e: e, n: n, m: m,
		perm: e.New(gpu.RoleData, "token order", 1, n+pieces),
		runs: e.New(gpu.RoleData, "token runs", 1, runWords*max(1, n+pieces)),
	}
}

// maxPieces bounds the pieces of a batch of n rows: a run of k > pieceTokens
// rows has ceil(k/pieceTokens) < 2k/pieceTokens of them.
func maxPieces(n int) int { return 2 * n / pieceTokens }

// Release frees the device buffers.
func (x *TokenIndex) Release() {
	x.perm.Buf.Release()
	x.runs.Buf.Release()
	if x.partial.Buf != nil {
		x.partial.Buf.Release()
	}
}

// Update sorts the batch's token ids, one per row, within the objectives of seg
// and writes the index to the device, in program order with other work. The
// sort is stable: gradients are added in the order of the rows.
func (x *TokenIndex) Update(ids []uint32, seg Segments) {
	if len(ids) > x.n || seg.M() > x.m || seg.Starts[seg.M()] != len(ids) {
		panic(fmt.Sprintf("tensor: token index: %d ids, segments %v; made for %d ids in %d objectives", len(ids), seg.Starts, x.n, x.m))
	}
	x.tokens = len(ids)
	direct, pieces, long := x.sort(ids, seg)
	x.direct, x.long = firsts(direct, seg.M(), 0), firsts(long, seg.M(), len(direct)+len(pieces))
	x.pieces = [2]int{len(direct), len(direct) + len(pieces)}
	x.host = append(append(append(x.host[:0], direct...), pieces...), long...)
	if len(x.host) == 0 {
		return
	}
	flat := make([]uint32, 0, runWords*len(x.host))
	for _, r := range x.host {
		flat = append(flat, r.Objective, r.Row, r.Begin, r.End)
	}
	e := x.e
	e.Dev.Write(gpu.View{Buf: x.perm.Buf, Size: f32Bytes(len(x.order))}, byteView(x.order))
	e.Dev.Write(gpu.View{Buf: x.runs.Buf, Size: f32Bytes(len(flat))}, byteView(flat))
}

// sort fills x.order, the rows sorted by (objective, id, row) and after them
// the numbers of the pieces, and returns the runs over it: direct ones, pieces of
// long ones, and the long ones as runs of pieces.
func (x *TokenIndex) sort(ids []uint32, seg Segments) (direct, pieces, long []tokenRun) {
	x.order = x.order[:0]
	for i := range ids {
		x.order = append(x.order, uint32(i))
	}
	n := uint32(len(ids))
	for m := range seg.M() {
		lo, hi := seg.Starts[m], seg.Starts[m+1]
		slices.SortStableFunc(x.order[lo:hi], func(a, b uint32) int { return cmp.Compare(ids[a], ids[b]) })
		for lo < hi {
			id, end := ids[x.order[lo]], lo+1
			for end < hi && ids[x.order[end]] == id {
				end++
			}
			run := tokenRun{uint32(m), id, uint32(lo), uint32(end)}
			if end-lo <= pieceTokens {
				direct = append(direct, run)
			} else {
				first := uint32(len(pieces))
				for b := run.Begin; b < run.End; b += pieceTokens {
					pieces = append(pieces, tokenRun{0, uint32(len(pieces)), b, min(b+pieceTokens, run.End)})
				}
				long = append(long, tokenRun{run.Objective, id, n + first, n + uint32(len(pieces))})
			}
			lo = end
		}
	}
	for i := range pieces {
		x.order = append(x.order, uint32(i))
	}
	return direct, pieces, long
}

// firsts is, for each of m objectives, the index of its first run, counted from
// base, and the end after the last.
func firsts(runs []tokenRun, m, base int) []int {
	out := make([]int, m+1)
	for i := range out {
		at, _ := slices.BinarySearchFunc(runs, i, func(r tokenRun, i int) int { return cmp.Compare(int(r.Objective), i) })
		out[i] = base + at
	}
	return out
}

type embeddingBackwardParams struct {
	First, N, C4, XLD4, OutLD4, Stride4, Base, Lo, Rows, Accumulate uint32
}

// EmbeddingBackward adds row i of dout, (N, C), to row ids[i] of the (V, C)
// matrix in out of the objective that owns token i. Without accumulate all rows
// are cleared first; with it they are added to, as when a tied head wrote its
// part before. idx holds the ids and segments of this batch (TokenIndex.Update).
// out lies in another buffer than dout.
func (e *Engine) EmbeddingBackward(out TaskGrads, dout Tensor, idx *TokenIndex, accumulate bool) {
	e.EmbeddingBackwardPart(out, 0, dout, idx, accumulate)
}

// EmbeddingBackwardPart is EmbeddingBackward of the rows lo .. lo+out.R-1 of the
// matrices alone.
func (e *Engine) EmbeddingBackwardPart(out TaskGrads, lo int, dout Tensor, idx *TokenIndex, accumulate bool) {
	if out.M != len(idx.direct)-1 || out.C != dout.C || dout.R != idx.tokens {
		panic(fmt.Sprintf("tensor: embedding backward: out %d x (%d,%d), dout %v, index of %d tokens in %d objectives", out.M, out.R,
			out.C, dout, idx.tokens, len(idx.direct)-1))
	}
	if !accumulate {
		for m := range out.M {
			e.Dev.Zero(out.Objective(m).View())
		}
	}
	if dout.R == 0 || out.C == 0 {
		return
	}
	if first, end := idx.pieces[0], idx.pieces[1]; first < end {
		idx.scratch(dout.C)
		t := idx.partial
		all := TaskGrads{Buf: t.Buf, Offset: t.Offset, M: 1, R: t.R, C: t.C, LD: t.LD}
		e.embeddingRuns(all, 0, dout, idx, [2]int{first, end}, 0, false)
	}
	for _, part := range e.bindable(out) {
		objectives, cut := out.slice(part[0], part[1]), [][2]int{{0, out.R}}
		if objectives.M == 1 {
			cut = e.rowCuts(objectives.Objective(0), 1)
		}
		for _, r := range cut {
			sub := objectives.rowRange(r[0], r[1])
			e.embeddingRuns(sub, lo+r[0], dout, idx, [2]int{idx.direct[part[0]], idx.direct[part[1]]}, part[0], true)
			e.embeddingRuns(sub, lo+r[0], idx.partial, idx, [2]int{idx.long[part[0]], idx.long[part[1]]}, part[0], true)
		}
	}
}

// embeddingRuns sums the runs [first, end) of idx over rows of x into out, whose
// first objective is base and whose first row is lo.
func (e *Engine) embeddingRuns(out TaskGrads, lo int, x Tensor, idx *TokenIndex, runs [2]int, base int, accumulate bool) {
	c4 := vec4s(out.C)
	n := runs[1] - runs[0]
	if n == 0 {
		return
	}
	e.run(call{
		kernel: "embedding_backward",
		params: embeddingBackwardParams{First: uint32(runs[0]), N: uint32(n), C4: c4, XLD4: vec4s(x.LD), OutLD4: vec4s(out.LD),
			Stride4: vec4s(out.Stride), Base: uint32(base), Lo: uint32(lo), Rows: uint32(out.R), Accumulate: asU32(accumulate)},
		binds:  []gpu.View{idx.runs.View(), idx.perm.View(), x.View(), out.View()},
		groups: grid(ceilDiv(n*int(c4), elementwiseWG)),
		work:   e.moving(int64(x.R)*int64(c4)*48, int64(x.R)*elements(c4)),
	})
}

// scratch makes x.partial for rows of c elements.
func (x *TokenIndex) scratch(c int) {
	if x.partial.Buf != nil && x.partial.C == c {
		return
	}
	if x.partial.Buf != nil {
		x.partial.Buf.Release()
	}
	x.partial = x.e.New(gpu.RoleScratch, "token pieces", maxPieces(x.n), c)
}
