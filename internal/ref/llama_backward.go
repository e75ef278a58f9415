package ref

import (
	"fmt"
	"math"
	"slices"
)

// Backward returns, for each segment starts[m]..starts[m+1]-1 of tokens, the
// gradient of Σ Scale[i]·loss[i] over the segment's tokens with respect to every
// parameter. Each segment is a backward pass of its own, so that nothing is
// assumed about how the segments' gradients relate.
func (l *Llama) Backward(b LlamaBatch, starts []int) []map[string][]float64 {
	s := l.forward(b)
	out := make([]map[string][]float64, len(starts)-1)
	for m := range out {
		scale := make([]float64, s.n)
		copy(scale[starts[m]:starts[m+1]], b.Scale[starts[m]:starts[m+1]])
		out[m] = l.backward(s, b, scale)
	}
	return out
}

func (l *Llama) backward(s *llamaState, b LlamaBatch, scale []float64) map[string][]float64 {
	grads := map[string][]float64{}
	for name, p := range l.Params {
		grads[name] = make([]float64, len(p))
	}
	n, c := s.n, l.Hidden
	dlogits := make([]float64, len(s.logits))
	for i, label := range b.Labels {
		if label < 0 {
			continue
		}
		row := s.logits[i*l.Vocab:][:l.Vocab]
		lse := logSumExp64(row)
		for j, z := range row {
			dlogits[i*l.Vocab+j] = math.Exp(z-lse) * scale[i]
		}
		dlogits[i*l.Vocab+label] -= scale[i]
	}
	dnorm := linearBackward64(grads[l.headName()], dlogits, s.norm, l.param(l.headName()), n, l.Vocab, c)
	dx := rmsNormBackward64(grads["model.norm.weight"], dnorm, s.x, l.param("model.norm.weight"), s.rstd)
	for i := l.Layers - 1; i >= 0; i-- {
		dx = l.backwardLayer(i, &s.layers[i], dx, b, grads)
	}
	dtable := grads["model.embed_tokens.weight"]
	for i, id := range b.IDs {
		axpy64(dtable[id*c:][:c], 1, dx[i*c:][:c])
	}
	return grads
}

// backwardLayer takes the gradient of the layer's output and returns that of
// its input.
func (l *Llama) backwardLayer(i int, a *llamaLayer, dout []float64, b LlamaBatch, grads map[string][]float64) []float64 {
	n, c, hd, kvd := len(b.IDs), l.Hidden, l.Heads*l.HeadDim, l.KVHeads*l.HeadDim
	grad := func(name string) []float64 { return grads[fmt.Sprintf("model.layers.%d.%s.weight", i, name)] }
	linear := func(name string, dy, x []float64, rows, cols int) []float64 {
		return linearBackward64(grad(name), dy, x, l.layer(i, name), n, rows, cols)
	}
	dact := linear("mlp.down_proj", dout, a.act, c, l.FFN)
	dgate, dup := make([]float64, len(dact)), make([]float64, len(dact))
	for j, d := range dact {
		sig := 1 / (1 + math.Exp(-a.gate[j]))
		dup[j] = d * a.gate[j] * sig
		dgate[j] = d * a.up[j] * sig * (1 + a.gate[j]*(1-sig))
	}
	dnorm := add64(linear("mlp.gate_proj", dgate, a.norm2, l.FFN, c), linear("mlp.up_proj", dup, a.norm2, l.FFN, c))
	dmid := add64(dout, rmsNormBackward64(grad("post_attention_layernorm"), dnorm, a.mid, l.layer(i, "post_attention_layernorm"), a.rstd2))

	datt := linear("self_attn.o_proj", dmid, a.att, c, hd)
	dq, dk, dv := l.attendBackward(a, datt, b)
	l.rotate(dq, l.Heads, b.Pos, -1)
	l.rotate(dk, l.KVHeads, b.Pos, -1)
	dnorm = add64(linear("self_attn.q_proj", dq, a.norm1, hd, c), linear("self_attn.k_proj", dk, a.norm1, kvd, c))
	dnorm = add64(dnorm, linear("self_attn.v_proj", dv, a.norm1, kvd, c))
	return add64(dmid, rmsNormBackward64(grad("input_layernorm"), dnorm, a.x, l.layer(i, "input_layernorm"), a.rstd1))
}

func (l *Llama) attendBackward(a *llamaLayer, dout []float64, b LlamaBatch) (dq, dk, dv []float64) {
	n, d, group := len(b.IDs), l.HeadDim, l.Heads/l.KVHeads
	dq, dk, dv = make([]float64, len(a.q)), make([]float64, len(a.k)), make([]float64, len(a.v))
	for h := range l.Heads {
		for i := range n {
			p := a.prob[h*n+i]
			qi, doi := (i*l.Heads+h)*d, dout[(i*l.Heads+h)*d:][:d]
			dp := make([]float64, len(p))
			mean := 0.0 // Σ_j p_j dp_j, the softmax Jacobian's rank-one part
			for t := range p {
				at := ((b.DocStart[i]+t)*l.KVHeads + h/group) * d
				dp[t] = dot64(doi, a.v[at:][:d])
				axpy64(dv[at:][:d], p[t], doi)
				mean += p[t] * dp[t]
			}
			for t := range p {
				at := ((b.DocStart[i]+t)*l.KVHeads + h/group) * d
				ds := p[t] * (dp[t] - mean) / math.Sqrt(float64(d))
				axpy64(dq[qi:][:d], ds, a.k[at:][:d])
				axpy64(dk[at:][:d], ds, a.q[qi:][:d])
			}
		}
	}
	return dq, dk, dv
}

// linearBackward64 adds dyᵀ x to dw and returns dy w, for dy(n,rows), x(n,cols).
func linearBackward64(dw, dy, x, w []float64, n, rows, cols int) []float64 {
	dx := make([]float64, n*cols)
	for i := range n {
		for r := range rows {
			g := dy[i*rows+r]
			if g == 0 {
				continue
			}
			axpy64(dw[r*cols:][:cols], g, x[i*cols:][:cols])
			axpy64(dx[i*cols:][:cols], g, w[r*cols:][:cols])
		}
	}
	return dx
}

// rmsNormBackward64 adds the weight's gradient to dw and returns x's.
func rmsNormBackward64(dw, dout, x, w, rstd []float64) []float64 {
	c := len(w)
	dx := slices.Clone(dout)
	for i, r := range rstd {
		row, d := x[i*c:][:c], dx[i*c:][:c]
		mean := 0.0
		for j := range d {
			dw[j] += d[j] * row[j] * r
			d[j] *= w[j]
			mean += d[j] * row[j] * r / float64(c)
		}
		for j := range d {
			d[j] = r * (d[j] - row[j]*r*mean)
		}
	}
	return dx
}
