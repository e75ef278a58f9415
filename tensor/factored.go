package tensor

import (
	"fmt"
	"math"

	"concord/gpu"
)

// FactoredParams are the settings of one update of Factored.
type FactoredParams struct {
	LR          float64
	Beta2       float64
	Eps         float64 // > 0
	WeightDecay float64 // decoupled
	Step        int64   // 1 for the first update
	GradScale   float64 // the gradient is multiplied by it first
}

// FactoredScratch is the memory that updates of matrices take besides their states.
type FactoredScratch struct{ part, size, scale Tensor }

// columnSlice is SLICE of factored_columns.
const columnSlice = 128

// NewFactoredScratch allocates for matrices of up to most elements of memory and rows
// rows, their columns summed in slices of 128 rows.
func (e *Engine) NewFactoredScratch(slices, rows int) FactoredScratch {
	return FactoredScratch{
		part:  e.New(gpu.RoleScratch, "squares by column", 1, slices),
		size:  e.New(gpu.RoleScratch, "sizes by row", 1, rows),
		scale: e.New(gpu.RoleScratch, "scale of an update", 1, 2),
	}
}

// FactoredSlices is how many elements the partial sums of an (r, c) matrix's columns take.
func FactoredSlices(r, c int) int { return ceilDiv(r, columnSlice) * F32.LD(c) }

// Release frees the scratch.
func (s FactoredScratch) Release() {
	for _, t := range []Tensor{s.part, s.size, s.scale} {
		t.Buf.Release()
	}
}

type (
	factoredRowsParams struct {
		Rows, C, LD4 uint32
		Beta, Fresh  float32
	}
	factoredColumnsParams struct{ N, Rows, LD4 uint32 }
	factoredFoldParams    struct {
		Slices, LD4 uint32
		Beta, Fresh float32
	}
	factoredMeanParams struct {
		N     uint32
		Share float32
	}
	factoredSizeParams struct {
		Rows, C, LD4                uint32
		Share, Root, Eps, GradScale float32
	}
	factoredUpdateParams struct {
		N, LD4, Key0, Key1               uint32
		Keep, Rate, Root, Eps, GradScale float32
	}
)

// Factored updates weight, (R, C) F32 or BF16, from grad of the same shape and LD, with
// a second moment that is kept as the mean squares of the gradient's rows, (1, R), and
// columns, (1, C), both in place: Adafactor (Shazeer & Stern, ICML 2018, algorithm 4)
// with the learning rate as given, Adam's bias correction and no first moment:
//
//	v̂ = rows·columns / mean(rows) / (1 − β2^t),   u = g / (√v̂ + ε)
//	weight ← (1 − lr·decay) weight − lr u / max(1, RMS(u))
//
// For a vector, R = 1, v̂ is its own second moment. bf16 is rounded up or down by chance,
// by key. All lie in different buffers but rows and columns, which may share one; grad's
// padding is zero.
func (e *Engine) Factored(weight, rows, columns, grad Tensor, key [2]uint32, s FactoredParams, scratch FactoredScratch) {
	r, c := grad.R, grad.C
	if weight.R != r || weight.C != c || weight.LD != grad.LD || rows.C != r || columns.C != c ||
		FactoredSlices(r, c) > scratch.part.LD || r > scratch.size.LD {
		panic(fmt.Sprintf("tensor: factored: weight %v · rows %v · columns %v · grad %v, scratch %v, %v", weight, rows, columns, grad,
			scratch.part, scratch.size))
	}
	if !(s.Eps > 0) || s.Step < 1 {
		panic(fmt.Sprintf("tensor: factored: eps %g must be > 0 and step %d ≥ 1", s.Eps, s.Step))
	}
	ld4, n4, slices := vec4s(grad.LD), int(vec4s(grad.LD))*r, ceilDiv(r, columnSlice)
	fresh, share := (1-s.Beta2)*s.GradScale*s.GradScale, 1/float64(r)
	root := float32(1 / math.Sqrt(1-math.Pow(s.Beta2, float64(s.Step))))
	read := e.moving(grad.Bytes(), 2*int64(r)*int64(c))
	e.run(call{kernel: "factored_rows", params: factoredRowsParams{uint32(r), uint32(c), ld4, float32(s.Beta2), float32(fresh / float64(c))},
		binds: []gpu.View{grad.View(), rows.View()}, groups: grid(r), work: read})
	part := f32View(scratch.part, 0, slices*grad.LD)
	e.run(call{kernel: "factored_columns", params: factoredColumnsParams{uint32(slices) * ld4, uint32(r), ld4},
		binds: []gpu.View{grad.View(), part}, groups: grid(ceilDiv(slices*int(ld4), 64)), work: read})
	e.run(call{kernel: "factored_fold", params: factoredFoldParams{uint32(slices), ld4, float32(s.Beta2), float32(fresh * share)},
		binds: []gpu.View{part, columns.View()}, groups: grid(ceilDiv(int(ld4), 64)), work: e.moving(part.Size, 0)})
	scale := scratch.scale.View()
	e.run(call{kernel: "factored_mean", params: factoredMeanParams{uint32(r), float32(share)}, binds: []gpu.View{rows.View(), scale},
		groups: [3]int{1, 1, 1}, work: e.moving(rows.Bytes(), 0)})
	size := f32View(scratch.size, 0, r)
	e.run(call{kernel: "factored_size",
		params: factoredSizeParams{uint32(r), uint32(c), ld4, float32(1 / float64(c)), root, float32(s.Eps), float32(s.GradScale)},
		binds:  []gpu.View{grad.View(), rows.View(), columns.View(), scale, size}, groups: grid(r),
		work: e.moving(grad.Bytes(), 8*int64(r)*int64(c))})
	e.run(call{kernel: "factored_mean", consts: map[string]string{"SIZE": "1"}, params: factoredMeanParams{uint32(r), float32(share)},
		binds: []gpu.View{size, scale}, groups: [3]int{1, 1, 1}, work: e.moving(size.Size, 0)})
	e.run(call{kernel: "factored_update", consts: choose("WEIGHT", weight.DType), groups: grid(ceilDiv(n4, 64)),
		params: factoredUpdateParams{uint32(n4), ld4, key[0], key[1], float32(1 - s.LR*s.WeightDecay), float32(s.LR), root, float32(s.Eps),
			float32(s.GradScale)},
		binds: []gpu.View{grad.View(), rows.View(), columns.View(), scale, weight.RawView()},
		work:  e.moving(grad.Bytes()+2*weight.Bytes(), 12*int64(r)*int64(c))})
}
