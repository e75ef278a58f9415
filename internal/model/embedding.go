package model

import "concord/tensor"

// embedding looks up the rows of its table:
//
//	x_i = E[id_i],   dE_m = Σ of dx_i over the tokens i of objective m, by id
type embedding struct{ table *parameter }

func (l embedding) params() []*parameter { return []*parameter{l.table} }

func (l embedding) forward(e *tensor.Engine, x, ids tensor.Tensor) { e.Embedding(x, l.table.t, ids) }

func (l embedding) backward(p backPass, dx tensor.Tensor) {
	p.use(l.table, dx, func(dx tensor.Tensor, to tensor.Target) {
		p.e.EmbeddingBackward(to.Rows, dx, p.b.tokens(to.Segments.M()), to.Accumulate)
	})
}

// head is the language-model head with its loss:
//
//	z = x Wᵀ,   loss_i = log Σ exp(z_i) − z_i[label_i]
//
// its weight is the embedding's in a tied model. The logits exist for a chunk of
// tokens at a time.
type head struct {
	weight *parameter
	tied   bool
	loss   *tensor.LinearCrossEntropy
}

func (l *head) params() []*parameter {
	if l.tied {
		return nil
	}
	return []*parameter{l.weight}
}

// logits is z, (N, V).
func (l *head) logits(e *tensor.Engine, z, x tensor.Tensor) {
	e.MatMul(z, x, l.weight.t, tensor.NT, false)
}

// forward writes the losses.
func (l *head) forward(x tensor.Tensor, b *Batch, loss tensor.Tensor) {
	l.loss.Run(x, l.weight.t, b.labels, b.scale, loss, nil)
}

// backward writes the losses and dx, calls recorded unless it is nil, and takes
// the weight's gradient.
func (l *head) backward(p backPass, dx, x, loss tensor.Tensor, recorded func()) {
	p.use(l.weight, x, func(factor tensor.Tensor, to tensor.Target) {
		l.loss.Run(x, l.weight.t, p.b.labels, p.b.scale, loss, &tensor.HeadGradients{DX: dx, X: factor, DWeight: to})
		if recorded != nil {
			recorded()
		}
	})
}
