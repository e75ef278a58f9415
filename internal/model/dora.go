package model

import (
	"math"

	"concord/gpu"
	"concord/tensor"
)

// dora is a low-rank adapter whose rows have a trained length each (arXiv:2402.09353):
//
//	V = W + s B A,   y_j = m_j / ‖V_j‖ (x Wᵀ + s (x Aᵀ) Bᵀ)_j
//	dy'_j = m_j / ‖V_j‖ dy_j,   dm_j = Σ dy_j (x Vᵀ)_j / ‖V_j‖,   the rest as of dy'
//
// The norms count as constants (section 4.3), and are of the weights as the device has
// them. They are made once before a forward pass. x Vᵀ is computed again in the backward.
//
// With dropout, d = x ⊙ mask, PEFT leaves W's own term whole and so does this, f_j = m_j / ‖V_j‖:
//
//	y = x Wᵀ + f (d Vᵀ) − d Wᵀ,   dm_j = Σ dy_j (d Vᵀ)_j / ‖V_j‖,   dx = dy W + mask ⊙ ((f − 1) dy W + u A)
type dora struct {
	*lowRank
	weight, magnitude *parameter
	squares           tensor.Tensor // (1, out) ‖V_j‖²
	plainA, plainB    tensor.Tensor // A and B as float32, where they have another type
}

func (l *dora) params() []*parameter { return append([]*parameter{l.magnitude}, l.lowRank.params()...) }

func (l *dora) allocate(m *memory) {
	l.squares = m.new(gpu.RoleScratch, "norms of adapted rows", 1, l.b.R)
	l.plainA, l.plainB = decodedIn(m, l.a), decodedIn(m, l.b)
}

// decodedIn is memory for p's values as float32, if it has another type.
func decodedIn(m *memory, p *parameter) tensor.Tensor {
	if p.t.DType == tensor.F32 {
		return tensor.Tensor{}
	}
	return m.new(gpu.RoleScratch, "adapter as f32", p.R, p.C)
}

func (l *dora) prepare(e *tensor.Engine) {
	a, b := l.a.t, l.b.t
	if l.plainA.Buf != nil {
		a = l.plainA
		e.Convert(a, l.a.t)
	}
	if l.plainB.Buf != nil {
		b = l.plainB
		e.Convert(b, l.b.t)
	}
	e.RowSquares(l.squares, l.weight.t, a, b, float32(l.scale))
}

func (l *dora) forward(e *tensor.Engine, y, x tensor.Tensor) {
	if !l.space.drops() {
		l.lowRank.forward(e, y, x)
		e.ScaleColumns(y, l.magnitude.t, l.squares, 0)
		return
	}
	d, t := l.input(e, x), l.outputSpace(y)
	e.MatMul(t, d, l.weight.t, tensor.NT, false)
	e.ScaleColumns(t, l.magnitude.t, l.squares, 1)
	e.Add(y, y, t)
	e.MatMul(t, l.inner(e, d), l.b.t, tensor.NT, false)
	e.ScaleColumns(t, l.magnitude.t, l.squares, 0)
	e.Add(y, y, t)
}

// outputSpace is memory for a tensor like y, until the next adapter's forward or gradient.
func (l *dora) outputSpace(y tensor.Tensor) tensor.Tensor {
	return tensor.Tensor{Buf: l.space.y.Buf, R: y.R, C: y.C, LD: y.LD}
}

func (l *dora) gradient(p backPass, dy, x tensor.Tensor) tensor.Tensor {
	x, y := l.input(p.e, x), l.outputSpace(dy)
	if !l.magnitude.Frozen {
		p.e.MatMul(y, x, l.weight.t, tensor.NT, false)
		p.e.MatMul(y, l.inner(p.e, x), l.b.t, tensor.NT, true)
		p.e.ScaleColumns(y, dy, l.squares, 0)
		biasGradient(p, l.magnitude, y)
	}
	p.e.Dev.Copy(y.View(), dy.View())
	p.e.ScaleColumns(y, l.magnitude.t, l.squares, 0)
	l.factors(p, y, x)
	if !l.space.drops() {
		return y
	}
	p.e.Dev.Copy(y.View(), dy.View())
	p.e.ScaleColumns(y, l.magnitude.t, l.squares, 1)
	return dy
}

// backward finds (f − 1) dy where gradient has left it, in the space of outputs.
func (l *dora) backward(p backPass, dx tensor.Tensor) {
	if !l.space.drops() {
		l.lowRank.backward(p, dx)
		return
	}
	y := tensor.Tensor{Buf: l.space.y.Buf, R: dx.R, C: l.b.R, LD: tensor.F32.LD(l.b.R)}
	l.addInput(p.e, dx, func(to tensor.Tensor, _ bool) {
		p.e.MatMul(to, y, l.weight.t, tensor.NN, false)
		if l.last {
			p.e.MatMul(to, l.ranks(l.space.u, dx.R), l.a.t, tensor.NN, true)
		}
	})
}

func (l *dora) merge(w []float32, values map[string][]float32) {
	for r, m := range values[l.magnitude.Name] {
		row, sum := l.row(r, w[r*l.a.C:][:l.a.C], values), 0.0
		for _, v := range row {
			sum += v * v
		}
		for j, v := range row {
			if w[r*l.a.C+j] = 0; sum > 0 {
				w[r*l.a.C+j] = float32(float64(m) * v / math.Sqrt(sum))
			}
		}
	}
}

// initMagnitudes sets the lengths to those of the base model's rows.
func (n *network) initMagnitudes(e *tensor.Engine, w Weights) error {
	if n.adapters == nil {
		return nil
	}
	for _, a := range n.adapters.all {
		l, ok := a.(*dora)
		if !ok {
			continue
		}
		m := memory{e: e}
		lengths, none, zero := m.new(gpu.RoleScratch, "lengths", 1, l.b.R), m.new(gpu.RoleScratch, "no adapter", 1, l.a.C),
			m.new(gpu.RoleScratch, "no adapter", l.b.R, 1)
		e.RowSquares(lengths, w.Weight(l.weight.Name), none, zero, 0)
		v, err := e.Download(lengths)
		m.release()
		if err != nil {
			return err
		}
		for j := range v {
			v[j] = float32(math.Sqrt(float64(v[j])))
		}
		e.Upload(w.Weight(l.magnitude.Name), v)
	}
	return nil
}
