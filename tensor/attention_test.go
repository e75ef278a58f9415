package tensor

import (
	"fmt"
	"math"
	"slices"
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
	c.docs = Docs{Start: uploadDocs(e, start), End: uploadDocs(e, end), Longest: slices.Max(lengths)}
	return c
}

func refShape(s AttentionShape) ref.AttentionShape {
	return ref.AttentionShape{Heads: s.Heads, KVHeads: s.KVHeads, HeadDim: s.HeadDim, Scale: float64(s.Scale),
		SoftCap: float64(s.SoftCap), QueryOffset: s.QueryOffset}
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
		{AttentionShape{Heads: 4, KVHeads: 2, HeadDim: 32, SoftCap: 2}, []int{33, 5}},
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
		{shape(1, 1, 228), []int{3, 36}},
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

// TestAttentionSpans cuts the loops over keys and queries into many dispatches,
// as documents beyond the loop budget do.
func TestAttentionSpans(t *testing.T) {
	e := testEngine(t)
	for _, variant := range []string{attentionDirect, attentionFlash} {
		t.Run(variant, func(t *testing.T) {
			s := AttentionShape{Heads: 4, KVHeads: 2, HeadDim: 32, Variant: variant, maxSpan: 32}
			x := newAttentionCase(e, s, 31, 2, 99, 1, 1, 70)
			x.check(t, x.run(t, e))
		})
	}
}

// TestAttentionLong has the last queries of a document of 8192 tokens: past
// 65,535 iterations Mesa's software rasterizers silently end all loops.
func TestAttentionLong(t *testing.T) {
	e := testEngine(t)
	const n, nk, d = 5, 8192, 128
	for _, variant := range []string{attentionDirect, attentionFlash} {
		t.Run(variant, func(t *testing.T) {
			s := AttentionShape{Heads: 1, KVHeads: 1, HeadDim: d, Scale: 0.1, QueryOffset: nk - n, Variant: variant}
			start := make([]uint32, n)
			q, k, v := optest.Random(n*d, 1), optest.Random(nk*d, 2), optest.Random(nk*d, 3)
			want, wantLSE := make([]float32, n*d), make([]float32, n)
			ref.Attention(want, wantLSE, q, k, v, start, refShape(s))
			out, lse := guarded(e, n, d), guarded(e, 1, n)
			e.Attention(out, lse, upload(e, n, d, q), upload(e, nk, d, k), upload(e, nk, d, v), Docs{Start: uploadDocs(e, start)}, s)
			if err := optest.Compare(download(t, e, out), want, attentionTol); err != nil {
				t.Error(err)
			}
			if err := optest.Compare(download(t, e, lse), wantLSE, attentionTol); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestAttentionDecode feeds one document through a key-value cache in chunks and
// compares with attention over the whole. Rows behind the cache's filled part
// are NaN: they must not be read into the result.
func TestAttentionDecode(t *testing.T) {
	e := testEngine(t)
	const n, room = 41, 48
	for _, variant := range []string{attentionDirect, attentionFlash} {
		t.Run(variant, func(t *testing.T) {
			s := AttentionShape{Heads: 4, KVHeads: 2, HeadDim: 32, Variant: variant}
			x := newAttentionCase(e, s, n)
			s = x.s
			hd, kd := s.Heads*s.HeadDim, s.KVHeads*s.HeadDim
			at := 0
			for _, chunk := range []int{33, 1, 1, 5, 1} {
				fill := func(src []float32) Tensor {
					c := make([]float32, room*kd)
					for i := range c {
						c[i] = float32(math.NaN())
					}
					copy(c, src[:(at+chunk)*kd])
					return upload(e, room, kd, c)
				}
				s.QueryOffset = at
				out, lse := guarded(e, chunk, hd), guarded(e, s.Heads, chunk)
				e.Attention(out, lse, upload(e, chunk, hd, x.q[at*hd:(at+chunk)*hd]), fill(x.k), fill(x.v),
					Docs{Start: uploadDocs(e, make([]uint32, chunk))}, s)
				if err := optest.Compare(download(t, e, out), x.out[at*hd:(at+chunk)*hd], attentionTol); err != nil {
					t.Errorf("queries %d..%d: %v", at, at+chunk, err)
				}
				checkGuards(t, e, out)
				checkGuards(t, e, lse)
				at += chunk
			}
		})
	}
}

// TestAttentionSpanBudget holds the loop iterations of one invocation, as the
// kernels' headers count them, below the limit of Mesa's software rasterizers.
func TestAttentionSpanBudget(t *testing.T) {
	const limit = 65000
	for d := 4; d <= maxHeadDim; d += 4 {
		for _, group := range []int{1, 2, 3, 4, 8, 32, 64, 69, 70, 128, 400, 437} {
			s := AttentionShape{Heads: group, KVHeads: 1, HeadDim: d}
			if s.Validate() != nil {
				continue
			}
			nc := ceilDiv(d, 32)
			if n := s.span(attentionDirect, group); n < 4 || n%4 != 0 || group*(1+n/4*(1+d/2))+d/4 > limit {
				t.Errorf("direct, D %d, group %d: %d queries", d, group, n)
			}
			n := s.span(attentionFlash, group)
			if n < 32 || n%32 != 0 || group*(1+n/32*(1+nc*102)) > limit || n/32*(17+nc*70) > limit {
				t.Errorf("flash, D %d, group %d: %d queries", d, group, n)
			}
		}
	}
}

// TestAttentionReach holds the number of dispatches to what the longest document
// needs, wherever it begins in a tile.
func TestAttentionReach(t *testing.T) {
	for _, c := range []struct {
		longest, total, direct, flash int
	}{{0, 100, 100, 100}, {1, 100, 4, 32}, {33, 4096, 36, 64}, {99, 100, 100, 100}} {
		d := Docs{Longest: c.longest}
		if a, b := d.reach(attentionDirect, c.total), d.reach(attentionFlash, c.total); a != c.direct || b != c.flash {
			t.Errorf("longest %d of %d: %d and %d keys, want %d and %d", c.longest, c.total, a, b, c.direct, c.flash)
		}
	}
}

// TestAttentionIsolation has NaN everywhere in the middle one of three sequences
// of 96 tokens: the others' results are what they were.
func TestAttentionIsolation(t *testing.T) {
	e := testEngine(t)
	nan := float32(math.NaN())
	for _, variant := range []string{attentionDirect, attentionFlash} {
		t.Run(variant, func(t *testing.T) {
			x := newAttentionCase(e, AttentionShape{Heads: 4, KVHeads: 2, HeadDim: 8, Variant: variant}, 50, 46, 1, 2, 93, 40, 56)
			for i, host := range [][]float32{x.q, x.k, x.v, x.dout} {
				c := len(host) / len(x.start)
				for j := 96 * c; j < 192*c; j++ {
					host[j] = nan
				}
				e.Upload([]Tensor{x.gq, x.gk, x.gv, x.gdout}[i], host)
			}
			got := x.run(t, e)
			for i, want := range map[int][]float32{0: x.out, 3: x.dq, 4: x.dk, 5: x.dv} {
				c := len(want) / len(x.start)
				if err := optest.Compare(got[i][:96*c], want[:96*c], attentionTol); err != nil {
					t.Errorf("output %d, before: %v", i, err)
				}
				if err := optest.Compare(got[i][192*c:], want[192*c:], attentionTol); err != nil {
					t.Errorf("output %d, behind: %v", i, err)
				}
			}
		})
	}
}

func TestAttentionShapeValidate(t *testing.T) {
	for _, c := range []struct {
		s  AttentionShape
		ok bool
	}{
		{AttentionShape{Heads: 9, KVHeads: 3, HeadDim: 64}, true},
		{AttentionShape{Heads: 9, KVHeads: 2, HeadDim: 64}, false},
		{AttentionShape{Heads: 2, KVHeads: 0, HeadDim: 64}, false},
		{AttentionShape{Heads: 2, KVHeads: 2, HeadDim: 260}, false},
		{AttentionShape{Heads: 2, KVHeads: 2, HeadDim: 6}, false},
		{AttentionShape{Heads: 2, KVHeads: 2, HeadDim: 8, Variant: "fast"}, false},
		{AttentionShape{Heads: 64, KVHeads: 1, HeadDim: 256}, true},
		{AttentionShape{Heads: 128, KVHeads: 1, HeadDim: 256}, false},
	} {
		if err := c.s.Validate(); (err == nil) != c.ok {
			t.Errorf("%+v: %v", c.s, err)
		}
	}
	if n := MaxDocument(AttentionShape{Heads: 32, KVHeads: 8, HeadDim: 128}); n < 8192 {
		t.Errorf("longest document %d", n)
	}
}

// BenchmarkAttention is one layer's attention of the demonstration model's size.
func BenchmarkAttention(b *testing.B) {
	e := testEngine(b)
	for _, length := range []int{20, 128} {
		for _, variant := range []string{attentionDirect, attentionFlash} {
			const n, h, kv, d = 2048, 4, 2, 32
			var docs []int
			for left := n; left > 0; left -= length {
				docs = append(docs, min(length, left))
			}
			start, end := packed(docs...)
			s := AttentionShape{Heads: h, KVHeads: kv, HeadDim: d, Scale: 0.2, Variant: variant}
			q, k, v, dout := upload(e, n, h*d, optest.Random(n*h*d, 1)), upload(e, n, kv*d, optest.Random(n*kv*d, 2)),
				upload(e, n, kv*d, optest.Random(n*kv*d, 3)), upload(e, n, h*d, optest.Random(n*h*d, 4))
			out, lse, delta := guarded(e, n, h*d), guarded(e, h, n), guarded(e, h, n)
			dq, dk, dv := guarded(e, n, h*d), guarded(e, n, kv*d), guarded(e, n, kv*d)
			dc := Docs{Start: uploadDocs(e, start), End: uploadDocs(e, end)}
			measure := func(name string, f func()) {
				b.Run(fmt.Sprintf("%s/%s/N=%d,H=%d,KV=%d,D=%d,doc=%d", name, variant, n, h, kv, d, length), func(b *testing.B) {
					f()
					if err := e.Dev.Sync(); err != nil {
						b.Fatal(err)
					}
					for b.Loop() {
						f()
						if err := e.Dev.Sync(); err != nil {
							b.Fatal(err)
						}
					}
					b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "tokens/s")
				})
			}
			measure("forward", func() { e.Attention(out, lse, q, k, v, dc, s) })
			measure("backward", func() { e.AttentionBackward(dq, dk, dv, dout, out, q, k, v, lse, delta, dc, s) })
		}
	}
}
