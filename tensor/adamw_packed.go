package tensor

import (
	"fmt"
	"maps"
	"math"

	"concord/gpu"
)

// PackedBlock divides the lengths of AdamWPacked's operands.
const PackedBlock = momentBlock

type adamwPackedParams struct {
	Blocks, MFirst, VFirst, Base, Key0, Key1 uint32
	Beta1, NotBeta1, Beta2, NotBeta2         float32
	Keep, Rate, Root, Eps, GradScale         float32
}

// AdamWPacked is AdamW of weights and moments that take fewer bits: it computes in
// float32 and rounds stored values up or down by chance, so that the mean of the values
// stored is the value computed. All are (1, n), n a multiple of PackedBlock, in
// different buffers: weight F32 or BF16, m F32, BF16 or Dynamic8, v F32, BF16 or
// Dynamic8Root, grad F32. The random bits are a function of key and of a value's
// place, at being that of the first: the same key gives the same bits. m and v may begin at any block of their
// buffer. A root above 0 is never stored as 0.
func (e *Engine) AdamWPacked(weight, m, v, grad Tensor, key [2]uint32, at int, s AdamWParams) {
	n := weight.C
	if cut := e.flatCuts(n, PackedBlock); len(cut) > 1 {
		for _, c := range cut {
			of := func(t Tensor) Tensor { return span(t, c[0], c[1]) }
			e.AdamWPacked(of(weight), of(m), of(v), of(grad), key, at+c[0], s)
		}
		return
	}
	for _, t := range []Tensor{weight, m, v, grad} {
		if t.R != 1 || t.C != n || n%PackedBlock != 0 {
			panic(fmt.Sprintf("tensor: adamw: weight %v · m %v · v %v · grad %v of no whole blocks", weight, m, v, grad))
		}
	}
	if at%PackedBlock != 0 {
		panic(fmt.Sprintf("tensor: adamw: element %d is not the first of a block", at))
	}
	if !(s.Eps > 0) || s.Step < 1 {
		panic(fmt.Sprintf("tensor: adamw: eps %g must be > 0 and step %d ≥ 1", s.Eps, s.Step))
	}
	consts := choose("WEIGHT", weight.DType)
	maps.Copy(consts, choose("M", m.DType))
	maps.Copy(consts, choose("V", v.DType))
	mView, mFirst := wordsFrom(m)
	vView, vFirst := wordsFrom(v)
	p := adamwPackedParams{Blocks: uint32(n / PackedBlock), MFirst: mFirst, VFirst: vFirst, Base: vec4s(at), Key0: key[0], Key1: key[1],
		Beta1: float32(s.Beta1), NotBeta1: float32(1 - s.Beta1),
		Beta2: float32(s.Beta2), NotBeta2: float32(1 - s.Beta2),
		Keep: float32(1 - s.LR*s.WeightDecay),
		Rate: float32(s.LR / (1 - math.Pow(s.Beta1, float64(s.Step)))),
		Root: float32(1 / math.Sqrt(1-math.Pow(s.Beta2, float64(s.Step)))),
		Eps:  float32(s.Eps), GradScale: float32(s.GradScale)}
	bytes := grad.Bytes() + 2*(weight.Bytes()+m.Bytes()+v.Bytes())
	e.run(call{kernel: "adamw_packed", consts: consts, params: p, groups: grid(n / PackedBlock), work: e.moving(bytes, int64(n)*60),
		binds: []gpu.View{grad.View(), weight.RawView(), mView, vView}})
}

// wordsFrom is a binding that holds t and the word in it at which t begins: blocks do
// not begin where bindings may.
func wordsFrom(t Tensor) (gpu.View, uint32) {
	v := t.RawView()
	skip := v.Offset % bindAlign
	v.Offset, v.Size = v.Offset-skip, v.Size+skip
	return v, uint32(F32.Elements(skip))
}
