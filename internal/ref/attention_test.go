package ref

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestAttentionBackward compares with central differences of the float64
// forward: truncation error ~h², rounding ~1e-16/h.
func TestAttentionBackward(t *testing.T) {
	for _, s := range []AttentionShape{
		{Heads: 4, KVHeads: 2, HeadDim: 4, Scale: 0.5},
		{Heads: 3, KVHeads: 1, HeadDim: 8, Scale: 0.35},
		{Heads: 2, KVHeads: 2, HeadDim: 4, Scale: 1},
	} {
		start := []uint32{0, 0, 0, 0, 0, 5, 6, 6, 6} // documents of 5, 1 and 3 tokens
		n, hd, kd := len(start), s.Heads*s.HeadDim, s.KVHeads*s.HeadDim
		r := rand.New(rand.NewPCG(1, 2))
		random := func(n int) []float64 {
			x := make([]float64, n)
			for i := range x {
				x[i] = r.NormFloat64()
			}
			return x
		}
		q, k, v, dout := random(n*hd), random(n*kd), random(n*kd), random(n*hd)
		out, lse, delta := make([]float64, n*hd), make([]float64, s.Heads*n), make([]float64, s.Heads*n)
		loss := func() float64 {
			Attention(out, lse, q, k, v, start, s)
			l := 0.0
			for i := range out {
				l += out[i] * dout[i]
			}
			return l
		}
		loss()
		dq, dk, dv := make([]float64, n*hd), make([]float64, n*kd), make([]float64, n*kd)
		AttentionBackward(dq, dk, dv, dout, out, q, k, v, lse, delta, start, s)
		for name, x := range map[string][2][]float64{"dq": {q, dq}, "dk": {k, dk}, "dv": {v, dv}} {
			for i := range x[0] {
				const h = 1e-5
				at := x[0][i]
				x[0][i] = at + h
				up := loss()
				x[0][i] = at - h
				down := loss()
				x[0][i] = at
				if want := (up - down) / (2 * h); math.Abs(x[1][i]-want) > 1e-8 {
					t.Errorf("%+v: %s[%d] = %v, finite difference %v", s, name, i, x[1][i], want)
				}
			}
		}
	}
}

// TestAttentionSmall is two tokens by hand.
func TestAttentionSmall(t *testing.T) {
	s := AttentionShape{Heads: 1, KVHeads: 1, HeadDim: 1, Scale: 1}
	out, lse := make([]float64, 2), make([]float64, 2)
	Attention(out, lse, []float64{1, 1}, []float64{0, math.Log(3)}, []float64{4, 8}, []uint32{0, 0}, s)
	for i, want := range []float64{4, 7} { // weights (1), (1/4, 3/4)
		if math.Abs(out[i]-want) > 1e-14 {
			t.Errorf("out[%d] = %v, want %v", i, out[i], want)
		}
	}
	if math.Abs(lse[0]) > 1e-15 || math.Abs(lse[1]-math.Log(4)) > 1e-15 {
		t.Errorf("lse = %v", lse)
	}
}
