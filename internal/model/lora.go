package model

import (
	"concord/gpu"
	"concord/internal/peft"
	"concord/tensor"
)

// adapter changes the output of a linear map whose own weight and bias stay.
type adapter interface {
	params() []*parameter
	// prepare makes the tensors that the forward needs of the weights alone.
	prepare(e *tensor.Engine)
	// allocate makes the tensors that the adapter keeps from the forward to the backward.
	allocate(m *memory)
	// forward takes y from x Wᵀ to the adapted map's output before the bias.
	forward(e *tensor.Engine, y, x tensor.Tensor)
	// gradient takes the parameters' gradients, from that of the output, and returns the
	// gradient of x Wᵀ, which may lie in memory that the next adapter overwrites.
	gradient(p backPass, dy, x tensor.Tensor) tensor.Tensor
	// backward adds to dx, which holds that gradient times W, the term that the adapter adds to
	// it. It follows gradient.
	backward(p backPass, dx tensor.Tensor)
	// merge changes w, the map's weight, to that of a map that computes the same without
	// the adapter, whose parameters are values by name.
	merge(w []float32, values map[string][]float32)
	// low is its low-rank part.
	low() *lowRank
}

// lowRank is a low-rank adapter (arXiv:2106.09685):
//
//	y = x Wᵀ + s (x Aᵀ) Bᵀ,   A (r, in), B (out, r)
//	u = s dy B,   dB_m = s dy_mᵀ (x Aᵀ)_m,   dA_m = u_mᵀ x_m,   dx = dy W + u A
//
// x Aᵀ is computed again in the backward: r values a token are not worth keeping for
// every map. With dropout x is, in the adapter's term, x ⊙ mask.
//
// The parts of a fused tensor, maps of one x one after the other, share A. The u of all
// are summed, and the last takes A's gradient and adds u A.
type lowRank struct {
	a, b        *parameter
	flipped     bool // A lies as (in, r)
	first, last bool // of the maps that share A
	scale       float64
	masked      string    // A's tensor in files, by which masks are drawn
	key         [2]uint32 // of the masks
	space       *adapterSpace
}

func (*lowRank) prepare(*tensor.Engine) {}

func (*lowRank) allocate(*memory) {}

func (l *lowRank) low() *lowRank { return l }

func (l *lowRank) params() []*parameter {
	if l.last {
		return []*parameter{l.b, l.a}
	}
	return []*parameter{l.b}
}

func (l *lowRank) forward(e *tensor.Engine, y, x tensor.Tensor) {
	e.MatMul(y, l.inner(e, l.input(e, x)), l.b.t, tensor.NT, true)
}

// inner is s x Aᵀ.
func (l *lowRank) inner(e *tensor.Engine, x tensor.Tensor) tensor.Tensor {
	h := l.ranks(l.space.h, x.R)
	e.MatMul(h, x, l.a.t, l.transposedIf(!l.flipped), false)
	l.scaled(e, h)
	return h
}

// transposedIf is the product with A, or with its transpose.
func (l *lowRank) transposedIf(transposed bool) tensor.Trans {
	if transposed {
		return tensor.NT
	}
	return tensor.NN
}

// rank and inputs are A's sides.
func (l *lowRank) rank() int { return l.b.C }

func (l *lowRank) inputs() int { return l.a.Size() / l.b.C }

func (l *lowRank) gradient(p backPass, dy, x tensor.Tensor) tensor.Tensor {
	l.factors(p, dy, l.input(p.e, x))
	return dy
}

// factors takes the gradients of A and B from an input of the adapter.
func (l *lowRank) factors(p backPass, dy, x tensor.Tensor) {
	p.linear(l.b, dy, l.inner(p.e, x))
	u := l.ranks(l.space.u, x.R)
	p.e.MatMul(u, dy, l.b.t, tensor.NN, !l.first)
	if l.last {
		l.scaled(p.e, u)
		l.gradientOfA(p, u, x)
	}
}

func (l *lowRank) gradientOfA(p backPass, u, x tensor.Tensor) {
	if l.flipped {
		u, x = x, u
	}
	p.linear(l.a, u, x)
}

func (l *lowRank) backward(p backPass, dx tensor.Tensor) {
	if !l.last {
		return
	}
	l.addInput(p.e, dx, func(to tensor.Tensor, accumulate bool) {
		p.e.MatMul(to, l.ranks(l.space.u, dx.R), l.a.t, l.transposedIf(l.flipped), accumulate)
	})
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
		f := l.scale * float64(b[r*l.b.C+k])
		for j, v := range a[k*l.a.C:][:l.a.C] {
			out[j] += f * float64(v)
		}
	}
	return out
}

// ranks is t's first n rows, of as many columns as the adapter has ranks.
func (l *lowRank) ranks(t tensor.Tensor, n int) tensor.Tensor {
	return tensor.Tensor{Buf: t.Buf, R: n, C: l.rank(), LD: tensor.F32.LD(l.rank())}
}

// scaled multiplies x by s.
func (l *lowRank) scaled(e *tensor.Engine, x tensor.Tensor) { l.space.scaled(e, x, l.scale) }

func (s *adapterSpace) scaled(e *tensor.Engine, x tensor.Tensor, scale float64) {
	if scale != 1 {
		e.ScaleRowsInPlace(x, columns(s.factors[float32(scale)], x.R))
	}
}

// adapterSpace is the memory that a model's adapters share.
type adapterSpace struct {
	config  *peft.Config
	of      map[string]adapter        // by the name of the weight
	all     []adapter                 // the same, in the order of declaration
	table   *lowRankTable             // of the embedding, or nil
	h, u    tensor.Tensor             // (N, r): s x Aᵀ and s dy B
	y       tensor.Tensor             // (N, out) of DoRA's backward
	factors map[float32]tensor.Tensor // (1, N) of each s that is not 1
	dropout dropout
}

// allocate makes it for n tokens, and at least those of a decoder. seed is that of the
// dropout.
func (s *adapterSpace) allocate(m *memory, n int, backward bool, seed uint64) {
	if s == nil {
		return
	}
	rank, width, in, tokens := 0, 0, 0, n
	n = max(n, prefillTokens)
	s.factors = map[float32]tensor.Tensor{}
	for _, a := range s.all {
		a.allocate(m)
		l := a.low()
		rank, width, in = max(rank, l.rank()), max(width, l.b.R), max(in, l.inputs())
		l.key = dropoutKey(seed, l.masked)
		s.factor(m, n, l.scale)
	}
	if t := s.table; t != nil {
		rank = max(rank, t.rows.C)
		s.factor(m, n, t.scale)
	}
	s.h, s.u = m.new(gpu.RoleScratch, "adapters", n, rank), m.new(gpu.RoleScratch, "adapters' gradient", n, rank)
	if s.config.DoRA && backward {
		s.y = m.new(gpu.RoleScratch, "adapters' outputs", tokens, width)
	}
	if s.config.Dropout > 0 && backward {
		s.dropout.x = m.new(gpu.RoleScratch, "adapters' inputs", tokens, in)
	}
}

// factor makes n times a scale.
func (s *adapterSpace) factor(m *memory, n int, scale float64) {
	if f := float32(scale); f != 1 && s.factors[f].Buf == nil {
		s.factors[f] = m.constants("adapters' scale", n, f)
	}
}

// prepare is called before every forward pass, and before a decoder's first.
func (s *adapterSpace) prepare(e *tensor.Engine) {
	if s == nil {
		return
	}
	for _, a := range s.all {
		a.prepare(e)
	}
}
