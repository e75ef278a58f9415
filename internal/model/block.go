package model

import (
	"slices"

	"concord/gpu"
	"concord/tensor"
)

// block is a decoder layer:
//
//	mid = x + post(attention(norm(x)));   out = mid + post(mlp(norm(mid)))
//
// post is a norm in some families only. The normalised inputs and the gated
// product are cheap and are computed again in the backward.
type block struct {
	attentionNorm, mlpNorm norm
	attentionPost, mlpPost norm // or nil
	attention              attention
	mlp                    mlp
}

func (l *block) params() []*parameter {
	out := slices.Concat(l.mlp.params(), l.mlpNorm.params())
	if l.mlpPost != nil {
		out = slices.Concat(l.mlpPost.params(), out, l.attentionPost.params())
	}
	return slices.Concat(out, l.attention.params(), l.attentionNorm.params())
}

// activations are the tensors that a block's forward leaves for its backward. N is the tokens.
type activations struct {
	q, k, v        tensor.Tensor // (N, H·D), (N, KV·D): q and k rotated
	rawQ, rawK     tensor.Tensor // before their norms
	qStats, kStats stats         // (1, N·H), (1, N·KV)
	att            tensor.Tensor // (N, H·D) attention's output
	lse            tensor.Tensor // (H, N)
	mid            tensor.Tensor // (N, C) residual stream after attention
	gate, up       tensor.Tensor // (N, F), gate not in plain MLPs; the backward overwrites up with its gradient
	out, down      tensor.Tensor // (N, C) of attention and MLP, before their norms
}

func newActivations(m *memory, c Config, n int) *activations {
	t := func(label string, rows, cols int) tensor.Tensor { return m.new(gpu.RoleActivations, label, rows, cols) }
	hd, kvd := c.Heads*c.HeadDim, c.KVHeads*c.HeadDim
	a := &activations{
		q: t("q", n, hd), k: t("k", n, kvd), v: t("v", n, kvd),
		att: t("attention", n, hd), lse: t("lse", c.Heads, n), mid: t("mid", n, c.Hidden),
		up: t("up", n, c.FFN),
	}
	if !c.family().plain {
		a.gate = t("gate", n, c.FFN)
	}
	if c.family().qkNorm {
		a.rawQ, a.rawK = t("q before its norm", n, hd), t("k before its norm", n, kvd)
		a.qStats, a.kStats = newStats(m, gpu.RoleActivations, c, n*c.Heads), newStats(m, gpu.RoleActivations, c, n*c.KVHeads)
	}
	if c.family().postNorms {
		a.out, a.down = t("attention's output", n, c.Hidden), t("MLP's output", n, c.Hidden)
	}
	return a
}

// ActivationBytes is the memory that the residual streams and the layers' activations of one token
// take, with and without checkpointing.
func (c Config) ActivationBytes(checkpointing bool) int64 {
	layer := c.Heads*(2*c.HeadDim+1) + 2*c.KVHeads*c.HeadDim + c.Hidden + c.FFN
	if !c.family().plain {
		layer += c.FFN
	}
	if c.family().qkNorm {
		layer += (c.Heads + c.KVHeads) * (c.HeadDim + 1)
	}
	if c.family().postNorms {
		layer += 2 * c.Hidden
	}
	sets := c.Layers
	if checkpointing {
		sets = 1
	}
	return tensor.F32.Bytes(int64(sets*layer + (c.Layers+1)*c.Hidden))
}

// first is the activations of the first n tokens.
func (a *activations) first(n int, c Config) *activations {
	lse := a.lse
	lse.C = n
	out := &activations{q: rows(a.q, n), k: rows(a.k, n), v: rows(a.v, n), att: rows(a.att, n), lse: lse,
		mid: rows(a.mid, n), gate: rows(a.gate, n), up: rows(a.up, n)}
	if a.rawQ.Buf != nil {
		out.rawQ, out.rawK = rows(a.rawQ, n), rows(a.rawK, n)
		out.qStats, out.kStats = a.qStats.first(n*c.Heads), a.kStats.first(n*c.KVHeads)
	}
	if a.out.Buf != nil {
		out.out, out.down = rows(a.out, n), rows(a.down, n)
	}
	return out
}

// scratch is shared by all blocks.
type scratch struct {
	norm  tensor.Tensor // (N, C) normalised input, or the term that is added to the residual stream
	stats stats         // (1, N) of the last norm
	act   tensor.Tensor // (N, F) the MLP's hidden values, in the backward then their gradient and gate's
}

func newScratch(m *memory, c Config, n int) *scratch {
	return &scratch{
		norm:  m.new(gpu.RoleScratch, "norm", n, c.Hidden),
		stats: newStats(m, gpu.RoleScratch, c, n),
		act:   m.new(gpu.RoleScratch, "mlp", n, c.FFN),
	}
}

func (s *scratch) first(n int) *scratch {
	return &scratch{norm: rows(s.norm, n), stats: s.stats.first(n), act: rows(s.act, n)}
}

// backScratch is the backward pass's memory, shared by all blocks.
type backScratch struct {
	dx       tensor.Tensor // (N, C) gradient of the residual stream
	dnorm    tensor.Tensor // (N, C) gradient of a normalised input
	dq, datt tensor.Tensor // (N, H·D)
	dk, dv   tensor.Tensor // (N, KV·D)
	dkRaw    tensor.Tensor // (N, KV·D) of the keys before their norm
	delta    tensor.Tensor // (H, N)
	dpost    tensor.Tensor // (N, C) gradient before a norm after a layer
	up       tensor.Tensor // (N, F) a copy that is overwritten in place of the forward's, see Dims.Again
}

func newBackScratch(m *memory, c Config, n int, again bool) *backScratch {
	t := func(label string, cols int) tensor.Tensor { return m.new(gpu.RoleScratch, label, n, cols) }
	hd, kvd := c.Heads*c.HeadDim, c.KVHeads*c.HeadDim
	s := &backScratch{
		dx: t("dx", c.Hidden), dnorm: t("dnorm", c.Hidden),
		dq: t("dq", hd), datt: t("dattention", hd), dk: t("dk", kvd), dv: t("dv", kvd),
		delta: m.new(gpu.RoleScratch, "delta", c.Heads, n),
	}
	if c.family().qkNorm {
		s.dkRaw = t("dk before its norm", kvd)
	}
	if c.family().postNorms {
		s.dpost = t("dpost", c.Hidden)
	}
	if again {
		s.up = t("dup", c.FFN)
	}
	return s
}

// rows is the first n rows of t, columns the first n values of a vector.
func rows(t tensor.Tensor, n int) tensor.Tensor {
	t.R = n
	return t
}

func columns(t tensor.Tensor, n int) tensor.Tensor {
	t.C = n
	t.LD = (n + 3) &^ 3
	return t
}

// forward takes the residual stream from x to out. attend is attention's forward
// or decode, from the normalised x.
func (l *block) forward(e *tensor.Engine, out, x tensor.Tensor, a *activations, s *scratch, attend func(y, x tensor.Tensor)) {
	l.forwardAttention(e, x, a, s, attend)
	if l.mlpPost == nil {
		l.mlp.forward(e, s.norm, s.norm, a, s)
	} else {
		l.mlp.forward(e, a.down, s.norm, a, s)
		l.mlpPost.forward(e, s.norm, a.down, s.stats)
	}
	e.Add(out, a.mid, s.norm)
}

// forwardAttention takes the residual stream from x to a.mid, and that normalised to
// s.norm.
func (l *block) forwardAttention(e *tensor.Engine, x tensor.Tensor, a *activations, s *scratch, attend func(y, x tensor.Tensor)) {
	l.attentionNorm.forward(e, s.norm, x, s.stats)
	if l.attentionPost == nil {
		attend(s.norm, s.norm)
	} else {
		attend(a.out, s.norm)
		l.attentionPost.forward(e, s.norm, a.out, s.stats)
	}
	e.Add(a.mid, x, s.norm)
	l.mlpNorm.forward(e, s.norm, a.mid, s.stats)
}

// recompute is forward again, for a alone: operations that only make the block's output are left out.
func (l *block) recompute(e *tensor.Engine, x tensor.Tensor, a *activations, s *scratch, attend func(y, x tensor.Tensor)) {
	l.forwardAttention(e, x, a, s, attend)
	if l.mlpPost == nil {
		l.mlp.project(e, s.norm, a)
	} else {
		l.mlp.forward(e, a.down, s.norm, a, s)
	}
}

// postBackward is the gradient of y, that of whose norm is b.dx: b.dx itself
// where no norm follows.
func postBackward(p backPass, post norm, y tensor.Tensor, s *scratch, b *backScratch) tensor.Tensor {
	if post == nil {
		return b.dx
	}
	post.forward(p.e, s.norm, y, s.stats)
	post.backward(p, b.dpost, b.dx, y, s.stats, false)
	return b.dpost
}

// backward takes b.dx from the block's output to its input x.
func (l *block) backward(p backPass, x tensor.Tensor, ropes []ropeTables, a *activations, s *scratch, b *backScratch) {
	dy := postBackward(p, l.mlpPost, a.down, s, b)
	l.mlpNorm.forward(p.e, s.norm, a.mid, s.stats)
	l.mlp.backward(p, b.dnorm, dy, s.norm, a, s)
	l.mlpNorm.backward(p, b.dx, b.dnorm, a.mid, s.stats, true)

	dy = postBackward(p, l.attentionPost, a.out, s, b)
	l.attention.backwardHeads(p, dy, ropes, a, b)
	l.attentionNorm.forward(p.e, s.norm, x, s.stats)
	l.attention.backwardProjections(p, b.dnorm, s.norm, b)
	l.attentionNorm.backward(p, b.dx, b.dnorm, x, s.stats, true)
}
