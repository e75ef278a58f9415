package model

import "concord/tensor"

// mlp is a feed-forward network. forward leaves the inputs of backward in a.gate and a.up;
// backward overwrites a.up with its gradient.
type mlp interface {
	params() []*parameter
	forward(e *tensor.Engine, y, x tensor.Tensor, a *activations, s *scratch)
	// project is the part of forward that leaves the inputs of backward.
	project(e *tensor.Engine, x tensor.Tensor, a *activations)
	backward(p backPass, dx, dy, x tensor.Tensor, a *activations, s *scratch)
	// retire gives the tensors that backward is done with before it ends to reuse, by the
	// parameters whose gradient it then asks for: of act, its scratch, and a.
	retire(act tensor.Tensor, a *activations, reuse func(p []*parameter, t ...tensor.Tensor))
}

// plainMLP is a network without a gate:
//
//	y = gelu(x Uᵀ + u) Dᵀ + d
//
// gelu is computed again in the backward.
type plainMLP struct{ in, out linear }

func (l *plainMLP) params() []*parameter { return append(l.out.params(), l.in.params()...) }

func (l *plainMLP) forward(e *tensor.Engine, y, x tensor.Tensor, a *activations, s *scratch) {
	l.project(e, x, a)
	e.GELU(s.act, a.up)
	l.out.forward(e, y, s.act)
}

func (l *plainMLP) project(e *tensor.Engine, x tensor.Tensor, a *activations) {
	l.in.forward(e, a.up, x)
}

func (l *plainMLP) backward(p backPass, dx, dy, x tensor.Tensor, a *activations, s *scratch) {
	p.e.GELU(s.act, a.up)
	l.out.backward(p, s.act, dy, s.act, false)
	p.e.GELUBackward(s.act, a.up)
	l.in.backward(p, dx, a.up, x, false)
}

func (l *plainMLP) retire(act tensor.Tensor, _ *activations, reuse func(p []*parameter, t ...tensor.Tensor)) {
	reuse(l.in.params(), act)
}

// gatedMLP is the gated feed-forward network (arXiv:2002.05202):
//
//	y = (act(x Gᵀ) ⊙ x Uᵀ) Dᵀ
//
// act is computed again in the backward.
type gatedMLP struct {
	in  projections // gate, up
	out linear      // down
	act activation
}

func (l *gatedMLP) params() []*parameter { return append(l.out.params(), l.in.params()...) }

func (l *gatedMLP) forward(e *tensor.Engine, y, x tensor.Tensor, a *activations, s *scratch) {
	l.project(e, x, a)
	l.act.forward(e, s.act, a.gate, a.up)
	l.out.forward(e, y, s.act)
}

func (l *gatedMLP) project(e *tensor.Engine, x tensor.Tensor, a *activations) {
	l.in.forward(e, x, a.gate, a.up)
}

func (l *gatedMLP) backward(p backPass, dx, dy, x tensor.Tensor, a *activations, s *scratch) {
	l.act.forward(p.e, s.act, a.gate, a.up)
	l.out.backward(p, s.act, dy, s.act, false)
	l.act.backward(p.e, s.act, a.gate, a.up)
	l.in.backward(p, dx, x, s.act, a.up)
}

func (l *gatedMLP) retire(act tensor.Tensor, a *activations, reuse func(p []*parameter, t ...tensor.Tensor)) {
	reuse(l.in[0].params(), a.gate)
	reuse(l.in[1].params(), act)
}

// activation is the non-linearity of a gated network, out = act(gate) ⊙ up. backward
// overwrites dout with the gradient of gate, and up with its own.
type activation interface {
	forward(e *tensor.Engine, out, gate, up tensor.Tensor)
	backward(e *tensor.Engine, dout, gate, up tensor.Tensor)
}

// gelu is act(g) = g (1 + tanh(√(2/π) (g + 0.044715 g³))) / 2 (arXiv:1606.08415).
type gelu struct{}

func (gelu) forward(e *tensor.Engine, out, gate, up tensor.Tensor) { e.GeGLU(out, gate, up) }

func (gelu) backward(e *tensor.Engine, dout, gate, up tensor.Tensor) { e.GeGLUBackward(dout, gate, up) }

// silu is act(g) = g/(1+exp(−g)).
type silu struct{}

func (silu) forward(e *tensor.Engine, out, gate, up tensor.Tensor) { e.SwiGLU(out, gate, up) }

func (silu) backward(e *tensor.Engine, dout, gate, up tensor.Tensor) {
	e.SwiGLUBackward(dout, gate, up)
}
