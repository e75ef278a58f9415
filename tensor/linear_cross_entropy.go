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
	e      *Engine
	n      int
	logits Tensor     // (chunk, V)
	clips  []Segments // per chunk: the part of the batch's segments inside
}

// NewLinearCrossEntropy allocates the scratch for batches of up to n tokens over
// a vocabulary of vocab. chunk is the tokens per chunk, 0 = as many as fit; it is
// lowered so that a chunk's logits fit one binding and 128 MiB, and to a multiple
// of 16 unless one chunk holds all.
func (e *Engine) NewLinearCrossEntropy(n, vocab, chunk int) *LinearCrossEntropy {
	limit := min(int64(logitBytes), e.Dev.Info().Limits.MaxStorageBufferBindingSize)
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
		clips:  make([]Segments, ceilDiv(max(n, 1), rows)),
	}
}

// Chunk is the tokens per chunk.
func (l *LinearCrossEntropy) Chunk() int { return l.logits.R }

// Release frees the scratch.
func (l *LinearCrossEntropy) Release() {
	l.logits.Buf.Release()
	for _, c := range l.clips {
		if c.Dev.Buf != nil {
			c.Dev.Buf.Release()
		}
	}
}

// Run computes, for x (N, C), weight (V, C) and labels (1, N) uint32, the losses
// of all tokens, loss (1, N), as CrossEntropy does, and, unless nil,
//
//	dx      (N, C)            overwritten: the gradient of x
//	dweight M rows of (V, C)  objective m's gradient of weight from the tokens of
//	                          segment m, added when accumulate
//
// scale (1, N) is the derivative of the objective by each token's loss; it is not
// read when both gradients are nil. Outputs lie in other buffers than inputs and
// than each other.
func (l *LinearCrossEntropy) Run(x, weight, labels, scale, loss Tensor, dx *Tensor, dweight *Rows, seg Segments, accumulate bool) {
	l.check(x, weight, loss, dx, dweight, seg)
	e, grad := l.e, dx != nil || dweight != nil
	for i, lo := 0, 0; lo < x.R; i, lo = i+1, lo+l.logits.R {
		hi := min(lo+l.logits.R, x.R)
		z := l.logits.rows(0, hi-lo)
		e.MatMul(z, x.rows(lo, hi), weight, NT, false)
		e.CrossEntropy(z, loss, labels, scale, lo, weight.R, grad)
		if dx != nil {
			e.MatMul(dx.rows(lo, hi), z, weight, NN, false)
		}
		if dweight != nil {
			l.weightGradient(*dweight, z, x.rows(lo, hi), seg, i, lo, accumulate)
		}
	}
	if x.R == 0 && dweight != nil && !accumulate {
		for m := range dweight.M {
			e.Dev.Zero(dweight.Objective(m).View())
		}
	}
}

func (l *LinearCrossEntropy) check(x, weight, loss Tensor, dx *Tensor, dweight *Rows, seg Segments) {
	if x.R > l.n || weight.R != l.logits.C || weight.C != x.C || loss.R*loss.C != x.R {
		panic(fmt.Sprintf("tensor: linear cross entropy for %d tokens, vocabulary %d: x %v, weight %v, loss %v", l.n, l.logits.C, x, weight, loss))
	}
	if dx != nil && (dx.R != x.R || dx.C != x.C) {
		panic(fmt.Sprintf("tensor: linear cross entropy: x %v, dx %v", x, *dx))
	}
	if dweight != nil && (dweight.R != weight.R || dweight.C != weight.C || dweight.M != seg.M() || seg.Starts[seg.M()] != x.R) {
		panic(fmt.Sprintf("tensor: linear cross entropy: x %v, weight %v, dweight %d x (%d,%d), segments %v", x, weight, dweight.M, dweight.R, dweight.C, seg.Starts))
	}
}

// weightGradient adds chunk i's part, dlogitsᵀ·x, to dweight. The first chunk
// meets all objectives with the caller's accumulate, so that those without tokens
// are cleared; later chunks only those with tokens in the chunk, whose rows hold
// sums by then.
func (l *LinearCrossEntropy) weightGradient(dweight Rows, dlogits, x Tensor, seg Segments, i, lo int, accumulate bool) {
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
	l.e.MatMulSegmented(dweight.slice(first, end), dlogits, x, l.clip(i, starts[first:end+1]), accumulate)
}

// clip is the segments of chunk i on the device, uploaded only when they differ
// from the last batch's.
func (l *LinearCrossEntropy) clip(i int, starts []int) Segments {
	c := &l.clips[i]
	if slices.Equal(c.Starts, starts) {
		return *c
	}
	if need := int64(vec4s(len(starts))) * 16; c.Dev.Buf == nil || c.Dev.Buf.Size() < need {
		if c.Dev.Buf != nil {
			c.Dev.Buf.Release()
		}
		*c = l.e.NewSegments(gpu.RoleData, starts)
		return *c
	}
	c.Starts = slices.Clone(starts)
	c.Dev.C, c.Dev.LD = len(starts), int(vec4s(len(starts)))*4
	u := make([]uint32, len(starts))
	for j, s := range starts {
		u[j] = uint32(s)
	}
	l.e.UploadU32(c.Dev, u)
	return *c
}

// rows is rows lo .. hi-1 of t; lo·LD must be a multiple of 64.
func (t Tensor) rows(lo, hi int) Tensor {
	t.Offset += int64(lo) * int64(t.LD) * 4
	t.R = hi - lo
	return t
}
