package tensor

import (
	"fmt"
	"strconv"

	"concord/gpu"
)

const (
	ghostOuts = 16 // partial sums per pair that travel to the host

	// GhostTokens bounds the tokens of a ghost Gram: Mesa's rasterizers cut longer loops.
	GhostTokens = 65000
)

type ghostGramParams struct{ Lo, Hi, LD, M uint32 }
type ghostFoldParams struct{ M uint32 }

// GhostScratch is the memory of ghost Grams: inner products between a chunk of
// tokens and all before them, and sums by token and objective.
type GhostScratch struct {
	a, b, part Tensor
	n, m       int
}

// NewGhostScratch allocates for ghost Grams of up to n tokens in m segments.
// limitBytes bounds the inner products that exist at a time; 16 tokens' are
// always allowed.
func (e *Engine) NewGhostScratch(n, m int, limitBytes int64) GhostScratch {
	ld := F32.LD(n)
	chunk := max(int(limitBytes/8)/max(ld, 1)/chunkRows, 1) * chunkRows
	size := min(chunk, alignUp(n, chunkRows)) * ld
	return GhostScratch{n: n, m: m,
		a:    e.New(gpu.RoleScratch, "ghost products of dy", 1, size),
		b:    e.New(gpu.RoleScratch, "ghost products of x", 1, size),
		part: e.New(gpu.RoleScratch, "ghost sums", 1, n*m),
	}
}

// Release frees the scratch.
func (s GhostScratch) Release() {
	for _, t := range []Tensor{s.a, s.b, s.part} {
		t.Buf.Release()
	}
}

// GhostSums is the memory that a ghost Gram over m segments takes of a GramSums.
func (e *Engine) GhostSums(m int) int64 {
	return int64(alignUp(int(f32Bytes(m*m*ghostOuts)), bindAlign))
}

// AddGhost adds the Gram of dW_m = dy_mᵀ x_m, M matrices (R, C), from the inner
// products between tokens: ⟨dW_i, dW_j⟩ = Σ (dy_s·dy_t)(x_s·x_t) over s of segment
// i and t of segment j. No dW exists. dy is (N, R), x (N, C); non-finite tokens
// damage the entries of their objective's row and column, and those alone. Sums
// are f32 by token, float64 over tokens at the end. The error of an entry is
// relative to Σ|dy_s·dy_t||x_s·x_t|, not to √(GᵢᵢGⱼⱼ): where tokens cancel in dW, as
// they do if x has a large mean and Σdy is 0, it grows with 1/ρ², ρ = ‖dW‖/Σ‖dy‖‖x‖
// (Gram's with 1/ρ). N is at most GhostTokens.
func (g *GramSum) AddGhost(dy, x Tensor, seg Segments, s GhostScratch) {
	n := dy.R
	if x.R != n || seg.M() != g.m || seg.Starts[g.m] != n || n > s.n || g.m > s.m || n > GhostTokens {
		panic(fmt.Sprintf("tensor: ghost gram: dy %v, x %v, segments %v, scratch for %d tokens in %d segments", dy, x, seg.Starts, s.n, s.m))
	}
	e := g.e
	part := gpu.View{Buf: s.part.Buf, Size: f32Bytes(n * g.m)}
	for lo := 0; lo < n; {
		ld := 0
		hi := lo
		for next := lo + chunkRows; hi < n; next += chunkRows { // as many tokens as fit; later chunks are wider
			end := min(next, n)
			if hi > lo && (end-lo)*F32.LD(end) > s.a.LD {
				break
			}
			hi, ld = end, F32.LD(end)
		}
		a := Tensor{Buf: s.a.Buf, R: hi - lo, C: hi, LD: ld}
		b := Tensor{Buf: s.b.Buf, R: hi - lo, C: hi, LD: ld}
		e.MatMul(a, dy.rows(lo, hi), dy.rows(0, hi), NT, false)
		e.MatMul(b, x.rows(lo, hi), x.rows(0, hi), NT, false)
		e.run(call{kernel: "ghost_gram", params: ghostGramParams{uint32(lo), uint32(hi), uint32(ld), uint32(g.m)},
			binds:  []gpu.View{a.View(), b.View(), seg.Dev.View(), part},
			groups: grid(ceilDiv((hi-lo)*g.m, 64)), work: e.moving(2*f32Bytes((hi-lo)*hi), 4*int64((hi-lo)*hi))})
		lo = hi
	}
	g.foldGhost(part, n, seg)
}

// addProducts adds Σ a_st·b_st over s of segment i and t of segment j, for inner products
// (N, N) between tokens. Only those with t ≤ s are used.
func (g *GramSum) addProducts(a, b Tensor, seg Segments, s GhostScratch) {
	n := a.R
	if seg.M() != g.m || seg.Starts[g.m] != n || n > s.n || g.m > s.m || n > GhostTokens || b.R != n || a.LD != b.LD {
		panic(fmt.Sprintf("tensor: ghost gram: products %v and %v, segments %v, scratch for %d tokens in %d segments",
			a, b, seg.Starts, s.n, s.m))
	}
	part := gpu.View{Buf: s.part.Buf, Size: f32Bytes(n * g.m)}
	g.e.run(call{kernel: "ghost_gram", params: ghostGramParams{0, uint32(n), uint32(a.LD), uint32(g.m)},
		binds:  []gpu.View{a.View(), b.View(), seg.Dev.View(), part},
		groups: grid(ceilDiv(n*g.m, 64)), work: g.e.moving(2*f32Bytes(n*n), 4*int64(n)*int64(n))})
	g.foldGhost(part, n, seg)
}

// foldGhost sums part, by token and objective, over an objective's tokens.
func (g *GramSum) foldGhost(part gpu.View, n int, seg Segments) {
	e := g.e
	out := gpu.View{Buf: g.to.t.Buf, Offset: g.at, Size: f32Bytes(g.m * g.m * ghostOuts)}
	e.run(call{kernel: "ghost_fold", params: ghostFoldParams{uint32(g.m)}, consts: map[string]string{"OUTS": strconv.Itoa(ghostOuts)},
		binds: []gpu.View{part, seg.Dev.View(), out}, groups: grid(ceilDiv(g.m*g.m*ghostOuts, 64)),
		work: e.moving(f32Bytes(n*g.m), int64(n*g.m))})
	g.add(gramPart{bytes: e.GhostSums(g.m)})
}

// addGhost adds the Gram whose partial sums, (m, m, ghostOuts), are in b: its
// lower triangle, as tokens are paired with earlier ones.
func addGhost(out []float64, b []byte, m int) {
	size := int(f32Bytes(ghostOuts))
	for i := range m {
		for j := range i + 1 {
			at := (i*m + j) * size
			v := sumFloats(b[at : at+size])
			out[i*m+j] += v
			if i != j {
				out[j*m+i] += v
			}
		}
	}
}

// Cost is the work of one way to a Gram and a combined gradient.
type Cost struct{ FLOPs, Bytes float64 }

// GhostCost compares the two ways to the Gram of a linear map's gradient and to
// its combination, for n tokens, a weight (r, c) and m objectives. Ghost: inner
// products of n²/2 pairs of tokens over r and c values, and one product for the
// combined gradient. Rows: one segmented product, the Gram of m rows, and m rows
// written, read for the Gram and read for the combination.
func GhostCost(n, r, c, m int) (ghost, rows Cost) {
	nf, rf, cf, mf := float64(n), float64(r), float64(c), float64(m)
	product := 2 * nf * rf * cf
	size := float64(F32.Bytes(1))
	ghost = Cost{FLOPs: nf*nf*(rf+cf) + product, Bytes: size * (2*nf*nf + 4*nf*(rf+cf))}
	rows = Cost{FLOPs: product + mf*(mf+1)*rf*cf + 2*mf*rf*cf, Bytes: size * 3 * mf * rf * cf}
	return ghost, rows
}
