package tensor

import (
	"fmt"
	"testing"

	"concord/gpu"
	"concord/internal/optest"
	"concord/internal/ref"
)

// TestFactored follows the twin for some updates, with weights of f32 and of bf16, of
// matrices of odd sizes and of vectors, to the same bits twice.
func TestFactored(t *testing.T) {
	e := testEngine(t)
	for _, d := range []DType{F32, BF16} {
		for _, shape := range [][2]int{{1, 1}, {1, 300}, {7, 10}, {300, 70}, {129, 513}} {
			r, c := shape[0], shape[1]
			t.Run(fmt.Sprintf("%v %dx%d", d, r, c), func(t *testing.T) {
				scratch := e.NewFactoredScratch(FactoredSlices(r, c), r)
				defer scratch.Release()
				var bits [2][]float32
				for run := range 2 {
					w, rows, columns := e.NewTyped(gpu.RoleScratch, "weight", d, r, c), guarded(e, 1, r), guarded(e, 1, c)
					e.Upload(w, optest.Random(r*c, 1))
					e.Upload(rows, make([]float32, r))
					e.Upload(columns, make([]float32, c))
					s := FactoredParams{LR: 3e-3, Beta2: 0.99, Eps: 1e-8, WeightDecay: 0.1, GradScale: 0.7}
					for s.Step = 1; s.Step < 4; s.Step++ {
						grad := optest.Random(r*c, 100+uint64(s.Step))
						if r > 2 {
							clear(grad[c : 2*c]) // a token that did not occur
						}
						want := [3][]float32{download(t, e, w), download(t, e, rows), download(t, e, columns)}
						g := upload(e, r, c, grad)
						e.Factored(w, rows, columns, func(f func(int, Tensor)) { f(0, g) }, [2]uint32{1, uint32(s.Step)}, s, scratch)
						if run > 0 {
							continue
						}
						ref.Factored(want[0], want[1], want[2], grad, s.LR, s.Beta2, s.Eps, s.WeightDecay, s.Step, s.GradScale)
						tolerance := 1e-10
						if d == BF16 {
							tolerance = 1e-4 // half a step of bf16
						}
						for i, x := range []Tensor{w, rows, columns} {
							if err := optest.Compare(download(t, e, x), want[i], []float64{tolerance, 1e-10, 1e-10}[i]); err != nil {
								t.Errorf("%s after update %d: %v", []string{"weight", "rows", "columns"}[i], s.Step, err)
							}
						}
					}
					checkGuards(t, e, rows)
					checkGuards(t, e, columns)
					bits[run] = download(t, e, w)
				}
				if i := optest.Bits(bits[0], bits[1]); i >= 0 {
					t.Errorf("other bits at %d the second time", i)
				}
			})
		}
	}
}

// TestFactoredZero wants no NaN of a gradient that is zero from the beginning.
func TestFactoredZero(t *testing.T) {
	e := testEngine(t)
	scratch := e.NewFactoredScratch(FactoredSlices(3, 8), 3)
	w := upload(e, 3, 8, optest.Random(24, 1))
	e.Factored(w, e.New("scratch", "rows", 1, 3), e.New("scratch", "columns", 1, 8),
		func(f func(int, Tensor)) { f(0, e.New("scratch", "grad", 3, 8)) }, [2]uint32{},
		FactoredParams{LR: 1, Beta2: 0.99, Eps: 1e-8, Step: 1, GradScale: 1}, scratch)
	if i := optest.Bits(download(t, e, w), optest.Random(24, 1)); i >= 0 {
		t.Errorf("weight %d changed", i)
	}
}
