package model

import "concord/tensor"

// linear is a linear map, with a bias in some families:
//
//	y = x Wᵀ + b,   x (N, in), W (out, in), y (N, out)
//	dx = dy W,   dW_m = dy_mᵀ x_m,   db_m = Σ dy_m
type linear struct {
	weight, bias *parameter
	adapter      adapter // or nil
}

func (l linear) params() []*parameter {
	out := []*parameter{l.weight}
	if l.bias != nil {
		out = append(out, l.bias)
	}
	if l.adapter != nil {
		out = append(out, l.adapter.params()...)
	}
	return out
}

func (l linear) forward(e *tensor.Engine, y, x tensor.Tensor) {
	e.MatMul(y, x, l.weight.t, tensor.NT, false)
	if l.adapter != nil {
		l.adapter.forward(e, y, x)
	}
	if l.bias != nil {
		e.AddBias(y, l.bias.t)
	}
}

// backward takes the parameters' gradients and dx, which is added to the values there if
// accumulate; otherwise it may lie in x.
func (l linear) backward(p backPass, dx, dy, x tensor.Tensor, accumulate bool) {
	p.linear(l.weight, dy, x)
	if l.bias != nil {
		biasGradient(p, l.bias, dy)
	}
	if l.adapter != nil {
		dy = l.adapter.gradient(p, dy, x)
	}
	p.e.MatMul(dx, dy, l.weight.t, tensor.NN, accumulate)
	if l.adapter != nil {
		l.adapter.backward(p, dx)
	}
}

// biasGradient takes the gradient of an additive vector: the sum of dy's rows.
func biasGradient(p backPass, bias *parameter, dy tensor.Tensor) {
	p.use(bias, dy, func(dy tensor.Tensor, to tensor.Target) {
		p.e.BiasBackward(to.Rows, dy, to.Segments, to.Accumulate)
	})
}

// projections are linear maps of one input:
//
//	y_k = x W_kᵀ + b_k,   dx = Σ_k dy_k W_k
type projections []linear

func (l projections) params() []*parameter {
	var out []*parameter
	for _, m := range l {
		out = append(out, m.params()...)
	}
	return out
}

func (l projections) forward(e *tensor.Engine, x tensor.Tensor, y ...tensor.Tensor) {
	for k, m := range l {
		m.forward(e, y[k], x)
	}
}

// backward overwrites dx. It may not lie in one of the dy.
func (l projections) backward(p backPass, dx, x tensor.Tensor, dy ...tensor.Tensor) {
	for k, m := range l {
		m.backward(p, dx, dy[k], x, k > 0)
	}
}
