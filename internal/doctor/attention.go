package doctor

import (
	"errors"
	"fmt"

	"concord/internal/optest"
	"concord/internal/ref"
	"concord/tensor"
)

// ropeTests covers the rotation and its transpose, the backward.
func ropeTests() []Test {
	return []Test{{Kernel: "rope_apply", Run: func(e *tensor.Engine) error {
		return errors.Join(checkRoPE(e, 1, 1, 12, false), checkRoPE(e, 31, 3, 64, false), checkRoPE(e, 31, 3, 64, true))
	}}}
}

func checkRoPE(e *tensor.Engine, n, heads, d int, inverse bool) error {
	const maxPos = 64
	cos, sin := tensor.RoPETables(maxPos, d, 10000, tensor.RoPEScaling{})
	want, pos := optest.Random(n*heads*d, 1), make([]uint32, n)
	for i := range pos {
		pos[i] = uint32((i*11 + 5) % maxPos)
	}
	x, tp := matrix(e, n, heads*d, want), vectorU32(e, pos)
	tc, ts := matrix(e, maxPos, d/2, cos), matrix(e, maxPos, d/2, sin)
	defer release(x, tp, tc, ts)
	e.RoPE(x, heads, tp, tc, ts, inverse)
	ref.RoPE(want, heads, pos, cos, sin, d, inverse)
	return same(e, fmt.Sprintf("head dimension %d, inverse %v", d, inverse), x, want)
}

// attentionTests covers both variants, forward and backward, on packed
// documents, whichever of the two the adapter would choose.
func attentionTests() []Test {
	tests := []Test{{Kernel: "attention_delta", Run: func(e *tensor.Engine) error { return checkAttentionBackward(e, "", "delta") }}}
	for _, variant := range []string{"direct", "flash"} {
		tests = append(tests,
			Test{Kernel: "attention_forward_" + variant, Run: func(e *tensor.Engine) error { return checkAttention(e, variant) }},
			Test{Kernel: "attention_backward_query_" + variant, Run: func(e *tensor.Engine) error { return checkAttentionBackward(e, variant, "dq") }},
			Test{Kernel: "attention_backward_key_" + variant, Run: func(e *tensor.Engine) error { return checkAttentionBackward(e, variant, "dk", "dv") }},
		)
	}
	return tests
}

// attentionProblem is packed documents of 1, 33, 7 and 30 tokens with their
// answers from the CPU.
type attentionProblem struct {
	shape                    tensor.AttentionShape
	n, hd, kd                int
	start, end               []uint32
	q, k, v, dout            []float32
	out, lse                 []float32
	dq, dk, dv, delta        []float32
	tq, tk, tv, tdout        tensor.Tensor
	tout, tlse, tstart, tend tensor.Tensor
}

func newAttentionProblem(e *tensor.Engine, variant string) *attentionProblem {
	p := &attentionProblem{shape: tensor.AttentionShape{Heads: 4, KVHeads: 2, HeadDim: 64, Scale: 0.125, Variant: variant}}
	for _, n := range []int{1, 33, 7, 30} {
		for range n {
			p.start, p.end = append(p.start, uint32(p.n)), append(p.end, uint32(p.n+n))
		}
		p.n += n
	}
	p.hd, p.kd = p.shape.Heads*p.shape.HeadDim, p.shape.KVHeads*p.shape.HeadDim
	p.q, p.k, p.v, p.dout = optest.Random(p.n*p.hd, 1), optest.Random(p.n*p.kd, 2), optest.Random(p.n*p.kd, 3), optest.Random(p.n*p.hd, 4)
	for i := range p.q {
		p.q[i] *= 3 // weights well away from uniform
	}
	p.out, p.lse, p.delta = make([]float32, p.n*p.hd), make([]float32, p.shape.Heads*p.n), make([]float32, p.shape.Heads*p.n)
	p.dq, p.dk, p.dv = make([]float32, p.n*p.hd), make([]float32, p.n*p.kd), make([]float32, p.n*p.kd)
	s := ref.AttentionShape{Heads: p.shape.Heads, KVHeads: p.shape.KVHeads, HeadDim: p.shape.HeadDim, Scale: float64(p.shape.Scale)}
	ref.Attention(p.out, p.lse, p.q, p.k, p.v, p.start, s)
	ref.AttentionBackward(p.dq, p.dk, p.dv, p.dout, p.out, p.q, p.k, p.v, p.lse, p.delta, p.start, s)
	p.tq, p.tk, p.tv, p.tdout = matrix(e, p.n, p.hd, p.q), matrix(e, p.n, p.kd, p.k), matrix(e, p.n, p.kd, p.v), matrix(e, p.n, p.hd, p.dout)
	p.tout, p.tlse = matrix(e, p.n, p.hd, p.out), matrix(e, p.shape.Heads, p.n, p.lse)
	p.tstart, p.tend = vectorU32(e, p.start), vectorU32(e, p.end)
	return p
}

func (p *attentionProblem) release() {
	release(p.tq, p.tk, p.tv, p.tdout, p.tout, p.tlse, p.tstart, p.tend)
}

func checkAttention(e *tensor.Engine, variant string) error {
	p := newAttentionProblem(e, variant)
	defer p.release()
	// Poisoned outputs: what the kernel leaves unwritten shows.
	out, lse := matrix(e, p.n, p.hd, p.dout), matrix(e, p.shape.Heads, p.n, p.dout[:p.shape.Heads*p.n])
	defer release(out, lse)
	e.Attention(out, lse, p.tq, p.tk, p.tv, tensor.Docs{Start: p.tstart, End: p.tend}, p.shape)
	return errors.Join(same(e, "out", out, p.out), same(e, "lse", lse, p.lse))
}

// checkAttentionBackward compares the outputs called names, given the CPU's
// forward, so that a wrong forward kernel does not implicate these.
func checkAttentionBackward(e *tensor.Engine, variant string, names ...string) error {
	p := newAttentionProblem(e, variant)
	defer p.release()
	dq, dk, dv := matrix(e, p.n, p.hd, p.q), matrix(e, p.n, p.kd, p.k), matrix(e, p.n, p.kd, p.v)
	delta := matrix(e, p.shape.Heads, p.n, p.dout[:p.shape.Heads*p.n])
	defer release(dq, dk, dv, delta)
	e.AttentionBackward(dq, dk, dv, p.tdout, p.tout, p.tq, p.tk, p.tv, p.tlse, delta, tensor.Docs{Start: p.tstart, End: p.tend}, p.shape)
	got := map[string]tensor.Tensor{"dq": dq, "dk": dk, "dv": dv, "delta": delta}
	want := map[string][]float32{"dq": p.dq, "dk": p.dk, "dv": p.dv, "delta": p.delta}
	var errs []error
	for _, name := range names {
		errs = append(errs, same(e, name, got[name], want[name]))
	}
	return errors.Join(errs...)
}
