package model

import (
	"concord/gpu"
	"concord/tensor"
)

// late says that w's gradient is taken at the end of the backward pass.
func (p backPass) late(w *parameter) bool {
	g, ok := p.g.(LateGradients)
	return ok && !w.Frozen && g.Late(w.Name)
}

// backwardLate takes the gradients of the head and the embedding that are late, from
// the tensors that Backward has left in scratch: the gradient of the embedding's output, the logits' of
// one chunk, and, made again from the last residual stream, the head's input and the other logits' gradient.
func (m *transformer) backwardLate(p backPass) {
	table, head := m.embedding.table, m.head.weight
	write := func(w *parameter, parts func([]tensor.Part)) {
		if g := p.g.(LateGradients); g.ByTokens(w.Name) {
			g.TakeTokens(w.Name, p.b.Segments, m.vocabulary(p.b, w))
		} else {
			g.TakeLate(w.Name, p.b.Segments, parts)
		}
	}
	if p.late(head) {
		m.withKeptNorm(func() { m.norm.forward(m.e, m.s.norm, m.stream(len(m.blocks)), m.s.stats) })
		write(head, func(parts []tensor.Part) {
			m.head.loss.WeightGradient(m.s.norm, head.t, p.b.labels, p.b.scale, m.loss, parts)
			if m.head.tied {
				m.embedding.tableParts(p, m.back.dx, parts, true)
			}
		})
	}
	if !m.head.tied && p.late(table) {
		write(table, func(parts []tensor.Part) { m.embedding.tableParts(p, m.back.dx, parts, false) })
	}
}

// vocabulary is the gradient of w, the embedding, the head or both, as a sum over tokens.
func (m *transformer) vocabulary(b *Batch, w *parameter) (v tensor.Vocabulary) {
	if w == m.head.weight {
		v.Head = &tensor.HeadTokens{Loss: m.head.loss, X: m.s.norm, Weight: w.t, Labels: b.labels, Scale: b.scale}
	}
	if w == m.embedding.table {
		v.Ids = &tensor.TableTokens{IDs: b.ids, D: m.back.dx, Index: b.tokens.of(1),
			Parts: b.tokens.of(b.Segments.M())}
	}
	return v
}

// tableParts is the table's part of backward.
func (l embedding) tableParts(p backPass, dx tensor.Tensor, parts []tensor.Part, accumulate bool) {
	for _, to := range parts {
		p.e.EmbeddingBackwardPart(to.Rows, to.Lo, dx, p.b.tokens.of(to.Segments.M()), accumulate)
	}
}

// keepNorm copies the final norm's parameters, which may be updated before the late gradients
// need its output again.
func (m *transformer) keepNorm() {
	for i, w := range m.norm.params() {
		if i == len(m.kept) {
			m.kept = append(m.kept, m.new(gpu.RoleScratch, "final norm", w.t.R, w.t.C))
		}
		m.e.Dev.Copy(m.kept[i].View(), w.t.View())
	}
}

// withKeptNorm calls f while the final norm has the parameters that keepNorm copied.
func (m *transformer) withKeptNorm(f func()) {
	for i, w := range m.norm.params() {
		now := w.t
		w.t = m.kept[i]
		defer func() { w.t = now }()
	}
	f()
}
