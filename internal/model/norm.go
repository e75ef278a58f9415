package model

import (
	"concord/gpu"
	"concord/tensor"
)

// stats are the values that a norm's forward leaves for its backward, a value a row.
type stats struct{ rstd, mean tensor.Tensor }

// newStats makes them for rows of a batch of n tokens; rmsNorm needs no mean.
func newStats(m *memory, role gpu.Role, c Config, n int) stats {
	s := stats{rstd: m.new(role, "rstd", 1, n)}
	if c.family().layerNorm {
		s.mean = m.new(role, "mean", 1, n)
	}
	return s
}

func (s stats) first(n int) stats { return stats{rstd: columns(s.rstd, n), mean: columns(s.mean, n)} }

// norm is a normalisation of rows. forward writes y and s; backward takes the
// parameters' gradients and writes dx, or adds to it, from x and the s of a
// forward of the same x.
type norm interface {
	params() []*parameter
	forward(e *tensor.Engine, y, x tensor.Tensor, s stats)
	backward(p backPass, dx, dy, x tensor.Tensor, s stats, accumulate bool)
}

// rmsNorm is root mean square normalisation (arXiv:1910.07467):
//
//	y = w x r,   r = 1/√(mean(x²) + eps)
//	dx = r (w dy − x r² mean(w dy x)),   dw_m = Σ dy_m x_m r_m
//
// In some families the parameter is w − 1.
//
// A token's row may be several rows of w's width, each normalised by itself, as
// the heads of queries and keys are.
type rmsNorm struct {
	weight *parameter
	eps    float32
	offset float32 // w less the parameter
	heads  int     // rows of w's width in a token's row
}

func (n *rmsNorm) params() []*parameter { return []*parameter{n.weight} }

func (n *rmsNorm) forward(e *tensor.Engine, y, x tensor.Tensor, s stats) {
	e.RMSNorm(n.split(y), s.rstd, n.split(x), n.weight.t, n.eps, n.offset)
}

func (n *rmsNorm) backward(p backPass, dx, dy, x tensor.Tensor, s stats, accumulate bool) {
	p.use(n.weight, dy, func(dy tensor.Tensor, to tensor.Target) {
		p.e.RMSNormBackwardWeight(to.Rows, n.split(dy), n.split(x), s.rstd, p.b.rows(to.Segments, n.heads), to.Accumulate)
	})
	p.e.RMSNormBackward(n.split(dx), n.split(dy), n.split(x), n.weight.t, s.rstd, n.offset, accumulate)
}

// layerNorm normalises to mean 0 and variance 1 (arXiv:1607.06450):
//
//	y = w h + b,   h = (x − mean(x)) r,   r = 1/√(var(x) + eps)
//	dx = r (w dy − mean(w dy) − h mean(w dy h)),   dw_m = Σ dy_m h_m,   db_m = Σ dy_m
type layerNorm struct {
	weight, bias *parameter
	eps          float32
}

func (n *layerNorm) params() []*parameter { return []*parameter{n.weight, n.bias} }

func (n *layerNorm) forward(e *tensor.Engine, y, x tensor.Tensor, s stats) {
	e.LayerNorm(y, s.mean, s.rstd, x, n.weight.t, n.bias.t, n.eps)
}

func (n *layerNorm) backward(p backPass, dx, dy, x tensor.Tensor, s stats, accumulate bool) {
	p.use(n.weight, dy, func(dy tensor.Tensor, to tensor.Target) {
		p.e.LayerNormBackwardWeight(to.Rows, dy, x, s.mean, s.rstd, to.Segments, to.Accumulate)
	})
	biasGradient(p, n.bias, dy)
	p.e.LayerNormBackward(dx, dy, x, n.weight.t, s.mean, s.rstd, accumulate)
}

// split is x (N, heads·D) as (N·heads, D).
func (n *rmsNorm) split(x tensor.Tensor) tensor.Tensor {
	if n.heads > 1 { // D is a multiple of 4, so that rows have no padding
		x.R, x.C = x.R*n.heads, x.C/n.heads
		x.LD = x.C
	}
	return x
}
