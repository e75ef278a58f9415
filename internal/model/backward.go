package model

import (
	"concord/gpu"
	"concord/tensor"
)

// backScratch is the backward pass's memory, shared by all layers.
type backScratch struct {
	dx         tensor.Tensor // (N, C) gradient of the residual stream
	dnorm      tensor.Tensor // (N, C) gradient of a normalised input
	dgate, dup tensor.Tensor // (N, F)
	dact       tensor.Tensor // (N, F) gradient of the SwiGLU product
	dq, datt   tensor.Tensor // (N, H·D)
	dk, dv     tensor.Tensor // (N, KV·D)
	delta      tensor.Tensor // (H, N)
}

func (m *Llama) newBackScratch() *backScratch {
	c, n := m.Config, m.n
	hd, kvd := c.Heads*c.HeadDim, c.KVHeads*c.HeadDim
	t := func(label string, cols int) tensor.Tensor { return m.new(gpu.RoleScratch, label, n, cols) }
	return &backScratch{
		dx: t("dx", c.Hidden), dnorm: t("dnorm", c.Hidden), dgate: t("dgate", c.FFN), dup: t("dup", c.FFN), dact: t("dact", c.FFN),
		dq: t("dq", hd), datt: t("dattention", hd), dk: t("dk", kvd), dv: t("dv", kvd),
		delta: m.new(gpu.RoleScratch, "delta", c.Heads, n),
	}
}

// Backward records the losses of the batch that Forward saw, into Loss, and the
// gradient of Σ Scale·Loss over each objective's tokens by every parameter. The
// gradients of the activations are computed once for all objectives; only those
// of the parameters are split. Parameters complete in the order of ParamSpecs.
//
// losses, if not nil, is called once, when the losses have been recorded and before
// any gradient is complete: from then on they can be read, which whoever resolves
// the head's gradient may need at once.
func (m *Llama) Backward(b *Batch, g Gradients, losses func()) {
	if m.back == nil {
		panic("model: backward on a forward-only model")
	}
	m.e.Dev.Span("backward")
	m.backwardHead(b, g, losses)
	for i := len(m.layers) - 1; i >= 0; i-- {
		m.backwardMLP(i, b, g)
		m.backwardAttention(i, b, g)
	}
	g.Use(embedName, m.back.dx, b.Segments, func(dx tensor.Tensor, to tensor.Target) {
		m.e.EmbeddingBackward(to.Rows, dx, b.tokens(to.Segments.M()), to.Accumulate)
	})
}

// backwardHead runs the fused head and loss, then the final norm: dx becomes
// the gradient of the last layer's output.
func (m *Llama) backwardHead(b *Batch, g Gradients, losses func()) {
	e, s := m.e, m.back
	last := m.stream(len(m.layers))
	e.RMSNorm(m.s.norm, m.s.rstd, last, m.norm, float32(m.Config.RMSNormEps))
	name := headName
	if m.Config.TieWordEmbeddings {
		name = embedName
	}
	g.Use(name, m.s.norm, b.Segments, func(x tensor.Tensor, to tensor.Target) {
		m.loss.Run(m.s.norm, m.head, b.labels, b.scale, m.Loss, &tensor.HeadGradients{DX: s.dnorm, X: x, DWeight: to})
		if losses != nil {
			losses()
		}
	})
	m.normWeight(normName, s.dnorm, last, b, g)
	e.RMSNormBackward(s.dx, s.dnorm, last, m.norm, m.s.rstd, false)
}

// backwardMLP takes dx from the layer's output to the stream behind attention.
func (m *Llama) backwardMLP(i int, b *Batch, g Gradients) {
	e, s, w, a := m.e, m.back, m.layers[i], m.activations(i)
	e.SwiGLU(m.s.act, a.gate, a.up)
	e.RMSNorm(m.s.norm, m.s.rstd, a.mid, w.postNorm, float32(m.Config.RMSNormEps))
	m.linearWeight(layerName(i, downProj), s.dx, m.s.act, b, g)
	e.MatMul(s.dact, s.dx, w.down, tensor.NN, false)
	e.SwiGLUBackward(s.dgate, s.dup, s.dact, a.gate, a.up)
	m.linearWeight(layerName(i, gateProj), s.dgate, m.s.norm, b, g)
	m.linearWeight(layerName(i, upProj), s.dup, m.s.norm, b, g)
	e.MatMul(s.dnorm, s.dgate, w.gate, tensor.NN, false)
	e.MatMul(s.dnorm, s.dup, w.up, tensor.NN, true)
	m.normWeight(layerName(i, postNorm), s.dnorm, a.mid, b, g)
	e.RMSNormBackward(s.dx, s.dnorm, a.mid, w.postNorm, m.s.rstd, true)
}

// backwardAttention takes dx on to the layer's input.
func (m *Llama) backwardAttention(i int, b *Batch, g Gradients) {
	e, s, w, a, c := m.e, m.back, m.layers[i], m.activations(i), m.Config
	x := m.stream(i)
	m.linearWeight(layerName(i, oProj), s.dx, a.att, b, g)
	e.MatMul(s.datt, s.dx, w.o, tensor.NN, false)
	e.AttentionBackward(s.dq, s.dk, s.dv, s.datt, a.att, a.q, a.k, a.v, a.lse, s.delta,
		b.docs(), c.attention())
	e.RoPE(s.dq, c.Heads, b.pos, m.rope.cos, m.rope.sin, true)
	e.RoPE(s.dk, c.KVHeads, b.pos, m.rope.cos, m.rope.sin, true)
	e.RMSNorm(m.s.norm, m.s.rstd, x, w.inputNorm, float32(c.RMSNormEps))
	m.linearWeight(layerName(i, qProj), s.dq, m.s.norm, b, g)
	m.linearWeight(layerName(i, kProj), s.dk, m.s.norm, b, g)
	m.linearWeight(layerName(i, vProj), s.dv, m.s.norm, b, g)
	e.MatMul(s.dnorm, s.dq, w.q, tensor.NN, false)
	e.MatMul(s.dnorm, s.dk, w.k, tensor.NN, true)
	e.MatMul(s.dnorm, s.dv, w.v, tensor.NN, true)
	m.normWeight(layerName(i, inputNorm), s.dnorm, x, b, g)
	e.RMSNormBackward(s.dx, s.dnorm, x, w.inputNorm, m.s.rstd, true)
}

// linearWeight is dW_m = dY_mᵀ X_m for every objective m.
func (m *Llama) linearWeight(name string, dy, x tensor.Tensor, b *Batch, g Gradients) {
	g.Linear(name, dy, x, b.Segments)
}

// normWeight is the gradient of a norm's weight; m.s.rstd is x's.
func (m *Llama) normWeight(name string, dnorm, x tensor.Tensor, b *Batch, g Gradients) {
	g.Use(name, dnorm, b.Segments, func(dnorm tensor.Tensor, to tensor.Target) {
		m.e.RMSNormBackwardWeight(to.Rows, dnorm, x, m.s.rstd, to.Segments, to.Accumulate)
	})
}

// Lendable lists, by parameter, memory that Backward no longer needs from the
// moment it asks for that parameter's gradient until the next Forward: the
// logits' chunk behind the head, and the activations of what it is done with.
func (m *Llama) Lendable() map[string][]gpu.View {
	out := map[string][]gpu.View{}
	lend := func(name string, t ...tensor.Tensor) {
		for _, x := range t {
			out[name] = append(out[name], x.View())
		}
	}
	lend(normName, m.loss.Logits())
	for i, a := range m.saved {
		lend(layerName(i, downProj), m.stream(i+1))
		if i+1 < len(m.saved) {
			above := m.saved[i+1]
			lend(layerName(i, downProj), above.q, above.k, above.v, above.att)
		}
		lend(layerName(i, gateProj), a.gate, a.up) // SwiGLU's gradient has been taken
		lend(layerName(i, oProj), a.mid)
	}
	return out
}
