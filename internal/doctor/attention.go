package doctor

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"concord/gpu"
	"concord/internal/optest"
	"concord/internal/ref"
	"concord/tensor"
)

// attentionCase is packed documents. Of the last tokens only, unless that is 0,
// there are queries in the forward and gradients other than zero in the
// backward: long documents are then cheap for the CPU.
type attentionCase struct {
	heads, kv, dim int
	docs           []int
	last           int
	softCap        float32
	bounded        bool // the kernels are told the longest document
}

// attentionShapes are the head dimensions and groups of common models, other
// than multiples of a tile.
var attentionShapes = []attentionCase{
	{heads: 4, kv: 2, dim: 64, docs: []int{1, 33, 7, 30}},
	{heads: 3, kv: 1, dim: 80, docs: []int{40, 9}, bounded: true, softCap: 2},
	{heads: 2, kv: 2, dim: 32, docs: []int{5, 34}, bounded: true},
	{heads: 6, kv: 2, dim: 128, docs: []int{3, 33}},
}

// shapesFor leaves head dimensions out where a variant is compiled for seconds
// each and not used unless a test asks for it: flash on a rasterizer.
func shapesFor(e *Probe, variant string) []attentionCase {
	if variant == "flash" && e.Dev.Info().Type == gpu.CPU {
		return attentionShapes[:2]
	}
	return attentionShapes
}

// The rest takes several dispatches, as one may not cover so many keys
// (or heads that share them), and later ones go on where earlier ones stopped.
var (
	longKeys  = attentionCase{heads: 1, kv: 1, dim: 64, docs: []int{8200}, last: 5}
	manyHeads = attentionCase{heads: 32, kv: 1, dim: 64, docs: []int{210}, last: 40}
	decode    = attentionCase{heads: 3, kv: 1, dim: 80, docs: []int{70}, last: 1}
)

// attentionTests covers both variants, forward and backward, not only the
// one that the adapter would choose.
func attentionTests() []Test {
	tests := []Test{{Kernel: "attention_delta", Run: backwardTest("", nil, "delta")}}
	for _, variant := range []string{"direct", "flash"} {
		tests = append(tests,
			Test{Kernel: "attention_forward_" + variant, Run: func(e *Probe) error {
				return eachCase(append(slices.Clone(shapesFor(e, variant)), decode, longKeys),
					func(c attentionCase) error { return checkAttention(e, variant, c) })
			}},
			Test{Kernel: "attention_backward_query_" + variant, Run: func(e *Probe) error {
				if e.Dev.Info().Type == gpu.CPU { // longKeys takes seconds
					return backwardTest(variant, nil, "dq")(e)
				}
				return backwardTest(variant, []attentionCase{longKeys}, "dq")(e)
			}},
			Test{Kernel: "attention_backward_key_" + variant, Run: backwardTest(variant, []attentionCase{manyHeads}, "dk", "dv")},
		)
	}
	return tests
}

// backwardTest compares the outputs called names in the usual shapes and in more.
func backwardTest(variant string, more []attentionCase, names ...string) func(*Probe) error {
	return func(e *Probe) error {
		cases := append(slices.Clone(shapesFor(e, variant)), more...)
		return eachCase(cases, func(c attentionCase) error { return checkAttentionBackward(e, variant, c, names...) })
	}
}

func eachCase(cases []attentionCase, check func(attentionCase) error) error {
	var errs []error
	for _, c := range cases {
		if err := check(c); err != nil {
			errs = append(errs, fmt.Errorf("%d heads of %d on %d, documents %v: %w", c.heads, c.dim, c.kv, c.docs, err))
		}
	}
	return errors.Join(errs...)
}

// attentionProblem is a case on the host with its answers from the CPU. first is
// the first token with a query.
type attentionProblem struct {
	shape             tensor.AttentionShape
	n, first, hd, kd  int
	longest           int
	start, end        []uint32
	q, k, v, dout     []float32
	out, lse          []float32
	dq, dk, dv, delta []float32
}

func newAttentionProblem(variant string, c attentionCase) *attentionProblem {
	p := &attentionProblem{shape: tensor.AttentionShape{Heads: c.heads, KVHeads: c.kv, HeadDim: c.dim,
		Scale: float32(1 / math.Sqrt(float64(c.dim))), Variant: variant, SoftCap: c.softCap}}
	for _, n := range c.docs {
		for range n {
			p.start, p.end = append(p.start, uint32(p.n)), append(p.end, uint32(p.n+n))
		}
		p.n += n
	}
	if c.bounded {
		p.longest = slices.Max(c.docs)
	}
	if c.last > 0 {
		p.first = p.n - c.last
	}
	p.hd, p.kd = c.heads*c.dim, c.kv*c.dim
	p.q, p.k, p.v, p.dout = optest.Random(p.n*p.hd, 1), optest.Random(p.n*p.kd, 2), optest.Random(p.n*p.kd, 3), optest.Random(p.n*p.hd, 4)
	for i := range p.q {
		p.q[i] *= 3 // weights well away from uniform
	}
	clear(p.dout[:p.first*p.hd])
	p.solve()
	return p
}

// solve computes the answers. Of the tokens before the first with a query, the
// log-sum-exps stay 0: at any value their gradient is zero.
func (p *attentionProblem) solve() {
	s, n := p.shape, p.n-p.first
	r := ref.AttentionShape{Heads: s.Heads, KVHeads: s.KVHeads, HeadDim: s.HeadDim, Scale: float64(s.Scale),
		SoftCap: float64(s.SoftCap), QueryOffset: p.first}
	p.out, p.dq = make([]float32, p.n*p.hd), make([]float32, p.n*p.hd)
	p.dk, p.dv = make([]float32, p.n*p.kd), make([]float32, p.n*p.kd)
	lse, delta, start, at := make([]float32, s.Heads*n), make([]float32, s.Heads*n), p.start[p.first:], p.first*p.hd
	ref.Attention(p.out[at:], lse, p.q[at:], p.k, p.v, start, r)
	ref.AttentionBackward(p.dq[at:], p.dk, p.dv, p.dout[at:], p.out[at:], p.q[at:], p.k, p.v, lse, delta, start, r)
	p.lse, p.delta = make([]float32, s.Heads*p.n), make([]float32, s.Heads*p.n)
	for h := range s.Heads {
		copy(p.lse[h*p.n+p.first:], lse[h*n:(h+1)*n])
		copy(p.delta[h*p.n+p.first:], delta[h*n:(h+1)*n])
	}
}

func checkAttention(e *Probe, variant string, c attentionCase) error {
	p := newAttentionProblem(variant, c)
	n, heads, at := p.n-p.first, c.heads, p.first*p.hd
	q, k, v := matrix(e, n, p.hd, p.q[at:]), matrix(e, p.n, p.kd, p.k), matrix(e, p.n, p.kd, p.v)
	start, end := vectorU32(e, p.start[p.first:]), vectorU32(e, p.end[p.first:])
	// Poisoned outputs: values that the kernel leaves unwritten show.
	out, lse := matrix(e, n, p.hd, p.q[at:]), matrix(e, heads, n, optest.Random(heads*n, 5))
	defer release(q, k, v, start, end, out, lse)
	s := p.shape
	s.QueryOffset = p.first
	e.Attention(out, lse, q, k, v, tensor.Docs{Start: start, End: end, Longest: p.longest}, s)
	var want []float32
	for h := range heads {
		want = append(want, p.lse[h*p.n+p.first:(h+1)*p.n]...)
	}
	return errors.Join(same(e, "out", out, p.out[at:]), same(e, "lse", lse, want))
}

// checkAttentionBackward compares the outputs called names, given the CPU's
// forward, so that a wrong forward kernel does not implicate these.
func checkAttentionBackward(e *Probe, variant string, c attentionCase, names ...string) error {
	p := newAttentionProblem(variant, c)
	q, k, v, dout := matrix(e, p.n, p.hd, p.q), matrix(e, p.n, p.kd, p.k), matrix(e, p.n, p.kd, p.v), matrix(e, p.n, p.hd, p.dout)
	out, lse, start, end := matrix(e, p.n, p.hd, p.out), matrix(e, c.heads, p.n, p.lse), vectorU32(e, p.start), vectorU32(e, p.end)
	defer release(q, k, v, dout, out, lse, start, end)
	dq, dk, dv := matrix(e, p.n, p.hd, p.q), matrix(e, p.n, p.kd, p.k), matrix(e, p.n, p.kd, p.v)
	delta := matrix(e, c.heads, p.n, optest.Random(c.heads*p.n, 5))
	defer release(dq, dk, dv, delta)
	e.AttentionBackward(dq, dk, dv, dout, out, q, k, v, lse, delta, tensor.Docs{Start: start, End: end, Longest: p.longest}, p.shape)
	got := map[string]tensor.Tensor{"dq": dq, "dk": dk, "dv": dv, "delta": delta}
	want := map[string][]float32{"dq": p.dq, "dk": p.dk, "dv": p.dv, "delta": p.delta}
	var errs []error
	for _, name := range names {
		errs = append(errs, same(e, name, got[name], want[name]))
	}
	return errors.Join(errs...)
}
