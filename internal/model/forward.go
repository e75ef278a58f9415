package model

import "concord/tensor"

// Forward records the layers of a batch: from token ids to the input of the
// final norm, leaving the activations that Backward needs. The loss is
// Backward's or EvalLoss's business, where the head is fused with it.
func (m *Llama) Forward(b *Batch) { m.ForwardEach(b, nil) }

// ForwardEach is Forward that shows the residual stream, (N, C): layer 0 is the
// embedding, layer i the output of the i-th decoder layer. What visit does with
// x must be recorded when it returns, as the next layers may overwrite it. nil
// shows nothing.
func (m *Llama) ForwardEach(b *Batch, visit func(layer int, x tensor.Tensor)) {
	m.e.Dev.Span("forward")
	m.e.Embedding(m.x[0], m.embed, b.ids)
	if visit != nil {
		visit(0, m.x[0])
	}
	for i := range m.layers {
		x, out := m.stream(i), m.stream(i+1)
		a := m.activations(i)
		m.project(m.layers[i], a, m.s, x, b.pos, m.rope)
		m.e.Attention(a.att, a.lse, a.q, a.k, a.v, b.docs(), m.Config.attention())
		m.mix(m.layers[i], a, m.s, x, out)
		if visit != nil {
			visit(i+1, out)
		}
	}
}

// stream is the residual stream that enters layer i.
func (m *Llama) stream(i int) tensor.Tensor { return m.x[i%len(m.x)] }

func (m *Llama) activations(i int) activations { return m.saved[i%len(m.saved)] }

// project is the first part of a layer: queries, keys and values of x.
//
//	h = RMSNorm(x);  q = RoPE(h Wqᵀ), k = RoPE(h Wkᵀ), v = h Wvᵀ
func (m *Llama) project(w layer, a activations, s scratch, x, pos tensor.Tensor, t ropeTables) {
	e, c := m.e, m.Config
	e.RMSNorm(s.norm, s.rstd, x, w.inputNorm, float32(c.RMSNormEps))
	e.MatMul(a.q, s.norm, w.q, tensor.NT, false)
	e.MatMul(a.k, s.norm, w.k, tensor.NT, false)
	e.MatMul(a.v, s.norm, w.v, tensor.NT, false)
	e.RoPE(a.q, c.Heads, pos, t.cos, t.sin, false)
	e.RoPE(a.k, c.KVHeads, pos, t.cos, t.sin, false)
}

// mix is the rest of a layer behind attention:
//
//	mid = x + att Woᵀ;  h = RMSNorm(mid);  out = mid + (silu(h Wgᵀ) ⊙ h Wuᵀ) Wdᵀ
func (m *Llama) mix(w layer, a activations, s scratch, x, out tensor.Tensor) {
	e := m.e
	e.MatMul(s.norm, a.att, w.o, tensor.NT, false)
	e.Add(a.mid, x, s.norm)
	e.RMSNorm(s.norm, s.rstd, a.mid, w.postNorm, float32(m.Config.RMSNormEps))
	e.MatMul(a.gate, s.norm, w.gate, tensor.NT, false)
	e.MatMul(a.up, s.norm, w.up, tensor.NT, false)
	e.SwiGLU(s.act, a.gate, a.up)
	e.MatMul(s.norm, s.act, w.down, tensor.NT, false)
	e.Add(out, a.mid, s.norm)
}

// EvalLoss records the forward pass and the losses of a batch into Loss. It
// overwrites what Forward saved.
func (m *Llama) EvalLoss(b *Batch) {
	m.Forward(b)
	last := m.stream(len(m.layers))
	m.e.RMSNorm(m.s.norm, m.s.rstd, last, m.norm, float32(m.Config.RMSNormEps))
	m.loss.Run(m.s.norm, m.head, b.labels, b.scale, m.Loss, nil)
}
