package ref

import (
	"fmt"
	"math"
)

// Decoder is a whole decoder-only transformer in float64 and plain loops, the
// reference for internal/model. Every layer is a function that returns its output
// and its pullback: the gradient of its input, given that of its output.
//
// Params holds row-major matrices, (out, in), by the part they play: embed,
// norm, head (not there in a tied model), and in layer i "i." before
// attention_norm, q, k, v, o, q_norm, k_norm, mlp_norm, gate, up, down. A bias of
// x is called x.bias.
type Decoder struct {
	Hidden, FFN, Layers, Heads, KVHeads, HeadDim, Vocab int

	Eps     float64     // of the norms
	Scale   float64     // of attention scores; 0 = HeadDim^-½
	InvFreq [][]float64 // by rotary embedding, as many frequencies as pairs of a head's first values are rotated, radians per position
	Turn    float64     // factor of cosines and sines; 0 = 1
	Rope    []int       // by layer, its rotary embedding; nil = the first
	Window  []int       // by layer, how many tokens it sees, 0 = all; nil = all
	GELU    bool        // the gate's activation is GELU in its tanh form, else SiLU
	Plain   bool        // the MLP has no gate
	// LayerNorm normalises to mean 0 with a bias, else RMSNorm; positions, if it is
	// among Params, are added to the embeddings in place of rotations.
	LayerNorm bool
	QKNorm    bool // queries and keys are normalised by head before they are rotated
	Params    map[string][]float64

	NormOffset   float64                   // of the norms' parameters to their factors: 1 where those are kept less 1
	EmbedFactor  float64                   // of the embeddings; 0 = 1
	PostNorms    bool                      // the terms that attention and MLP add are normalised: attention_post, mlp_post
	AdapterScale func(name string) float64 // see adapted
	// Dropped is the mask of an adapter's inputs, (N, cols); nil = nothing is dropped.
	Dropped           func(name string, cols int) []float64
	SoftCap, LogitCap float64 // c of c·tanh(x/c), of attention's scores and of the logits; 0 = none
}

// DecoderBatch is N tokens in packed documents. Token i attends to the tokens
// DocStart[i]..i, has rotary position Pos[i] and predicts Labels[i]; a negative
// label is not supervised. Scale weighs each token's loss in the backward.
type DecoderBatch struct {
	IDs, Labels, Pos, DocStart []int
	Scale                      []float64
}

// gradients are sums, by parameter.
type gradients map[string][]float64

// pullback takes the gradient of a layer's output, adds those of its parameters
// to g and returns that of its input.
type pullback func(dy []float64, g gradients) []float64

func (d *Decoder) param(name string) []float64 {
	p, ok := d.Params[name]
	if !ok {
		panic("ref: decoder: no parameter " + name)
	}
	return p
}

// Logits returns the (N, Vocab) logits.
func (d *Decoder) Logits(b DecoderBatch) []float64 {
	z, _ := d.forward(b)
	return z
}

// Loss returns the negative log-likelihood of each token's label in nats, 0
// where the label is negative. Scale plays no part.
func (d *Decoder) Loss(b DecoderBatch) []float64 {
	z := d.Logits(b)
	out := make([]float64, len(b.IDs))
	for i, label := range b.Labels {
		if label >= 0 {
			row := z[i*d.Vocab : (i+1)*d.Vocab]
			out[i] = logSumExp64(row) - row[label]
		}
	}
	return out
}

// Backward returns, for each segment starts[m]..starts[m+1]-1 of tokens, the
// gradient of Σ Scale[i]·loss[i] over the segment's tokens with respect to every
// parameter. Each segment is a backward pass of its own, so that nothing is
// assumed about how the segments' gradients relate.
func (d *Decoder) Backward(b DecoderBatch, starts []int) []map[string][]float64 {
	z, back := d.forward(b)
	out := make([]map[string][]float64, len(starts)-1)
	for m := range out {
		g := gradients{}
		for name, p := range d.Params {
			g[name] = make([]float64, len(p))
		}
		dz := make([]float64, len(z))
		for i := starts[m]; i < starts[m+1]; i++ {
			if label := b.Labels[i]; label >= 0 {
				row := z[i*d.Vocab:][:d.Vocab]
				lse := logSumExp64(row)
				for j, v := range row {
					dz[i*d.Vocab+j] = math.Exp(v-lse) * b.Scale[i]
				}
				dz[i*d.Vocab+label] -= b.Scale[i]
			}
		}
		back(dz, g)
		out[m] = g
	}
	return out
}

// forward is the logits, and the pullback to the parameters.
func (d *Decoder) forward(b DecoderBatch) ([]float64, pullback) {
	if _, ok := d.Params["embed.lora_A"]; ok {
		return d.adaptedTable(b)
	}
	x, embed := d.embedding(b)
	backs := []pullback{embed}
	for i := range d.Layers {
		var back pullback
		x, back = d.block(i, x, b)
		backs = append(backs, back)
	}
	x, norm := d.norm("norm", d.Hidden, x)
	head := "head"
	if _, ok := d.Params[head]; !ok {
		head = "embed"
	}
	z, project := d.linear(head, d.Vocab, d.Hidden, x)
	cap := capLogits(z, d.LogitCap)
	return z, chain(append(backs, norm, project, cap)...)
}

// chain is the pullback of layers one after the other.
func chain(backs ...pullback) pullback {
	return func(dy []float64, g gradients) []float64 {
		for i := len(backs) - 1; i >= 0; i-- {
			dy = backs[i](dy, g)
		}
		return dy
	}
}

// embedding looks up x_i = factor · E[id_i] + P[pos_i].
func (d *Decoder) embedding(b DecoderBatch) ([]float64, pullback) {
	c, table, factor := d.Hidden, d.param("embed"), 1.0
	positions, learned := d.Params["positions"]
	if d.EmbedFactor != 0 {
		factor = d.EmbedFactor
	}
	x := make([]float64, len(b.IDs)*c)
	for i, id := range b.IDs {
		axpy64(x[i*c:(i+1)*c], factor, table[id*c:(id+1)*c])
		if learned {
			axpy64(x[i*c:(i+1)*c], 1, positions[b.Pos[i]*c:][:c])
		}
	}
	return x, func(dx []float64, g gradients) []float64 {
		for i, id := range b.IDs {
			axpy64(g["embed"][id*c:][:c], factor, dx[i*c:][:c])
			if learned {
				axpy64(g["positions"][b.Pos[i]*c:][:c], 1, dx[i*c:][:c])
			}
		}
		return nil
	}
}

// capLogits replaces z by c·tanh(z/c); c = 0 leaves it.
func capLogits(z []float64, c float64) pullback {
	slope := make([]float64, len(z))
	for i, v := range z {
		slope[i], z[i] = softCapSlope(v, c), softCap(v, c)
	}
	return func(dy []float64, _ gradients) []float64 {
		dz := make([]float64, len(dy))
		for i, v := range dy {
			dz[i] = v * slope[i]
		}
		return dz
	}
}

// block is mid = x + post(attention(norm(x))); out = mid + post(mlp(norm(mid))).
func (d *Decoder) block(i int, x []float64, b DecoderBatch) ([]float64, pullback) {
	at := func(name string) string { return fmt.Sprintf("%d.%s", i, name) }
	h, norm1 := d.norm(at("attention_norm"), d.Hidden, x)
	a, attention := d.attention(i, at, h, b)
	if d.PostNorms {
		var post pullback
		a, post = d.norm(at("attention_post"), d.Hidden, a)
		attention = chain(attention, post)
	}
	mid := add64(x, a)
	h, norm2 := d.norm(at("mlp_norm"), d.Hidden, mid)
	y, mlp := d.mlp(at, h)
	if d.PostNorms {
		var post pullback
		y, post = d.norm(at("mlp_post"), d.Hidden, y)
		mlp = chain(mlp, post)
	}
	return add64(mid, y), func(dout []float64, g gradients) []float64 {
		dmid := add64(dout, chain(norm2, mlp)(dout, g))
		return add64(dmid, chain(norm1, attention)(dmid, g))
	}
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
