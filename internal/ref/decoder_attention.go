package ref

import "math"

// attention is causal grouped-query attention within documents, of the last
// Window tokens where a layer slides:
//
//	q = RoPE(norm(x Qᵀ)), k = RoPE(norm(x Kᵀ)), v = x Vᵀ,   y = softmax(cap(scale q kᵀ)) v Oᵀ
func (d *Decoder) attention(i int, at func(string) string, x []float64, b DecoderBatch) ([]float64, pullback) {
	hd, kvd := d.Heads*d.HeadDim, d.KVHeads*d.HeadDim
	q, backQ := d.linear(at("q"), hd, d.Hidden, x)
	k, backK := d.linear(at("k"), kvd, d.Hidden, x)
	v, backV := d.linear(at("v"), kvd, d.Hidden, x)
	if d.QKNorm {
		var normQ, normK pullback
		q, normQ = d.norm(at("q_norm"), d.HeadDim, q)
		k, normK = d.norm(at("k_norm"), d.HeadDim, k)
		backQ, backK = chain(backQ, normQ), chain(backK, normK)
	}
	rope, window := 0, 0
	if d.Rope != nil {
		rope = d.Rope[i]
	}
	if d.Window != nil {
		window = d.Window[i]
	}
	d.rotate(q, d.Heads, rope, b.Pos, 1) // nothing where no frequencies are
	d.rotate(k, d.KVHeads, rope, b.Pos, 1)
	a, attend := d.attend(q, k, v, firstKeys(b, window))
	y, out := d.linear(at("o"), d.Hidden, hd, a)
	return y, func(dy []float64, g gradients) []float64 {
		dq, dk, dv := attend(out(dy, g))
		d.rotate(dq, d.Heads, rope, b.Pos, -1)
		d.rotate(dk, d.KVHeads, rope, b.Pos, -1)
		return add64(add64(backQ(dq, g), backK(dk, g)), backV(dv, g))
	}
}

// firstKeys is, by token, the first one that it attends to.
func firstKeys(b DecoderBatch, window int) []int {
	out := make([]int, len(b.IDs))
	for i, s := range b.DocStart {
		if out[i] = s; window > 0 {
			out[i] = max(s, i-window+1)
		}
	}
	return out
}

// rotate applies the half-split rotary embedding in place; sign -1 inverts it.
func (d *Decoder) rotate(x []float64, heads, rope int, pos []int, sign float64) {
	if d.InvFreq == nil {
		return
	}
	half, turn := len(d.InvFreq[rope]), 1.0
	if d.Turn != 0 {
		turn = d.Turn
	}
	for i, p := range pos {
		for h := range heads {
			row := x[(i*heads+h)*d.HeadDim:]
			for j := range half {
				sin, cos := math.Sincos(float64(p) * d.InvFreq[rope][j])
				sin, cos = sin*sign*turn, cos*turn
				a, b := row[j], row[j+half]
				row[j], row[j+half] = a*cos-b*sin, b*cos+a*sin
			}
		}
	}
}

// attend is the softmax-weighted sum of the values, and its pullback.
func (d *Decoder) attend(q, k, v []float64, first []int) ([]float64, func(dout []float64) (dq, dk, dv []float64)) {
	n, w, group := len(first), d.HeadDim, d.Heads/d.KVHeads
	scale := d.Scale
	if scale == 0 {
		scale = 1 / math.Sqrt(float64(w))
	}
	query := func(i, h int) int { return (i*d.Heads + h) * w }
	key := func(j, h int) int { return (j*d.KVHeads + h/group) * w }
	out := make([]float64, len(q))
	prob := make([][]float64, d.Heads*n)
	for h := range d.Heads {
		for i := range n {
			p := make([]float64, i+1-first[i])
			for t := range p {
				p[t] = softCap(scale*dot64(q[query(i, h):][:w], k[key(first[i]+t, h):][:w]), d.SoftCap)
			}
			lse := logSumExp64(p)
			for t := range p {
				p[t] = math.Exp(p[t] - lse)
				axpy64(out[query(i, h):][:w], p[t], v[key(first[i]+t, h):][:w])
			}
			prob[h*n+i] = p
		}
	}
	return out, func(dout []float64) (dq, dk, dv []float64) {
		dq, dk, dv = make([]float64, len(q)), make([]float64, len(k)), make([]float64, len(v))
		for h := range d.Heads {
			for i := range n {
				p, at := prob[h*n+i], query(i, h)
				dp, mean := make([]float64, len(p)), 0.0 // mean: Σ_j p_j dp_j, the softmax Jacobian's rank-one part
				for t := range p {
					kv := key(first[i]+t, h)
					dp[t] = dot64(dout[at:][:w], v[kv:][:w])
					axpy64(dv[kv:][:w], p[t], dout[at:][:w])
					mean += p[t] * dp[t]
				}
				for t := range p {
					kv := key(first[i]+t, h)
					ds := p[t] * (dp[t] - mean) * scale * softCapSlope(scale*dot64(q[at:][:w], k[kv:][:w]), d.SoftCap)
					axpy64(dq[at:][:w], ds, k[kv:][:w])
					axpy64(dk[kv:][:w], ds, q[at:][:w])
				}
			}
		}
		return dq, dk, dv
	}
}
