package tensor

import (
	"fmt"
	"math"
	"testing"

	"concord/gpu"
	"concord/internal/optest"
	"concord/internal/ref"
)

const attentionTol = 1e-10 // NMSE; float32 sums of at most a few hundred terms

// packed returns Start and End of consecutive documents of the given lengths.
func packed(lengths ...int) (start, end []uint32) {
	at := 0
	for _, n := range lengths {
		for range n {
			start, end = append(start, uint32(at)), append(end, uint32(at+n))
		}
		at += n
	}
	return start, end
}

func uploadDocs(e *Engine, data []uint32) Tensor {
	x := e.New(gpu.RoleData, "indices", 1, len(data))
	e.UploadU32(x, data)
	return x
}

// attentionCase is one problem, its inputs on CPU and device, and the CPU's answers.
type attentionCase struct {
	s                           AttentionShape
	start, end                  []uint32
	q, k, v, dout               []float32
	out, lse, dq, dk, dv, delta []float32
	gq, gk, gv, gdout           Tensor
	docs                        Docs
}

func newAttentionCase(e *Engine, s AttentionShape, lengths ...int) *attentionCase {
	start, end := packed(lengths...)
	n, hd, kd := len(start), s.Heads*s.HeadDim, s.KVHeads*s.HeadDim
	s.Scale = float32(1 / math.Sqrt(float64(s.HeadDim)))
	c := &attentionCase{s: s, start: start, end: end,
		q: optest.Random(n*hd, 1), k: optest.Random(n*kd, 2), v: optest.Random(n*kd, 3), dout: optest.Random(n*hd, 4),
		out: make([]float32, n*hd), lse: make([]float32, s.Heads*n), delta: make([]float32, s.Heads*n),
		dq: make([]float32, n*hd), dk: make([]float32, n*kd), dv: make([]float32, n*kd)}
	for i := range c.q { // scores well away from uniform
		c.q[i] *= 3
	}
	r := refShape(s)
	ref.Attention(c.out, c.lse, c.q, c.k, c.v, start, r)
	ref.AttentionBackward(c.dq, c.dk, c.dv, c.dout, c.out, c.q, c.k, c.v, c.lse, c.delta, start, r)
	c.gq, c.gk, c.gv, c.gdout = upload(e, n, hd, c.q), upload(e, n, kd, c.k), upload(e, n, kd, c.v), upload(e, n, hd, c.dout)
	c.docs = Docs{Start: uploadDocs(e, start), End: uploadDocs(e, end)}
	return c
}

func refShape(s AttentionShape) ref.AttentionShape {
	return ref.AttentionShape{Heads: s.Heads, KVHeads: s.KVHeads, HeadDim: s.HeadDim, Scale: float64(s.Scale), QueryOffset: s.QueryOffset}
}

// run computes forward and backward into guarded tensors and returns out, lse,
// delta, dq, dk, dv.
func (c *attentionCase) run(t *testing.T, e *Engine) [][]float32 {
	t.Helper()
	n, hd, kd, h := len(c.start), c.s.Heads*c.s.HeadDim, c.s.KVHeads*c.s.HeadDim, c.s.Heads
	out, lse, delta := guarded(e, n, hd), guarded(e, h, n), guarded(e, h, n)
	dq, dk, dv := guarded(e, n, hd), guarded(e, n, kd), guarded(e, n, kd)
	e.Attention(out, lse, c.gq, c.gk, c.gv, c.docs, c.s)
	e.AttentionBackward(dq, dk, dv, c.gdout, out, c.gq, c.gk, c.gv, lse, delta, c.docs, c.s)
	var got [][]float32
	for _, x := range []Tensor{out, lse, delta, dq, dk, dv} {
		got = append(got, download(t, e, x))
		checkGuards(t, e, x)
		x.Buf.Release()
	}
	return got
}

func (c *attentionCase) check(t *testing.T, got [][]float32) {
	t.Helper()
	names := []string{"out", "lse", "delta", "dq", "dk", "dv"}
	for i, want := range [][]float32{c.out, c.lse, c.delta, c.dq, c.dk, c.dv} {
		if err := optest.Compare(got[i], want, attentionTol); err != nil {
			t.Errorf("%s: %v", names[i], err)
		}
	}
}

func TestAttention(t *testing.T) {
	e := testEngine(t)
	shape := func(h, kv, d int) AttentionShape { return AttentionShape{Heads: h, KVHeads: kv, HeadDim: d} }
	for _, c := range []struct {
		s    AttentionShape
		docs []int
	}{
		{shape(4, 2, 32), []int{1}},
		{shape(4, 2, 32), []int{7}},
		{shape(4, 2, 32), []int{31}},
		{shape(4, 2, 32), []int{32}},
		{shape(4, 2, 32), []int{33}},
		{shape(3, 1, 8), []int{63}},
		{shape(2, 2, 64), []int{64}},
		{shape(9, 3, 64), []int{65}},
		{shape(2, 1, 32), []int{257}},
		{shape(4, 2, 32), []int{1, 3, 1, 29, 2, 37, 1}},
		{shape(3, 1, 8), []int{5, 1, 1, 1, 30, 63, 64, 65, 7}},
		{shape(2, 2, 128), []int{17, 1, 50}},
		{shape(2, 1, 4), []int{9, 30}},
		{shape(2, 1, 12), []int{9, 30}},
		{shape(2, 1, 16), []int{9, 30}},
		{shape(2, 1, 96), []int{9, 30}},
		{shape(2, 1, 100), []int{3, 36}},
		{shape(2, 1, 256), []int{3, 36}},
	} {
		for _, variant := range []string{attentionDirect, attentionFlash} {
			t.Run(fmt.Sprintf("%s/h%d,%d,d%d/%v", variant, c.s.Heads, c.s.KVHeads, c.s.HeadDim, c.docs), func(t *testing.T) {
				c.s.Variant = variant
				x := newAttentionCase(e, c.s, c.docs...)
				got := x.run(t, e)
				x.check(t, got)
				for i, again := range x.run(t, e) {
					if at := optest.Bits(got[i], again); at >= 0 {
						t.Errorf("output %d: two runs differ at %d", i, at)
					}
				}
			})
		}
	}
}
