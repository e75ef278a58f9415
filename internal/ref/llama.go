package ref

import (
	"fmt"
	"math"
)

// Llama is a whole decoder of the Llama family in float64 and plain loops, the
// reference for internal/model. Params holds row-major matrices under their
// Hugging Face names; a tied model has no lm_head.weight.
type Llama struct {
	Hidden, FFN, Layers, Heads, KVHeads, HeadDim, Vocab int

	Eps     float64
	InvFreq []float64 // HeadDim/2 rotary frequencies, radians per position
	Tied    bool
	Params  map[string][]float64
}

// LlamaBatch is N tokens in packed documents. Token i attends to the tokens
// DocStart[i]..i, has rotary position Pos[i] and predicts Labels[i]; a negative
// label is not supervised. Scale weighs each token's loss in the backward.
type LlamaBatch struct {
	IDs, Labels, Pos, DocStart []int
	Scale                      []float64
}

// llamaLayer is what the forward pass of one layer leaves for its backward.
type llamaLayer struct {
	x, norm1, q, k, v, att, mid, norm2, gate, up, act []float64
	rstd1, rstd2                                      []float64
	prob                                              [][]float64 // [head*N+i][j-DocStart[i]]
}

type llamaState struct {
	n      int // tokens
	layers []llamaLayer
	x      []float64 // input of the final norm
	norm   []float64
	rstd   []float64
	logits []float64
}

func (l *Llama) layer(i int, name string) []float64 {
	return l.param(fmt.Sprintf("model.layers.%d.%s.weight", i, name))
}

func (l *Llama) param(name string) []float64 {
	p, ok := l.Params[name]
	if !ok {
		panic("ref: llama: no parameter " + name)
	}
	return p
}

func (l *Llama) headName() string {
	if l.Tied {
		return "model.embed_tokens.weight"
	}
	return "lm_head.weight"
}

// Logits returns the (N, Vocab) logits.
func (l *Llama) Logits(b LlamaBatch) []float64 { return l.forward(b).logits }

// Loss returns the negative log-likelihood of each token's label in nats, 0
// where the label is negative. Scale plays no part.
func (l *Llama) Loss(b LlamaBatch) []float64 {
	s := l.forward(b)
	out := make([]float64, s.n)
	for i, label := range b.Labels {
		if label >= 0 {
			row := s.logits[i*l.Vocab : (i+1)*l.Vocab]
			out[i] = logSumExp64(row) - row[label]
		}
	}
	return out
}

// MeanLosses is the mean of nll over the supervised tokens of each segment
// starts[m]..starts[m+1]-1, 0 where there are none.
func MeanLosses(nll []float64, labels, starts []int) []float64 {
	out := make([]float64, len(starts)-1)
	for m := range out {
		n := 0
		for i := starts[m]; i < starts[m+1]; i++ {
			if labels[i] >= 0 {
				out[m] += nll[i]
				n++
			}
		}
		if n > 0 {
			out[m] /= float64(n)
		}
	}
	return out
}

func (l *Llama) forward(b LlamaBatch) *llamaState {
	n, c := len(b.IDs), l.Hidden
	s := &llamaState{n: n}
	table := l.param("model.embed_tokens.weight")
	x := make([]float64, n*c)
	for i, id := range b.IDs {
		copy(x[i*c:(i+1)*c], table[id*c:(id+1)*c])
	}
	for i := range l.Layers {
		var a llamaLayer
		x, a = l.forwardLayer(i, x, b)
		s.layers = append(s.layers, a)
	}
	s.x = x
	s.norm, s.rstd = rmsNorm64(x, l.param("model.norm.weight"), l.Eps)
	s.logits = linear64(s.norm, l.param(l.headName()), n, l.Vocab, c)
	return s
}

func (l *Llama) forwardLayer(i int, x []float64, b LlamaBatch) ([]float64, llamaLayer) {
	n, c, hd, kvd := len(b.IDs), l.Hidden, l.Heads*l.HeadDim, l.KVHeads*l.HeadDim
	a := llamaLayer{x: x}
	a.norm1, a.rstd1 = rmsNorm64(x, l.layer(i, "input_layernorm"), l.Eps)
	a.q = linear64(a.norm1, l.layer(i, "self_attn.q_proj"), n, hd, c)
	a.k = linear64(a.norm1, l.layer(i, "self_attn.k_proj"), n, kvd, c)
	a.v = linear64(a.norm1, l.layer(i, "self_attn.v_proj"), n, kvd, c)
	l.rotate(a.q, l.Heads, b.Pos, 1)
	l.rotate(a.k, l.KVHeads, b.Pos, 1)
	a.att, a.prob = l.attend(a.q, a.k, a.v, b)
	o := linear64(a.att, l.layer(i, "self_attn.o_proj"), n, c, hd)
	a.mid = add64(x, o)
	a.norm2, a.rstd2 = rmsNorm64(a.mid, l.layer(i, "post_attention_layernorm"), l.Eps)
	a.gate = linear64(a.norm2, l.layer(i, "mlp.gate_proj"), n, l.FFN, c)
	a.up = linear64(a.norm2, l.layer(i, "mlp.up_proj"), n, l.FFN, c)
	a.act = make([]float64, len(a.gate))
	for j, g := range a.gate {
		a.act[j] = g / (1 + math.Exp(-g)) * a.up[j]
	}
	down := linear64(a.act, l.layer(i, "mlp.down_proj"), n, c, l.FFN)
	return add64(a.mid, down), a
}

// rotate applies the half-split rotary embedding in place; sign -1 inverts it.
func (l *Llama) rotate(x []float64, heads int, pos []int, sign float64) {
	half := l.HeadDim / 2
	for i, p := range pos {
		for h := range heads {
			row := x[(i*heads+h)*l.HeadDim:]
			for j := range half {
				sin, cos := math.Sincos(float64(p) * l.InvFreq[j])
				sin *= sign
				a, b := row[j], row[j+half]
				row[j], row[j+half] = a*cos-b*sin, b*cos+a*sin
			}
		}
	}
}

// attend is causal grouped-query attention within documents.
func (l *Llama) attend(q, k, v []float64, b LlamaBatch) ([]float64, [][]float64) {
	n, d, group := len(b.IDs), l.HeadDim, l.Heads/l.KVHeads
	out := make([]float64, n*l.Heads*d)
	prob := make([][]float64, l.Heads*n)
	for h := range l.Heads {
		for i := range n {
			p := make([]float64, 0, i+1-b.DocStart[i])
			qi := q[(i*l.Heads+h)*d:][:d]
			for j := b.DocStart[i]; j <= i; j++ {
				p = append(p, dot64(qi, k[(j*l.KVHeads+h/group)*d:][:d])/math.Sqrt(float64(d)))
			}
			lse := logSumExp64(p)
			oi := out[(i*l.Heads+h)*d:][:d]
			for t := range p {
				p[t] = math.Exp(p[t] - lse)
				axpy64(oi, p[t], v[((b.DocStart[i]+t)*l.KVHeads+h/group)*d:][:d])
			}
			prob[h*n+i] = p
		}
	}
	return out, prob
}

// linear64 is out(n,rows) = x(n,cols) w(rows,cols)ᵀ.
func linear64(x, w []float64, n, rows, cols int) []float64 {
	out := make([]float64, n*rows)
	for i := range n {
		for r := range rows {
			out[i*rows+r] = dot64(x[i*cols:][:cols], w[r*cols:][:cols])
		}
	}
	return out
}

func rmsNorm64(x, w []float64, eps float64) (out, rstd []float64) {
	c := len(w)
	out = make([]float64, len(x))
	rstd = make([]float64, len(x)/c)
	for i := range rstd {
		row := x[i*c:][:c]
		rstd[i] = 1 / math.Sqrt(dot64(row, row)/float64(c)+eps)
		for j, v := range row {
			out[i*c+j] = v * rstd[i] * w[j]
		}
	}
	return out, rstd
}

func logSumExp64(x []float64) float64 {
	top := math.Inf(-1)
	for _, v := range x {
		top = max(top, v)
	}
	sum := 0.0
	for _, v := range x {
		sum += math.Exp(v - top)
	}
	return top + math.Log(sum)
}

func dot64(a, b []float64) float64 {
	sum := 0.0
	for i, v := range a {
		sum += v * b[i]
	}
	return sum
}

// axpy64 is y += alpha x.
func axpy64(y []float64, alpha float64, x []float64) {
	for i, v := range x {
		y[i] += alpha * v
	}
}

func add64(a, b []float64) []float64 {
	out := make([]float64, len(a))
	for i := range a {
		out[i] = a[i] + b[i]
	}
	return out
}
