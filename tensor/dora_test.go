package tensor

import (
	"fmt"
	"testing"

	"concord/internal/optest"
	"concord/internal/ref"
)

// The norms of the rows of W + s B A, for weights of every type, at once and in pieces of
// columns and of rows.
func TestRowSquares(t *testing.T) {
	e := testEngine(t)
	for _, d := range DTypes() {
		for _, s := range [][3]int{{1, 1, 1}, {13, 37, 3}, {300, 64, 5}, {5, 2100, 300}} { // rows, columns, rank
			t.Run(fmt.Sprintf("%v-%v", d, s), func(t *testing.T) {
				r, c, rank := s[0], s[1], s[2]
				w, a, b := optest.Random(r*c, 1), optest.Random(rank*c, 2), optest.Random(r*rank, 3)
				want := ref.RowSquares(decoded(d, w, c), a, b, rank, c, 0.7)
				tw, ta, tb := typed(e, d, r, c, w), upload(e, rank, c, a), upload(e, r, rank, b)
				defer release(tw, ta, tb)
				limit := e.tune.limit
				defer func() { e.tune.limit = limit }()
				checkOutputs(t, e, []output{{1, r, want, nil}}, func(out []Tensor) { e.RowSquares(out[0], tw, ta, tb, 0.7) })
				e.tune.limit = d.Bytes(int64(tw.LD) * 128)
				checkOutputs(t, e, []output{{1, r, want, nil}}, func(out []Tensor) { e.RowSquares(out[0], tw, ta, tb, 0.7) })
			})
		}
	}
}

// Weights that lie in the blocks of a GGUF file.
func TestRowSquaresOfBlocks(t *testing.T) {
	e := testEngine(t)
	for _, d := range FileTypes() {
		r, c, rank := 5, 2*d.Block(), 3
		a, b := optest.Random(rank*c, 2), optest.Random(r*rank, 3)
		tw, w := blocks(e, d, r, c, 7)
		ta, tb := upload(e, rank, c, a), upload(e, r, rank, b)
		checkOutputs(t, e, []output{{1, r, ref.RowSquares(w, a, b, rank, c, 0.1), nil}},
			func(out []Tensor) { e.RowSquares(out[0], tw, ta, tb, 0.1) })
		release(tw, ta, tb)
	}
}

func release(ts ...Tensor) {
	for _, t := range ts {
		t.Buf.Release()
	}
}

// By one row of factors and by a factor for each value, also less one; a column without a norm has the quotient 0.
func TestScaleColumns(t *testing.T) {
	e := testEngine(t)
	for _, s := range elementwiseShapes {
		r, c := s[0], s[1]
		for k, rows := range []int{1, r, r} {
			offset := float32(k / 2)
			x, f, squares := optest.Random(r*c, 1), optest.Random(rows*c, 2), optest.Random(c, 3)
			for i, v := range squares {
				squares[i] = v * v
			}
			squares[c/2] = 0
			want := append([]float32{}, x...)
			ref.ScaleColumns(want, f, squares, float64(offset))
			tf, ts, tx := upload(e, rows, c, f), upload(e, 1, c, squares), guarded(e, r, c)
			e.Upload(tx, x)
			e.ScaleColumns(tx, tf, ts, offset)
			if err := optest.Compare(download(t, e, tx), want, 1e-10); err != nil {
				t.Errorf("%v by %d rows: %v", s, rows, err)
			}
			checkGuards(t, e, tx)
			release(tf, ts, tx)
		}
	}
}
