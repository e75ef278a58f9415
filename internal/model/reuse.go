package model

import (
	"concord/gpu"
	"concord/tensor"
)

// restore makes the activations that block i's backward needs of its forward, where the activations
// hold another block's: with checkpointing, of all but the last, and of that one too in a
// second backward.
func (m *transformer) restore(i int, b *Batch) {
	if !m.dims.Checkpointing || i == len(m.blocks)-1 && m.fresh {
		return
	}
	m.e.Dev.Span("recompute")
	a, l := m.activations(i), m.blocks[i]
	l.recompute(m.e, m.stream(i), a, m.s, m.attend(l, b, a))
	m.e.Dev.Span("backward")
}

// spared is a with a copy in place of the tensor that a block's backward overwrites, where another
// backward is to find them.
func (m *transformer) spared(a *activations) *activations {
	if !m.dims.Again {
		return a
	}
	out := *a
	out.up = m.back.up
	m.e.Dev.Copy(out.up.View(), a.up.View())
	return &out
}

// hidden is the memory in which block i's backward has the MLP's hidden values. They take the
// place of the gradients that the block above has left, so that those above need none in the end.
func (m *transformer) hidden(i int) tensor.Tensor {
	if i+1 == len(m.blocks) || m.dims.Checkpointing || m.dims.Again {
		return m.s.act
	}
	return m.activations(i + 1).up
}

func (m *transformer) Reusable() map[string][]gpu.View {
	out := map[string][]gpu.View{}
	if m.dims.Again {
		return out
	}
	reuse := func(p []*parameter, t ...tensor.Tensor) {
		for _, x := range t {
			if x.Buf != nil { // not every family has all
				out[p[0].Name] = append(out[p[0].Name], x.View())
			}
		}
	}
	if !m.dims.LateHead {
		reuse(m.norm.params(), m.head.loss.Logits())
	}
	for i, l := range m.blocks {
		if i+1 < len(m.blocks) || !m.dims.LateHead { // the head's input is made of the last
			reuse(l.mlp.params(), m.stream(i+1))
		}
		if i != m.lowest() && m.dims.Checkpointing { // the layer below needs the activations' memory
			continue
		}
		a := m.activations(i)
		reuse(l.mlp.params(), a.down)
		l.mlp.retire(m.hidden(i), a, reuse)
		if i == m.lowest() { // else the hidden values of the block below lie there
			reuse(l.mlpNorm.params(), a.up)
		}
		reuse(l.attention.params(), a.mid, a.out)
		reuse(l.attention.in.params(), a.q, a.k, a.v, a.att, a.rawQ, a.rawK)
	}
	return m.trainedOnly(out)
}

// trainedOnly hands the memory that is listed for frozen parameters, whose gradients are never
// asked for, to the trained ones that follow. A shared parameter gets none: its gradient is asked
// for at the head first, when all of it is in use.
func (m *transformer) trainedOnly(lent map[string][]gpu.View) map[string][]gpu.View {
	out := map[string][]gpu.View{}
	var waiting []gpu.View
	for _, p := range m.params() {
		waiting = append(waiting, lent[p.Name]...)
		if !p.Frozen && !p.Shared() && len(waiting) > 0 {
			out[p.Name], waiting = waiting, nil
		}
	}
	return out
}
