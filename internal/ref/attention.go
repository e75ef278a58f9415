package ref

import "math"

// AttentionShape is the geometry of one attention call: query i stands at row
// QueryOffset+i of the keys, and query head h reads key head h/(Heads/KVHeads).
type AttentionShape struct {
	Heads, KVHeads, HeadDim int
	Scale                   float64
	SoftCap                 float64 // c of c·tanh(score/c), 0 = none
	QueryOffset             int
}

// Attention is causal grouped-query attention within documents:
//
//	out[i,h] = Σ_j softmax_j(Scale · q[i,h]·k[j,h']) v[j,h'],  start[i] ≤ j ≤ QueryOffset+i
//	lse[h,i] = log Σ_j exp(Scale · q[i,h]·k[j,h'])
//
// q and out are (Nq, Heads*D), k and v (Nk, KVHeads*D), lse (Heads, Nq), start
// (Nq) indexes rows of k. Computed in float64 with whole score rows. The twin
// of shaders/attention_forward_*.wgsl.
func Attention[F float32 | float64](out, lse, q, k, v []F, start []uint32, s AttentionShape) {
	d, n := s.HeadDim, len(start)
	acc := make([]float64, d)
	for i := range n {
		for h := range s.Heads {
			w, l := attentionRow(q, k, start, i, h, s)
			clear(acc)
			for j, p := range w {
				vr := attentionHead(v, int(start[i])+j, s.KVHeads, h*s.KVHeads/s.Heads, d)
				for c := range d {
					acc[c] += p * float64(vr[c])
				}
			}
			o := attentionHead(out, i, s.Heads, h, d)
			for c := range d {
				o[c] = F(acc[c])
			}
			lse[h*n+i] = F(l)
		}
	}
}

// AttentionBackward overwrites dq, dk, dv with the gradients of
// Σ dout·Attention(q, k, v) (QueryOffset 0). With P the softmax weights:
//
//	delta[h,i] = Σ_c dout·out,  dS = P·(dout·v − delta)·Scale
//	dq = dS k,  dk = dSᵀ q,  dv = Pᵀ dout
//
// delta (Heads, N) is written. The weights are recomputed from q and k, so lse
// is not read. The twin of shaders/attention_backward_*.wgsl and
// attention_delta.wgsl.
func AttentionBackward[F float32 | float64](dq, dk, dv, dout, out, q, k, v, lse, delta []F, start []uint32, s AttentionShape) {
	d, n := s.HeadDim, len(start)
	gq, gk, gv := make([]float64, len(dq)), make([]float64, len(dk)), make([]float64, len(dv))
	for i := range n {
		for h := range s.Heads {
			kh := h * s.KVHeads / s.Heads
			w, _ := attentionRow(q, k, start, i, h, s)
			do, qr := attentionHead(dout, i, s.Heads, h, d), attentionHead(q, i, s.Heads, h, d)
			dl := attentionDot(do, attentionHead(out, i, s.Heads, h, d))
			delta[h*n+i] = F(dl)
			for jj, p := range w {
				j := int(start[i]) + jj
				kr := attentionHead(k, j, s.KVHeads, kh, d)
				ds := p * (attentionDot(do, attentionHead(v, j, s.KVHeads, kh, d)) - dl) * s.Scale * softCapSlope(s.Scale*attentionDot(qr, kr),
					s.SoftCap)
				gqr := attentionHead(gq, i, s.Heads, h, d)
				gkr, gvr := attentionHead(gk, j, s.KVHeads, kh, d), attentionHead(gv, j, s.KVHeads, kh, d)
				for c := range d {
					gqr[c] += ds * float64(kr[c])
					gkr[c] += ds * float64(qr[c])
					gvr[c] += p * float64(do[c])
				}
			}
		}
	}
	attentionRound(dq, gq)
	attentionRound(dk, gk)
	attentionRound(dv, gv)
}

// attentionRow is the softmax over query i's keys of head h, and its log-sum-exp.
func attentionRow[F float32 | float64](q, k []F, start []uint32, i, h int, s AttentionShape) (w []float64, lse float64) {
	qr := attentionHead(q, i, s.Heads, h, s.HeadDim)
	top := math.Inf(-1)
	for j := int(start[i]); j <= s.QueryOffset+i; j++ {
		x := softCap(s.Scale*attentionDot(qr, attentionHead(k, j, s.KVHeads, h*s.KVHeads/s.Heads, s.HeadDim)), s.SoftCap)
		w = append(w, x)
		top = max(top, x)
	}
	sum := 0.0
	for j := range w {
		w[j] = math.Exp(w[j] - top)
		sum += w[j]
	}
	for j := range w {
		w[j] /= sum
	}
	return w, top + math.Log(sum)
}

// softCap is c·tanh(x/c), or x for c = 0.
func softCap(x, c float64) float64 {
	if c > 0 {
		return c * math.Tanh(x/c)
	}
	return x
}

// softCapSlope is the derivative of softCap at x.
func softCapSlope(x, c float64) float64 {
	if c > 0 {
		t := math.Tanh(x / c)
		return 1 - t*t
	}
	return 1
}

// attentionHead is head h of row i of x, a (N, heads*d) matrix.
func attentionHead[F float32 | float64](x []F, i, heads, h, d int) []F {
	return x[(i*heads+h)*d:][:d]
}

func attentionDot[F float32 | float64](a, b []F) float64 {
	s := 0.0
	for i := range a {
		s += float64(a[i]) * float64(b[i])
	}
	return s
}

func attentionRound[F float32 | float64](dst []F, src []float64) {
	for i := range dst {
		dst[i] = F(src[i])
	}
}
