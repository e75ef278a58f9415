package tensor

import (
	"fmt"
	"math"
)

// AdamWParams are the settings of one update.
type AdamWParams struct {
	LR           float64
	Beta1, Beta2 float64
	Eps          float64 // > 0
	WeightDecay  float64 // decoupled: the weight shrinks by LR*WeightDecay of itself
	Step         int64   // 1 for the first update, for bias correction
	GradScale    float64 // the gradient is multiplied by it first: clipping
}

type adamwParams struct {
	N4                               uint32
	Beta1, NotBeta1, Beta2, NotBeta2 float32
	Keep, Rate, Root, Eps, GradScale float32
}

// AdamW updates weight, m and v in place from grad, all of one shape and in
// different buffers: decoupled weight decay, bias-corrected moments, the order
// of operations of PyTorch's AdamW. Loshchilov & Hutter, ICLR 2019.
func (e *Engine) AdamW(weight, m, v, grad Tensor, s AdamWParams) {
	n := weight.R * weight.LD
	for _, t := range []Tensor{m, v, grad} {
		if t.R*t.LD != n {
			panic(fmt.Sprintf("tensor: adamw: weight %v · m %v · v %v · grad %v", weight, m, v, grad))
		}
	}
	if !(s.Eps > 0) || s.Step < 1 {
		panic(fmt.Sprintf("tensor: adamw: eps %g must be > 0 and step %d ≥ 1", s.Eps, s.Step))
	}
	p := adamwParams{
		Beta1: float32(s.Beta1), NotBeta1: float32(1 - s.Beta1),
		Beta2: float32(s.Beta2), NotBeta2: float32(1 - s.Beta2),
		Keep: float32(1 - s.LR*s.WeightDecay),
		Rate: float32(s.LR / (1 - math.Pow(s.Beta1, float64(s.Step)))),
		Root: float32(1 / math.Sqrt(1-math.Pow(s.Beta2, float64(s.Step)))),
		Eps:  float32(s.Eps), GradScale: float32(s.GradScale)}
	for _, c := range e.flatCuts(n, blockUnit) {
		n := c[1] - c[0]
		p.N4 = vec4s(n)
		call := call{kernel: "adamw", params: p, groups: grid(ceilDiv(int(vec4s(n)), 64)), work: e.moving(int64(n)*28, int64(n)*12)}
		for _, t := range []Tensor{grad, weight, m, v} {
			call.binds = append(call.binds, f32View(t, c[0], n))
		}
		e.run(call)
	}
}
