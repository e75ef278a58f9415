package moo

import (
	"fmt"
	"math"
)

// The kinds of Control.
const (
	ControlNorm      = "norm"
	ControlDirection = "direction"
)

// Control keeps one half of a method's effect, for experiments that ask whether a gain
// comes from the direction or from the length of the combined gradient, which acts as a
// learning rate by bucket. With ḡ = Jᵀu the gradient of the mean loss and d the method's:
//
//   - "norm": ḡ |d|/|ḡ|, the direction of the mean with the method's length;
//   - "direction": d |ḡ|/|d|, the method's direction with the length of the mean.
//
// Where the vector to be scaled vanishes, up to rounding, the weights are 0. "" is m itself.
func Control(m Method, kind string) (Method, error) {
	switch kind {
	case "":
		return m, nil
	case ControlNorm, ControlDirection:
	default:
		return nil, fmt.Errorf("moo: control: want one of \"norm\", \"direction\", got %q", kind)
	}
	if isGradientFree(m) {
		return nil, fmt.Errorf("moo: %s looks at no gradients: a control would need a Gram that it does not compute", m.Name())
	}
	if err := hasWeights(m); err != nil {
		return nil, err
	}
	return control{m, kind}, nil
}

type control struct {
	m    Method
	kind string
}

func (c control) Name() string  { return c.m.Name() }
func (c control) inner() Method { return c.m }

func (c control) Weights(in Input) (Result, error) {
	r, err := c.m.Weights(in)
	if err != nil {
		return Result{}, err
	}
	g := dense(in.G)
	mean, own := resultant(g, in.Preference), resultant(g, r.Weights)
	w, from, to := r.Weights, own, mean
	if c.kind == ControlNorm {
		w, from, to = in.Preference, mean, own
	}
	f := 0.0
	if from > 0 {
		f = to / from
	}
	return Result{Weights: scale(w, f), Diagnostics: r.Diagnostics, State: r.State}, nil
}

// resultant is |Jᵀw|, 0 where the gradients cancel up to rounding.
func resultant(g [][]float64, w []float64) float64 {
	size := 0.0
	for i, x := range w {
		size += math.Abs(x) * root(g[i][i])
	}
	length2 := dot(w, mulVec(g, w))
	if !(length2 > float64(len(w))*epsilon*size*size) {
		return 0
	}
	return math.Sqrt(length2)
}
