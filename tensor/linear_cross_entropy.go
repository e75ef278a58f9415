package tensor

import (
	"fmt"
	"slices"

	"concord/gpu"
)

const (
	// logitBytes bounds the logits of a chunk, and is WebGPU's default limit of
	// one storage binding.
	logitBytes = 128 << 20
	// chunkRows is the granularity of chunks: 16 rows of LD·4 bytes, LD a multiple
	// of 4, keep a chunk of x or dx at a legal binding offset (256 bytes).
	chunkRows = 16
)

// LinearCrossEntropy is the language-model head fused with its loss, for batches
// of up to N tokens: the logits x·weightᵀ exist for one chunk of tokens at a time,
// so memory is chunk·V instead of N·V, at no extra arithmetic. It owns the
// scratch; Release frees it.
type LinearCrossEntropy struct {
	SoftCap float32 // of the logits, see CrossEntropy; 0 = none

	e      *Engine
	n      int
	logits Tensor     // (chunk, V)
	stats  Tensor     // (1, 2N): of each token the largest logit and the sum of the exponentials below it
	clips  []Segments // per chunk: the part of the batch's segments inside
	kept   int        // tokens of the batch whose first chunk has its logits' gradient in logits, see WeightGradient; 0 = none
}

// NewLinearCrossEntropy allocates the scratch for batches of up to n tokens over
// a vocabulary of vocab. chunk is the tokens per chunk, 0 = as many as fit; it is
// lowered so that a chunk's logits fit one binding and 128 MiB, and to a multiple
// of 16 unless one chunk holds all.
func (e *Engine) NewLinearCrossEntropy(n, vocab, chunk int) *LinearCrossEntropy {
	limit := min(int64(logitBytes), e.tune.limit)
	rows := int(limit / (int64(vec4s(vocab)) * 16))
	if chunk > 0 {
		rows = min(rows, chunk)
	}
	if rows >= n {
		rows = n
	} else {
		rows = max(rows/chunkRows, 1) * chunkRows
	}
	rows = max(rows, 1)
	return &LinearCrossEntropy{e: e, n: n,
		logits: e.New(gpu.RoleScratch, "logits chunk", rows, vocab),
		stats:  e.New(gpu.RoleScratch, "logits statistics", 1, max(2*n, 2)),
		clips:  make([]Segments, ceilDiv(max(n, 1), rows)),
	}
}

// Chunk is the tokens per chunk.
func (l *LinearCrossEntropy) Chunk() int { return l.logits.R }

// Release frees the scratch.
func (l *LinearCrossEntropy) Release() {
	l.logits.Buf.Release()
	l.stats.Buf.Release()
	for _, c := range l.clips {
		if c.Dev.Buf != nil {
			c.Dev.Buf.Release()
		}
	}
}

// Logits is the chunk's memory. Between two calls of Run others may use it, but not between a Run and its WeightGradient.
func (l *LinearCrossEntropy) Logits() Tensor { return l.logits }

// HeadGradients is where Run puts gradients.
type HeadGradients struct {
	DX Tensor // (N, C), overwritten: the gradient of x
	// X, (N, C), takes x's place in the gradient of the weight, which is linear in
	// it: x itself, or x with its rows scaled.
	X Tensor
	// DWeight is one matrix (V, C) per segment: the gradient of weight from the
	// segment's tokens. The zero Target is none, and X is not read.
	DWeight Target
}

// LowRank is a term of the logits beside x·weightᵀ: H·Rowsᵀ, H (N, r) and Rows (V, r). The
// zero LowRank is none.
type LowRank struct{ H, Rows Tensor }

// LowRankGradients is where RunLowRank puts gradients.
type LowRankGradients struct {
	DX, DH Tensor // (N, C) and (N, r), overwritten: the gradients of x and of H
	// X and DRows are to Rows as in HeadGradients X and DWeight are to the weight.
	X     Tensor // (N, r)
	DRows Target
}

// Run computes, for x (N, C), weight (V, C) and labels (1, N) uint32, the losses
// of all tokens, loss (1, N), as CrossEntropy does, and, unless nil, the
// gradients. scale (1, N) is the derivative of the objective by each token's
// loss; it is not read without gradients. Outputs lie in other buffers than
// inputs and than each other.
func (l *LinearCrossEntropy) Run(x, weight, labels, scale, loss Tensor, grad *HeadGradients) {
	if grad == nil {
		l.run(x, weight, LowRank{}, labels, scale, loss, nil)
		return
	}
	l.check(x, weight, loss, grad)
	if grad.DWeight.Rows.Buf == nil {
		l.runKept(x, weight, labels, scale, loss, grad.DX)
		return
	}
	l.run(x, weight, LowRank{}, labels, scale, loss, func(z Tensor, i, lo, hi int) {
		l.e.MatMul(grad.DX.rows(lo, hi), z, weight, NN, false)
		l.weightGradient(grad.DWeight, z, grad.X.rows(lo, hi), i, lo)
	})
	if x.R == 0 {
		l.clear(grad.DWeight)
	}
}

// RunLowRank is Run with a term of low rank, whose gradients are taken in place of the
// weight's: weight is not trained.
func (l *LinearCrossEntropy) RunLowRank(x, weight Tensor, low LowRank, labels, scale, loss Tensor, grad *LowRankGradients) {
	if low.H.R != x.R || low.Rows.R != weight.R || low.H.C != low.Rows.C {
		panic(fmt.Sprintf("tensor: linear cross entropy: x %v, weight %v, low rank %v by %v", x, weight, low.H, low.Rows))
	}
	if grad == nil {
		l.run(x, weight, low, labels, scale, loss, nil)
		return
	}
	l.run(x, weight, low, labels, scale, loss, func(z Tensor, i, lo, hi int) {
		l.e.MatMul(grad.DX.rows(lo, hi), z, weight, NN, false)
		l.e.MatMul(grad.DH.rows(lo, hi), z, low.Rows, NN, false)
		if grad.DRows.Rows.Buf != nil {
			l.weightGradient(grad.DRows, z, grad.X.rows(lo, hi), i, lo)
		}
	})
	if x.R == 0 {
		l.clear(grad.DRows)
	}
}

// run writes the losses chunk by chunk. gradients, unless nil, is called with the logits'
// gradient z of each, chunk i, which holds the tokens lo to hi-1.
func (l *LinearCrossEntropy) run(x, weight Tensor, low LowRank, labels, scale, loss Tensor, gradients func(z Tensor, i, lo, hi int)) {
	l.check(x, weight, loss, nil)
	l.kept = 0
	for i, lo := 0, 0; lo < x.R; i, lo = i+1, lo+l.logits.R {
		hi := min(lo+l.logits.R, x.R)
		z := l.chunk(x, weight, low, labels, scale, loss, lo, hi, gradients != nil)
		if gradients != nil {
			gradients(z, i, lo, hi)
		}
	}
}

// runKept is run for dx alone, the last chunk first, so that WeightGradient finds the first one's logits' gradient.
func (l *LinearCrossEntropy) runKept(x, weight, labels, scale, loss, dx Tensor) {
	for lo := (ceilDiv(x.R, l.logits.R) - 1) * l.logits.R; lo >= 0; lo -= l.logits.R {
		hi := min(lo+l.logits.R, x.R)
		z := l.chunk(x, weight, LowRank{}, labels, scale, loss, lo, hi, true)
		l.e.MatMul(dx.rows(lo, hi), z, weight, NN, false)
	}
	l.kept = x.R
}

// chunk writes the losses of the tokens lo to hi-1 and returns their logits, or with gradient, the gradient of those.
func (l *LinearCrossEntropy) chunk(x, weight Tensor, low LowRank, labels, scale, loss Tensor, lo, hi int, gradient bool) Tensor {
	z := l.logits.rows(0, hi-lo)
	l.e.MatMul(z, x.rows(lo, hi), weight, NT, false)
	if low.H.Buf != nil {
		l.e.MatMul(z, low.H.rows(lo, hi), low.Rows, NT, true)
	}
	l.e.crossEntropy(z, loss, labels, scale, l.stats, lo, weight.R, l.SoftCap, gradient)
	return z
}

// clear is the gradient of no tokens.
func (l *LinearCrossEntropy) clear(to Target) {
	if to.Rows.Buf == nil || to.Accumulate {
		return
	}
	for m := range to.Rows.M {
		l.e.Dev.Zero(to.Rows.Objective(m).View())
	}
}

// WeightGradient computes the parts of the weight's gradient, after a Run of the same
// arguments without DWeight: the work that Run does with one part of all rows, to the same
// bits where the same kernels are chosen. The logits' gradient is computed once more, with the
// losses, but for the first chunk's, unless l has been used since that Run: with one chunk for all tokens none is.
func (l *LinearCrossEntropy) WeightGradient(x, weight, labels, scale, loss Tensor, parts []Part) {
	l.check(x, weight, loss, nil)
	kept := l.kept == x.R
	l.kept = 0
	if x.R == 0 {
		for _, p := range parts {
			l.clear(p.Target)
		}
	}
	for i, lo := 0, 0; lo < x.R; i, lo = i+1, lo+l.logits.R {
		hi := min(lo+l.logits.R, x.R)
		z := l.logits.rows(0, hi-lo)
		if i > 0 || !kept {
			z = l.chunk(x, weight, LowRank{}, labels, scale, loss, lo, hi, true)
		}
		for _, p := range parts {
			l.weightGradient(p.Target, block(z, 0, z.R, p.Lo, p.Lo+p.Rows.R), x.rows(lo, hi), i, lo)
		}
	}
}

func (l *LinearCrossEntropy) check(x, weight, loss Tensor, grad *HeadGradients) {
	if x.R > l.n || weight.R != l.logits.C || weight.C != x.C || loss.R*loss.C != x.R {
		panic(fmt.Sprintf("tensor: linear cross entropy for %d tokens, vocabulary %d: x %v, weight %v, loss %v", l.n, l.logits.C, x,
			weight, loss))
	}
	if grad == nil {
		return
	}
	if grad.DX.R != x.R || grad.DX.C != x.C {
		panic(fmt.Sprintf("tensor: linear cross entropy: x %v, dx %v", x, grad.DX))
	}
	if grad.DWeight.Rows.Buf == nil {
		return
	}
	if grad.X.R != x.R || grad.X.C != x.C {
		panic(fmt.Sprintf("tensor: linear cross entropy: x %v, the weight gradient's x %v", x, grad.X))
	}
	if w, seg := grad.DWeight.Rows, grad.DWeight.Segments; w.R != weight.R || w.C != weight.C || w.M != seg.M() || seg.Starts[seg.M()] != x.R {
		panic(fmt.Sprintf("tensor: linear cross entropy: x %v, weight %v, dweight %d x (%d,%d), segments %v", x, weight, w.M, w.R, w.C,
			seg.Starts))
	}
}

// weightGradient adds chunk i's part, dlogitsᵀ·x, to dweight. The first chunk
// meets all segments with the caller's accumulate, so that those without tokens
// are cleared; later chunks only those with tokens in the chunk, whose rows hold
// sums by then.
func (l *LinearCrossEntropy) weightGradient(dweight Target, dlogits, x Tensor, i, lo int) {
	seg, accumulate := dweight.Segments, dweight.Accumulate
	starts := make([]int, len(seg.Starts))
	for m, s := range seg.Starts {
		starts[m] = min(max(s-lo, 0), x.R)
	}
	first, end := 0, seg.M()
	if i > 0 {
		accumulate = true
		for starts[first+1] == 0 {
			first++
		}
		for starts[end-1] == x.R {
			end--
		}
	}
	l.e.MatMulSegmented(dweight.Rows.slice(first, end), dlogits, x, l.clip(i, starts[first:end+1]), accumulate)
}

// clip is the segments of chunk i on the device, uploaded only when they differ
// from the last batch's.
func (l *LinearCrossEntropy) clip(i int, starts []int) Segments {
	c := &l.clips[i]
	if slices.Equal(c.Starts, starts) {
		return *c
	}
	if need := f32Bytes(F32.LD(len(starts))); c.Dev.Buf == nil || c.Dev.Buf.Size() < need {
		if c.Dev.Buf != nil {
			c.Dev.Buf.Release()
		}
		*c = l.e.NewSegments(gpu.RoleData, starts)
		return *c
	}
	c.Starts = slices.Clone(starts)
	c.Dev.C, c.Dev.LD = len(starts), F32.LD(len(starts))
	u := make([]uint32, len(starts))
	for j, s := range starts {
		u[j] = uint32(s)
	}
	l.e.UploadU32(c.Dev, u)
	return *c
}

// rows is rows lo .. hi-1 of t; to be bound, lo·LD must be a multiple of 64.
func (t Tensor) rows(lo, hi int) Tensor {
	t.Offset += t.DType.Bytes(int64(lo) * int64(t.LD))
	t.R = hi - lo
	return t
}
