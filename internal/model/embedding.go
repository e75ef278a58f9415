package model

import (
	"math"

	"concord/tensor"
)

// embedding looks up the rows of its table:
//
//	x_i = f E[id_i] + P[pos_i],   dE_m = f Σ of dx_i over the tokens i of objective m, by id; dP likewise
type embedding struct {
	table     *parameter
	positions *parameter    // P, in some families
	factor    float32       // f; 0 = 1
	adapter   *lowRankTable // or nil
}

func (l embedding) params() []*parameter {
	var out []*parameter
	if l.positions != nil {
		out = append(out, l.positions)
	}
	if l.adapter != nil {
		out = append(out, l.adapter.params()...)
	}
	return append(out, l.table)
}

// forward needs factors, (1, N) of them, where there is a factor, and overwrites
// scratch, shaped as x.
func (l embedding) forward(e *tensor.Engine, x, ids, pos, factors, scratch tensor.Tensor) {
	e.Embedding(x, l.table.t, ids)
	if l.adapter != nil {
		l.adapter.forward(e, x, ids)
	}
	if l.factor != 0 {
		e.ScaleRowsInPlace(x, factors)
	}
	if l.positions != nil {
		e.Embedding(scratch, l.positions.t, pos)
		e.Add(x, x, scratch)
	}
}

// backward overwrites dx.
func (l embedding) backward(p backPass, dx, factors tensor.Tensor) {
	if l.positions != nil {
		p.use(l.positions, dx, func(dx tensor.Tensor, to tensor.Target) {
			p.e.EmbeddingBackward(to.Rows, dx, p.b.positions.of(to.Segments.M()), to.Accumulate)
		})
	}
	if l.factor != 0 {
		p.e.ScaleRowsInPlace(dx, factors)
	}
	if l.adapter != nil {
		l.adapter.backward(p, dx)
	}
	if p.late(l.table) {
		return
	}
	p.use(l.table, dx, func(dx tensor.Tensor, to tensor.Target) {
		p.e.EmbeddingBackward(to.Rows, dx, p.b.tokens.of(to.Segments.M()), to.Accumulate)
	})
}

// newFactors is l's factor for each of n tokens.
func (l embedding) newFactors(m *memory, n int) tensor.Tensor {
	if l.factor == 0 {
		return tensor.Tensor{}
	}
	return m.constants("embedding factors", n, l.factor)
}

// head is the language-model head with its loss:
//
//	z = x Wᵀ,   loss_i = log Σ exp(z_i) − z_i[label_i]
//
// with z capped in some families, c tanh(z/c) (arXiv:2408.00118). Its weight is the embedding's in a tied model. The
// logits exist for a chunk of
// tokens at a time.
type head struct {
	weight  *parameter
	adapter *lowRank // or nil
	tied    bool
	softCap float32 // c; 0 = none
	loss    *tensor.LinearCrossEntropy
}

func (l *head) params() []*parameter {
	if l.tied {
		return nil
	}
	if l.adapter != nil {
		return append([]*parameter{l.weight}, l.adapter.params()...)
	}
	return []*parameter{l.weight}
}

// low is the adapter's term of the logits of x, with the adapter's input.
func (l *head) low(e *tensor.Engine, x tensor.Tensor) (tensor.LowRank, tensor.Tensor) {
	x = l.adapter.input(e, x)
	return tensor.LowRank{H: l.adapter.inner(e, x), Rows: l.adapter.b.t}, x
}

// logits waits for z, (1, V), of one token's x; scratch is of its shape.
func (l *head) logits(e *tensor.Engine, scratch, x tensor.Tensor) ([]float32, error) {
	e.MatMul(scratch, x, l.weight.t, tensor.NT, false)
	if l.adapter != nil {
		l.adapter.forward(e, scratch, x)
	}
	z, err := e.Download(scratch)
	if c := float64(l.softCap); c > 0 {
		for i, v := range z {
			z[i] = float32(c * math.Tanh(float64(v)/c))
		}
	}
	return z, err
}

// allocate makes the scratch for n tokens.
func (l *head) allocate(e *tensor.Engine, n, chunk int) {
	l.loss = e.NewLinearCrossEntropy(n, l.weight.R, chunk)
	l.loss.SoftCap = l.softCap
}

// forward writes the losses.
func (l *head) forward(e *tensor.Engine, x tensor.Tensor, b *Batch, loss tensor.Tensor) {
	if l.adapter == nil {
		l.loss.Run(x, l.weight.t, b.labels, b.scale, loss, nil)
		return
	}
	low, _ := l.low(e, x)
	l.loss.RunLowRank(x, l.weight.t, low, b.labels, b.scale, loss, nil)
}

// backward writes the losses and dx, calls recorded unless it is nil, and takes
// the weight's gradient.
func (l *head) backward(p backPass, dx, x, loss tensor.Tensor, recorded func()) {
	if l.adapter != nil {
		l.backwardAdapted(p, dx, x, loss, recorded)
		return
	}
	run := func(g tensor.HeadGradients) {
		l.loss.Run(x, l.weight.t, p.b.labels, p.b.scale, loss, &g)
		if recorded != nil {
			recorded()
		}
	}
	if l.weight.Frozen || p.late(l.weight) {
		run(tensor.HeadGradients{DX: dx})
		return
	}
	p.use(l.weight, x, func(factor tensor.Tensor, to tensor.Target) {
		run(tensor.HeadGradients{DX: dx, X: factor, DWeight: to})
	})
}

// backwardAdapted is backward of a head whose weight stays and whose adapter is trained.
func (l *head) backwardAdapted(p backPass, dx, x, loss tensor.Tensor, recorded func()) {
	a := l.adapter
	low, in := l.low(p.e, x)
	u := a.ranks(a.space.u, x.R)
	run := func(factor tensor.Tensor, to tensor.Target) {
		l.loss.RunLowRank(x, l.weight.t, low, p.b.labels, p.b.scale, loss, &tensor.LowRankGradients{DX: dx, DH: u, X: factor, DRows: to})
		if recorded != nil {
			recorded()
		}
	}
	if a.b.Frozen {
		run(tensor.Tensor{}, tensor.Target{})
	} else {
		p.use(a.b, low.H, run)
	}
	a.scaled(p.e, u)
	a.gradientOfA(p, u, in)
	a.backward(p, dx)
}
