package tensor

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"concord/gpu"
	"concord/internal/optest"
	"concord/internal/ref"
)

// nmse is the tolerance of f32 sums of up to some thousand terms against float64.
const matmulNMSE = 1e-10

func transposed(t Trans) (a, b bool) { return t == TN, t == NT }

// matmulOperands are a, b and an earlier out for an (m, n) product of k terms.
func matmulOperands(t Trans, m, n, k int) (ar, ac, br, bc int) {
	ar, ac, br, bc = m, k, k, n
	if t == NT {
		br, bc = n, k
	}
	if t == TN {
		ar, ac = k, m
	}
	return
}

// checkMatMul runs one product twice between guard words and compares it with ref.
func checkMatMul(t *testing.T, e *Engine, op Trans, m, n, k int, accumulate bool) {
	t.Helper()
	ar, ac, br, bc := matmulOperands(op, m, n, k)
	ah, bh, oh := optest.Random(ar*ac, 1), optest.Random(br*bc, 2), optest.Random(m*n, 3)
	a, b := guarded(e, ar, ac), guarded(e, br, bc)
	e.Upload(a, ah)
	e.Upload(b, bh)
	out := guarded(e, m, n)
	var got [2][]float32
	for i := range got {
		if accumulate {
			e.Upload(out, oh)
		}
		e.MatMul(out, a, b, op, accumulate)
		got[i] = download(t, e, out)
		checkPadding(t, e, out)
	}
	checkGuards(t, e, out)
	want := append([]float32(nil), oh...)
	ta, tb := transposed(op)
	ref.MatMul(want, ah, bh, m, n, k, ta, tb, accumulate)
	if err := optest.Compare(got[0], want, matmulNMSE); err != nil {
		t.Errorf("%v %dx%dx%d accumulate=%v: %v", op, m, n, k, accumulate, err)
	}
	if i := optest.Bits(got[0], got[1]); i >= 0 {
		t.Errorf("%v %dx%dx%d: bits differ between two runs at %d", op, m, n, k, i)
	}
	for _, x := range []Tensor{a, b, out} {
		x.Buf.Release()
	}
}

// force makes e use one variant from here on.
func force(e *Engine, variant string) { e.tune = newTuner(e, Options{Variant: variant}) }

func TestMatMulVariants(t *testing.T) {
	e := testEngine(t)
	shapes := [][3]int{{1, 1, 1}, {3, 5, 2}, {15, 17, 13}, {16, 16, 16}, {17, 15, 19}, {31, 33, 32}, {64, 64, 16}, {65, 67, 61},
		{7, 130, 37}, {1, 101, 130}}
	// Other sizes of matmul_small add to out by the same text: no need to compile them twice.
	overwrite := []string{"direct-8x1", "direct-4x2", "direct-4x1"}
	for _, name := range append(e.Variants(), "direct-16x4-k4", "tiled-32-k2") {
		force(e, name)
		add := !slices.Contains(overwrite, name)
		for _, op := range []Trans{NN, NT, TN} {
			for i, s := range shapes {
				checkMatMul(t, e, op, s[0], s[1], s[2], add && i%2 == 1)
			}
			checkMatMul(t, e, op, 19, 21, 523, add)
		}
	}
}

// Unsplit variants add in the same order, so where the driver does not fuse
// multiply and add, all give the same bits.
func TestMatMulVariantsAgree(t *testing.T) {
	e := testEngine(t)
	const m, n, k = 37, 29, 101
	for _, op := range []Trans{NN, NT, TN} {
		ar, ac, br, bc := matmulOperands(op, m, n, k)
		a, b := upload(e, ar, ac, optest.Random(ar*ac, 1)), upload(e, br, bc, optest.Random(br*bc, 2))
		var first []float32
		for _, name := range e.Variants() {
			force(e, name)
			out := e.New(gpu.RoleScratch, "out", m, n)
			e.MatMul(out, a, b, op, false)
			got := download(t, e, out)
			if first == nil {
				first = got
			}
			if err := optest.Compare(got, first, 1e-12); err != nil {
				t.Errorf("%v %s: %v", op, name, err)
			}
			if i := optest.Bits(got, first); i >= 0 && e.Dev.Info().Type == gpu.CPU { // however it is treated
				t.Errorf("%v %s: bits differ at %d", op, name, i)
			}
		}
	}
}

func TestMatMulSegmented(t *testing.T) {
	e := testEngine(t)
	cases := []struct {
		r, c   int
		starts []int
	}{
		{5, 3, []int{0, 0, 1, 8, 8}},
		{17, 19, []int{0, 13, 13, 40}},
		{33, 66, []int{0, 64}},
		{16, 16, []int{0, 0, 0}},
		{64, 12, []int{0, 3, 6, 9, 30, 31, 32, 49, 70}},
	}
	for _, name := range []string{"direct-16x4", "direct-8x2", "direct-1x1", "tiled-64", "tiled-32", "direct-8x2-k2"} {
		force(e, name)
		for i, c := range cases {
			for _, accumulate := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%d/%v", name, i, accumulate), func(t *testing.T) {
					checkSegmented(t, e, c.r, c.c, c.starts, accumulate)
				})
			}
		}
	}
}

func checkSegmented(t *testing.T, e *Engine, r, c int, starts []int, accumulate bool) {
	n, m := starts[len(starts)-1]+2, len(starts)-1 // two rows belong to nobody
	ah, bh, oh := optest.Random(n*r, 1), optest.Random(n*c, 2), optest.Random(m*r*c, 3)
	a, b := upload(e, n, r, ah), upload(e, n, c, bh)
	ld := (c + 3) &^ 3
	stride := (r*ld + 63) &^ 63
	buf := guarded(e, m, stride) // one row per objective
	out := TaskGrads{Buf: buf.Buf, Offset: buf.Offset, M: m, Stride: stride, R: r, C: c, LD: ld}
	for i := range m {
		e.Upload(out.Objective(i), oh[i*r*c:(i+1)*r*c])
	}
	e.MatMulSegmented(out, a, b, e.NewSegments(gpu.RoleScratch, starts), accumulate)
	var got []float32
	for i := range m {
		got = append(got, download(t, e, out.Objective(i))...)
		checkPadding(t, e, out.Objective(i))
	}
	want := append([]float32(nil), oh...)
	ref.MatMulSegmented(want, ah, bh, r, c, starts, accumulate)
	if err := optest.Compare(got, want, matmulNMSE); err != nil {
		t.Errorf("starts %v, (%d,%d): %v", starts, r, c, err)
	}
	checkGuards(t, e, buf)
	gap := Tensor{Buf: buf.Buf, Offset: buf.Offset + int64(r*ld*4), R: 1, C: stride - r*ld, LD: stride - r*ld}
	if gap.C > 0 && m > 1 {
		for _, v := range download(t, e, gap) {
			if math.Float32bits(v) != optest.GuardBits {
				t.Fatal("the space between two objectives was written")
			}
		}
	}
}

func TestMatMulFoldedGrid(t *testing.T) {
	e := testEngine(t)
	force(e, "direct-1x1")
	perGroup := 64
	if e.cpu {
		perGroup = 8
	}
	checkMatMul(t, e, NT, maxGroups*perGroup+perGroup+3, 1, 1, false)
}

// A sum of more than maxTerms terms is cut; the software rasterizer would end it
// after 65,535 loop iterations.
func TestMatMulLongSum(t *testing.T) {
	e := testEngine(t)
	for _, name := range []string{"direct-16x4", "direct-8x2", "direct-4x1", "direct-1x1", "tiled-64", "tiled-32", "tiled-32-k4"} {
		force(e, name)
		for _, op := range []Trans{NN, NT, TN} {
			checkMatMul(t, e, op, 3, 5, 2*maxTerms+5, op == NN)
		}
		checkSegmented(t, e, 3, 2, []int{0, 10, 10 + 2*maxTerms + 4}, false)
	}
}

func TestMatMulNoTerms(t *testing.T) {
	e := testEngine(t)
	out := upload(e, 3, 5, optest.Random(15, 1))
	e.MatMul(out, Tensor{R: 0, C: 3, LD: 4}, Tensor{R: 0, C: 5, LD: 8}, TN, true)
	if i := optest.Bits(download(t, e, out), optest.Random(15, 1)); i >= 0 {
		t.Errorf("adding an empty sum changed element %d", i)
	}
	e.MatMul(out, Tensor{R: 0, C: 3, LD: 4}, Tensor{R: 0, C: 5, LD: 8}, TN, false)
	if err := optest.Compare(download(t, e, out), make([]float32, 15), 0); err != nil {
		t.Error(err)
	}
}

// Operands larger than one binding are cut; a limit of 64 KiB stands in for the
// device's.
func TestMatMulCutsLargeOperands(t *testing.T) {
	e := testEngine(t)
	e.tune.limit = 64 << 10
	for _, op := range []Trans{NN, NT, TN} {
		for _, s := range [][3]int{{300, 200, 20}, {20, 300, 200}, {300, 20, 200}, {200, 201, 203}} {
			checkMatMul(t, e, op, s[0], s[1], s[2], true)
		}
	}
	checkSegmented(t, e, 150, 40, []int{0, 100, 110, 110, 430}, true)
}

func TestMatMulShapeMismatchPanics(t *testing.T) {
	e := testEngine(t)
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	e.MatMul(Tensor{R: 2, C: 2, LD: 4}, Tensor{R: 2, C: 3, LD: 4}, Tensor{R: 4, C: 2, LD: 4}, NN, false)
}
