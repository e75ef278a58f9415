package model

import (
	"concord/gpu"
	"concord/internal/peft"
	"concord/tensor"
)

// adapter changes what a linear map computes, whose own weight and bias stay.
type adapter interface {
	params() []*parameter
	// forward takes y from x Wᵀ to the adapted map's output before the bias.
	forward(e *tensor.Engine, y, x tensor.Tensor)
	// gradient takes the parameters' gradients, from that of the output, and returns the
	// gradient of x Wᵀ, which may lie in memory that the next adapter overwrites.
	gradient(p backPass, dy, x tensor.Tensor) tensor.Tensor
	// backward adds to dx, which holds that gradient times W, what the adapter adds to
	// it. It follows gradient.
	backward(p backPass, dx tensor.Tensor)
	// merge changes w, the map's weight, to that of a map that computes the same without
	// the adapter, whose parameters are values by name.
	merge(w []float32, values map[string][]float32)
}

// lowRank is a low-rank adapter (arXiv:2106.09685):
//
//	y = x Wᵀ + s (x Aᵀ) Bᵀ,   A (r, in), B (out, r)
//	u = s dy B,   dB_m = s dy_mᵀ (x Aᵀ)_m,   dA_m = u_mᵀ x_m,   dx = dy W + u A
//
// x Aᵀ is computed again in the backward: r values a token are not worth keeping for
// every map.
//
// The parts of a fused tensor, maps of one x one after the other, share A. The u of all
// are summed, and the last takes A's gradient and adds u A.
type lowRank struct {
	a, b        *parameter
	first, last bool // of the maps that share A
	space       *adapterSpace
}

func (l *lowRank) params() []*parameter {
	if l.last {
		return []*parameter{l.b, l.a}
	}
	return []*parameter{l.b}
}

func (l *lowRank) forward(e *tensor.Engine, y, x tensor.Tensor) {
	e.MatMul(y, l.inner(e, x), l.b.t, tensor.NT, true)
}

// inner is s x Aᵀ.
func (l *lowRank) inner(e *tensor.Engine, x tensor.Tensor) tensor.Tensor {
	h := rows(l.space.h, x.R)
	e.MatMul(h, x, l.a.t, tensor.NT, false)
	l.space.scale(e, h)
	return h
}

func (l *lowRank) gradient(p backPass, dy, x tensor.Tensor) tensor.Tensor {
	p.linear(l.b, dy, l.inner(p.e, x))
	u := rows(l.space.u, x.R)
	p.e.MatMul(u, dy, l.b.t, tensor.NN, !l.first)
	if l.last {
		l.space.scale(p.e, u)
		p.linear(l.a, u, x)
	}
	return dy
}

func (l *lowRank) backward(p backPass, dx tensor.Tensor) {
	if !l.last {
		return
	}
	p.e.MatMul(dx, rows(l.space.u, dx.R), l.a.t, tensor.NN, true)
}

func (l *lowRank) merge(w []float32, values map[string][]float32) {
	for r := range l.b.R {
		for j, v := range l.row(r, w[r*l.a.C:][:l.a.C], values) {
			w[r*l.a.C+j] = float32(v)
		}
	}
}

// row is row r of W + s B A, for that of W.
func (l *lowRank) row(r int, w []float32, values map[string][]float32) []float64 {
	a, b, out := values[l.a.Name], values[l.b.Name], make([]float64, len(w))
	for j, v := range w {
		out[j] = float64(v)
	}
	for k := range l.a.R {
		f := l.space.config.Scale() * float64(b[r*l.b.C+k])
		for j, v := range a[k*l.a.C:][:l.a.C] {
			out[j] += f * float64(v)
		}
	}
	return out
}

// adapterSpace is the memory that a model's adapters share.
type adapterSpace struct {
	config  *peft.Config
	of      map[string]adapter // by the name of the weight
	h, u    tensor.Tensor      // (N, r): s x Aᵀ and s dy B
	factors tensor.Tensor      // (1, N) of s; none where it is 1
}

// allocate makes it for n tokens, and at least those of a decoder.
func (s *adapterSpace) allocate(m *memory, n int) {
	if s == nil {
		return
	}
	n = max(n, prefillTokens)
	s.h, s.u = m.new(gpu.RoleScratch, "adapters", n, s.config.Rank), m.new(gpu.RoleScratch, "adapters' gradient", n, s.config.Rank)
	if scale := float32(s.config.Scale()); scale != 1 {
		s.factors = m.constants("adapters' scale", n, scale)
	}
}

// scale multiplies x by s.
func (s *adapterSpace) scale(e *tensor.Engine, x tensor.Tensor) {
	if s.factors.Buf != nil {
		e.ScaleRowsInPlace(x, columns(s.factors, x.R))
	}
}
