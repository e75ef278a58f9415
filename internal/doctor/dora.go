package doctor

import (
	"fmt"

	"concord/gpu"
	"concord/internal/optest"
	"concord/internal/ref"
	"concord/tensor"
)

// doraTests checks the norms of adapted rows, of weights of every type, and the scaling
// by them.
func doraTests() []Test {
	return []Test{{Kernel: "dora_squares", Run: checkRowSquares}, {Kernel: "dora_scale", Run: checkScaleColumns}}
}

func checkRowSquares(e *Probe) error {
	const r, c, rank = 13, 70, 3
	w, a, b := optest.Random(r*c, 1), optest.Random(rank*c, 2), optest.Random(r*rank, 3)
	ta, tb := matrix(e, rank, c, a), matrix(e, r, rank, b)
	defer release(ta, tb)
	for _, d := range tensor.DTypes() {
		tw, out := e.NewTyped(gpu.RoleScratch, "doctor", d, r, c), e.New(gpu.RoleScratch, "doctor", 1, r)
		e.Upload(tw, w)
		host, err := e.Download(tw)
		if err != nil {
			return err
		}
		e.RowSquares(out, tw, ta, tb, 0.7)
		err = same(e, fmt.Sprintf("rows of %v", d), out, ref.RowSquares(host, a, b, rank, c, 0.7))
		release(tw, out)
		if err != nil {
			return err
		}
	}
	return nil
}

func checkScaleColumns(e *Probe) error {
	const r, c = 13, 37
	x, f, squares := optest.Random(r*c, 1), optest.Random(c, 2), optest.Random(c, 3)
	for i, v := range squares {
		squares[i] = v * v
	}
	squares[5] = 0
	want := append([]float32{}, x...)
	ref.ScaleColumns(want, f, squares, 0.5)
	tx, tf, ts := matrix(e, r, c, x), matrix(e, 1, c, f), matrix(e, 1, c, squares)
	defer release(tx, tf, ts)
	e.ScaleColumns(tx, tf, ts, 0.5)
	return same(e, "columns", tx, want)
}
