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
func FactoredSlices(r, c int) int { return ceilDiv(r, columnSlice) * sliceStride(c) }

// sliceStride is the elements from one slice of c columns to the next, which can be bound.
func sliceStride(c int) int { return alignUp(c, blockUnit) }

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
	factoredColumnsParams struct{ N, Rows, LD4, Stride4 uint32 }
	factoredFoldParams    struct {
		Slices, LD4, Stride4 uint32
		Beta, Fresh          float32
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
		N, LD4, Base, Key0, Key1         uint32
		Keep, Rate, Root, Eps, GradScale float32
	}
)

// FactoredRows divides the first row of every piece of a gradient but the last.
const FactoredRows = columnSlice

// Pieces gives a gradient piece by piece: f is called with the first row of each, a
// multiple of FactoredRows, and the piece, of whole rows.
type Pieces func(f func(lo int, grad Tensor))

// Factored updates weight, (R, C) F32 or BF16, from its gradient, of the same C and LD, with
// a second moment that is kept as the mean squares of the gradient's rows, (1, R), and
// columns, (1, C), both in place: Adafactor (Shazeer & Stern, ICML 2018, algorithm 4)
// with the learning rate as given, Adam's bias correction and no first moment:
//
//	v̂ = rows·columns / mean(rows) / (1 − β2^t),   u = g / (√v̂ + ε)
//	weight ← (1 − lr·decay) weight − lr u / max(1, RMS(u))
//
// For a vector, R = 1, v̂ is its own second moment. bf16 is rounded up or down by chance,
// by key. All lie in different buffers but rows and columns, which may share one; the gradient's
// padding is zero. grad is called three times, and must give the same each time; all but the last
// time before weight changes, and a piece of weight changes after the last time that its gradient
// is given. The bits do not depend on the pieces.
func (e *Engine) Factored(weight, rows, columns Tensor, grad Pieces, key [2]uint32, s FactoredParams, scratch FactoredScratch) {
	r, c := weight.R, weight.C
	if rows.C != r || columns.C != c || FactoredSlices(r, c) > scratch.part.LD || r > scratch.size.LD {
		panic(fmt.Sprintf("tensor: factored: weight %v · rows %v · columns %v, scratch %v, %v", weight, rows, columns, scratch.part,
			scratch.size))
	}
	if !(s.Eps > 0) || s.Step < 1 {
		panic(fmt.Sprintf("tensor: factored: eps %g must be > 0 and step %d ≥ 1", s.Eps, s.Step))
	}
	f := factored{e: e, weight: weight, rows: rows, columns: columns, key: key, s: s, scratch: scratch, ld4: vec4s(weight.LD)}
	f.root = float32(1 / math.Sqrt(1-math.Pow(s.Beta2, float64(s.Step))))
	for _, pass := range []struct {
		piece func(lo int, g Tensor)
		end   func()
	}{{f.sums, f.moments}, {f.sizes, f.scale}, {f.update, func() {}}} {
		grad(func(lo int, g Tensor) {
			if g.C != c || g.LD != weight.LD || lo%FactoredRows != 0 || lo+g.R > r {
				panic(fmt.Sprintf("tensor: factored: weight %v, rows of the gradient from %d on %v", weight, lo, g))
			}
			for _, cut := range e.rowCuts(g, FactoredRows) {
				pass.piece(lo+cut[0], block(g, cut[0], cut[1], 0, c))
			}
		})
		pass.end()
	}
}

// factored is one update.
type factored struct {
	e                     *Engine
	weight, rows, columns Tensor
	key                   [2]uint32
	s                     FactoredParams
	scratch               FactoredScratch
	ld4                   uint32
	root                  float32
}

// fresh is the share of a new square in the moments.
func (f *factored) fresh() float64 { return (1 - f.s.Beta2) * f.s.GradScale * f.s.GradScale }

// sums adds up the squares of a piece by row, and by column in slices.
func (f *factored) sums(lo int, g Tensor) {
	read := f.e.moving(g.Bytes(), 2*int64(g.R)*int64(g.C))
	f.e.run(call{kernel: "factored_rows", params: factoredRowsParams{uint32(g.R), uint32(g.C), f.ld4, float32(f.s.Beta2),
		float32(f.fresh() / float64(g.C))}, binds: []gpu.View{g.View(), f32View(f.rows, lo, g.R)}, groups: grid(g.R), work: read})
	slices := ceilDiv(g.R, columnSlice)
	stride := sliceStride(g.C)
	part := f32View(f.scratch.part, lo/columnSlice*stride, slices*stride)
	f.e.run(call{kernel: "factored_columns", params: factoredColumnsParams{uint32(slices) * f.ld4, uint32(g.R), f.ld4, vec4s(stride)},
		binds: []gpu.View{g.View(), part}, groups: grid(ceilDiv(slices*int(f.ld4), 64)), work: read})
}

// moments makes the columns' moments, and the mean of the rows'.
func (f *factored) moments() {
	r := f.weight.R
	part := f32View(f.scratch.part, 0, FactoredSlices(r, f.weight.C))
	f.e.run(call{kernel: "factored_fold", params: factoredFoldParams{uint32(ceilDiv(r, columnSlice)), f.ld4,
		vec4s(sliceStride(f.weight.C)), float32(f.s.Beta2), float32(f.fresh() / float64(r))}, binds: []gpu.View{part, f.columns.View()},
		groups: grid(ceilDiv(int(f.ld4), 64)),
		work:   f.e.moving(part.Size, 0)})
	f.mean(f.rows.View(), nil)
}

// mean is of r values, for scale[0], or for scale[1] with consts.
func (f *factored) mean(x gpu.View, consts map[string]string) {
	f.e.run(call{kernel: "factored_mean", consts: consts, params: factoredMeanParams{uint32(f.weight.R), float32(1 / float64(f.weight.R))},
		binds: []gpu.View{x, f.scratch.scale.View()}, groups: [3]int{1, 1, 1}, work: f.e.moving(x.Size, 0)})
}

// sizes are the mean squares of u by row.
func (f *factored) sizes(lo int, g Tensor) {
	f.e.run(call{kernel: "factored_size",
		params: factoredSizeParams{uint32(g.R), uint32(g.C), f.ld4, float32(1 / float64(g.C)), f.root, float32(f.s.Eps), float32(f.s.GradScale)},
		binds:  []gpu.View{g.View(), f32View(f.rows, lo, g.R), f.columns.View(), f.scratch.scale.View(), f32View(f.scratch.size, lo, g.R)},
		groups: grid(g.R), work: f.e.moving(g.Bytes(), 8*int64(g.R)*int64(g.C))})
}

// scale bounds RMS(u).
func (f *factored) scale() {
	f.mean(f32View(f.scratch.size, 0, f.weight.R), map[string]string{"SIZE": "1"})
}

func (f *factored) update(lo int, g Tensor) {
	w, n4 := block(f.weight, lo, lo+g.R, 0, g.C), int(f.ld4)*g.R
	f.e.run(call{kernel: "factored_update", consts: choose("WEIGHT", w.DType), groups: grid(ceilDiv(n4, 64)),
		params: factoredUpdateParams{uint32(n4), f.ld4, uint32(lo) * f.ld4, f.key[0], f.key[1], float32(1 - f.s.LR*f.s.WeightDecay),
			float32(f.s.LR), f.root, float32(f.s.Eps), float32(f.s.GradScale)},
		binds: []gpu.View{g.View(), f32View(f.rows, lo, g.R), f.columns.View(), f.scratch.scale.View(), w.RawView()},
		work:  f.e.moving(g.Bytes()+2*w.Bytes(), 12*int64(g.R)*int64(g.C))})
}
