package model

import (
	"concord/gpu"
	"concord/tensor"
)

// attention is causal grouped-query attention within documents, the last window
// tokens of them where a layer slides:
//
//	q = RoPE(norm(x Qᵀ)), k = RoPE(norm(x Kᵀ)), v = x Vᵀ
//	y = softmax(scale q kᵀ) v Oᵀ
//
// norm is there in some families only, by head (arXiv:2302.05442).
type attention struct {
	in           projections // q, k, v
	out          linear
	qNorm, kNorm *rmsNorm // or nil
	shape        tensor.AttentionShape
	window       int // tokens that a query sees, itself included; 0 = all
	rope         int // index of the rotary tables
}

func (l *attention) params() []*parameter {
	out := l.out.params()
	if l.qNorm != nil {
		out = append(out, l.qNorm.weight, l.kNorm.weight)
	}
	return append(out, l.in.params()...)
}

// project makes the queries, keys and values of x.
func (l *attention) project(e *tensor.Engine, x, pos tensor.Tensor, ropes []ropeTables, a *activations) {
	q, k := a.q, a.k
	if l.qNorm != nil {
		q, k = a.rawQ, a.rawK
	}
	l.in.forward(e, x, q, k, a.v)
	if l.qNorm != nil {
		l.qNorm.forward(e, a.q, q, a.qStats)
		l.kNorm.forward(e, a.k, k, a.kStats)
	}
	l.rotate(e, a.q, a.k, pos, ropes, false)
}

// rotate applies the rotary embedding to queries and keys, or its transpose.
func (l *attention) rotate(e *tensor.Engine, q, k, pos tensor.Tensor, ropes []ropeTables, inverse bool) {
	if len(ropes) == 0 { // positions are learned
		return
	}
	t := ropes[l.rope]
	e.RoPE(q, l.shape.Heads, pos, t.cos, t.sin, inverse)
	e.RoPE(k, l.shape.KVHeads, pos, t.cos, t.sin, inverse)
}

// forward is the whole layer.
func (l *attention) forward(e *tensor.Engine, y, x tensor.Tensor, b *Batch, ropes []ropeTables, a *activations) {
	l.project(e, x, b.pos, ropes, a)
	e.Attention(a.att, a.lse, a.q, a.k, a.v, b.docs(l.window), l.shape)
	l.out.forward(e, y, a.att)
}

// decode is forward of tokens that follow those in a key-value cache.
func (l *attention) decode(e *tensor.Engine, y, x tensor.Tensor, c *cached, a *activations) {
	l.project(e, x, c.pos, c.ropes, a)
	keys, values := c.store(a.k, a.v)
	shape := l.shape
	shape.QueryOffset = c.offset
	start := c.starts[l.window]
	e.Attention(a.att, a.lse, a.q, keys, values, tensor.Docs{Start: start, End: start}, shape)
	l.out.forward(e, y, a.att)
}

// backwardHeads takes the gradients of the output map and of q, k and v before
// the projections into s.
func (l *attention) backwardHeads(p backPass, dy tensor.Tensor, ropes []ropeTables, a *activations, s *backScratch) {
	l.out.backward(p, s.datt, dy, a.att, false)
	p.e.AttentionBackward(s.dq, s.dk, s.dv, s.datt, a.att, a.q, a.k, a.v, a.lse, s.delta, p.b.docs(l.window), l.shape)
	l.rotate(p.e, s.dq, s.dk, p.b.pos, ropes, true)
	if l.qNorm != nil { // datt is free by now
		l.qNorm.backward(p, s.datt, s.dq, a.rawQ, a.qStats, false)
		l.kNorm.backward(p, s.dkRaw, s.dk, a.rawK, a.kStats, false)
	}
}

// backwardProjections overwrites dx from the gradients that backwardHeads left in s.
func (l *attention) backwardProjections(p backPass, dx, x tensor.Tensor, s *backScratch) {
	dq, dk := s.dq, s.dk
	if l.qNorm != nil {
		dq, dk = s.datt, s.dkRaw
	}
	l.in.backward(p, dx, x, dq, dk, s.dv)
}

// ropeTables are cos and sin, (positions, rotated/2).
type ropeTables struct{ cos, sin tensor.Tensor }

// newRopes makes the rotary tables for so many positions.
func newRopes(m *memory, c Config, positions int) []ropeTables {
	var out []ropeTables
	for _, r := range c.ropes() {
		d := c.rotated()
		cos, sin := tensor.RoPETables(positions, d, r.Theta, r.Scaling)
		t := ropeTables{m.new(gpu.RoleData, "rope cos", positions, d/2), m.new(gpu.RoleData, "rope sin", positions, d/2)}
		if m.e.Dev.Err() == nil {
			m.e.Upload(t.cos, cos)
			m.e.Upload(t.sin, sin)
		}
		out = append(out, t)
	}
	return out
}
