package tensor

import (
	"fmt"

	"concord/gpu"
)

// Trans says which operand of a product is transposed.
type Trans int

// The products of a linear layer Y = X·Wᵀ, W stored (out, in): the forward is
// NT, the gradient of X is NN, the gradient of W is TN.
const (
	NN Trans = iota // out(M,N) = a(M,K) · b(K,N)
	NT              // out(M,N) = a(M,K) · b(N,K)ᵀ
	TN              // out(M,N) = a(K,M)ᵀ · b(K,N)
)

func (t Trans) String() string { return [...]string{"NN", "NT", "TN"}[t] }

// maxTerms bounds the terms of k that one invocation sums: Mesa's software
// rasterizers end all loops of an invocation, silently, after 65,535 iterations
// in sum. Longer sums are cut here into dispatches that accumulate.
const maxTerms = 1 << 15

// blockUnit is the granularity of cuts: 64 rows or columns of a matrix start at
// a multiple of 256 bytes, which a binding needs.
const blockUnit = 64

// MatMul computes out = op(a) · op(b), or adds it to out when accumulate. All
// dimensions may be any size ≥ 1; K = 0 gives zeros. a and out are F32; b may be of
// any element type, and is decoded to float32 as it is loaded. out must not share a
// buffer with a or b. Sums are f32 with k ascending, except where a variant splits K.
// The kernel is chosen per shape class, see Options; the same choice on the same
// device gives the same bits.
func (e *Engine) MatMul(out, a, b Tensor, t Trans, accumulate bool) {
	m, k, kb, n := a.R, a.C, b.R, b.C
	switch t {
	case NT:
		kb, n = b.C, b.R
	case TN:
		m, k = a.C, a.R
	}
	if k != kb || out.R != m || out.C != n || a.DType != F32 || out.DType != F32 {
		panic(fmt.Sprintf("tensor: matmul %v: a %v · b %v into %v", t, a, b, out))
	}
	e.matmul(out, a, b, t, 0, k, accumulate)
}

// MatMulSegmented computes, for every objective m, out[m] = a[rows of m]ᵀ ·
// b[rows of m], or adds it to out[m] when accumulate. a is (N, R), b is (N, C),
// out is M matrices (R, C). It costs as many operations as one TN product over
// all rows: the gradient of a weight, kept apart per objective. An objective
// without rows gets zeros. out must not share a buffer with a or b.
func (e *Engine) MatMulSegmented(out TaskGrads, a, b Tensor, seg Segments, accumulate bool) {
	if a.DType != F32 || a.R != b.R || out.R != a.C || out.C != b.C || out.M != seg.M() || seg.Starts[out.M] > a.R {
		panic(fmt.Sprintf("tensor: matmul segmented: a %v · b %v into %d x (%d,%d), segments %v", a, b, out.M, out.R, out.C, seg.Starts))
	}
	longest := 0
	for m := range out.M {
		longest = max(longest, seg.Starts[m+1]-seg.Starts[m])
	}
	limit := e.tune.limit
	if out.M > 1 && longest <= maxTerms && max(out.View().Size, extent(a), extent(b)) <= limit {
		e.launch(product{op: "SEG", m: out.R, n: out.C, kEnd: a.R, a: e.operand(a), b: e.operand(b), bType: b.DType, lda: a.LD, ldb: b.LD,
			out: out.View(), ldc: out.LD, segments: seg.Dev.View(), objectives: out.M, stride: out.Stride, accumulate: accumulate})
		return
	}
	for m := range out.M {
		e.matmul(out.Objective(m), a, b, TN, seg.Starts[m], seg.Starts[m+1], accumulate)
	}
}

// matmul sums the terms k0 .. k1-1. It cuts operands that are larger than one
// binding, and sums that are longer than maxTerms, in halves.
func (e *Engine) matmul(out, a, b Tensor, t Trans, k0, k1 int, accumulate bool) {
	if unit := b.DType.rowUnit(); t == TN && k0 >= unit { // rows before k0 need not be bound
		from := k0 / unit * unit
		a, b, k0, k1 = block(a, from, k1, 0, a.C), block(b, from, k1, 0, b.C), k0-from, k1-from
	}
	limit := e.tune.limit
	bigA, bigB, bigOut := extent(a) > limit, extent(b) > limit, extent(out) > limit
	switch {
	case k1-k0 > maxTerms, t == NN && bigB, t == TN && (bigA || bigB):
		if mid, ok := half(k0, k1, termUnit(b, t)); ok {
			e.matmulTerms(out, a, b, t, k0, mid, accumulate)
			e.matmulTerms(out, a, b, t, mid, k1, true)
			return
		}
	case bigOut, t != TN && bigA:
		if mid, ok := half(0, out.R, blockUnit); ok {
			for _, r := range [][2]int{{0, mid}, {mid, out.R}} {
				part := block(a, r[0], r[1], 0, a.C)
				if t == TN {
					part = block(a, 0, a.R, r[0], r[1])
				}
				e.matmul(block(out, r[0], r[1], 0, out.C), part, b, t, k0, k1, accumulate)
			}
			return
		}
	case bigB:
		if mid, ok := half(0, out.C, b.DType.rowUnit()); ok { // NT: rows of b are columns of out
			for _, c := range [][2]int{{0, mid}, {mid, out.C}} {
				e.matmul(block(out, 0, out.R, c[0], c[1]), a, block(b, c[0], c[1], 0, b.C), t, k0, k1, accumulate)
			}
			return
		}
	}
	e.launch(product{op: t.String(), m: out.R, n: out.C, kBegin: k0, kEnd: k1, a: e.operand(a), b: e.operand(b), bType: b.DType,
		lda: a.LD, ldb: b.LD, out: gpu.View{Buf: out.Buf, Offset: out.Offset, Size: extent(out)}, ldc: out.LD,
		objectives: 1, accumulate: accumulate})
}

// matmulTerms is matmul on the terms k0 .. k1-1 alone, binding no others where
// the layout allows it. k0 is a multiple of termUnit unless it is the first.
func (e *Engine) matmulTerms(out, a, b Tensor, t Trans, k0, k1 int, accumulate bool) {
	switch {
	case t == TN && k1 < a.R:
		a, b = block(a, 0, k1, 0, a.C), block(b, 0, k1, 0, b.C)
	case t == NN && k0%termUnit(b, t) == 0:
		a, b, k0, k1 = block(a, 0, a.R, k0, k1), block(b, k0, k1, 0, b.C), 0, k1-k0
	case t == NT && k0%termUnit(b, t) == 0:
		a, b, k0, k1 = block(a, 0, a.R, k0, k1), block(b, 0, b.R, k0, k1), 0, k1-k0
	}
	e.matmul(out, a, b, t, k0, k1, accumulate)
}

// termUnit is where a sum over the terms of b may be cut: terms are its columns in NT.
func termUnit(b Tensor, t Trans) int {
	if t == NT {
		return b.DType.columnUnit()
	}
	return b.DType.rowUnit()
}

// block is the part of x of rows r0 .. r1-1 and columns c0 .. c1-1.
func block(x Tensor, r0, r1, c0, c1 int) Tensor {
	return Tensor{Buf: x.Buf, Offset: x.Offset + x.DType.Bytes(int64(r0)*int64(x.LD)+int64(c0)), R: r1 - r0, C: c1 - c0, LD: x.LD,
		DType: x.DType}
}

// half cuts lo .. hi at a multiple of unit.
func half(lo, hi, unit int) (int, bool) {
	mid := (lo + hi + unit) / 2 / unit * unit
	return mid, lo < mid && mid < hi
}

// extent is the bytes from x's first element to its last, which for a block of
// columns is less than x.Bytes.
func extent(x Tensor) int64 {
	if x.R == 0 || x.C == 0 {
		return 0
	}
	return x.DType.extent(int64(x.R-1)*int64(x.LD) + int64(x.DType.LD(x.C)))
}

// operand is x as a binding; a matrix without elements binds a placeholder that
// no kernel reads.
func (e *Engine) operand(x Tensor) gpu.View {
	if extent(x) == 0 {
		return e.tune.placeholder()
	}
	return gpu.View{Buf: x.Buf, Offset: x.Offset, Size: extent(x)}
}
