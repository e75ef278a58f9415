// Package model is the decoder-only transformer of the Llama family (Llama 2
// and 3, SmolLM2, TinyLlama): its configuration, its parameters under their
// Hugging Face names, forward and backward on a tensor.Engine, scoring and
// generation with a key-value cache, and reading and writing the Hugging Face
// folder layout.
//
// The model does not own its parameters: Weights says where they lie, Gradients
// where their gradients go (package bucket implements both; a test can do it in
// a few lines). A batch is N tokens sorted by objective (language); one backward
// pass gives the gradient of each objective separately, because the rows of
// dY and X of one objective alone make its weight gradient: dW_m = dY_mᵀ X_m.
//
// The path of a batch: Batch.Upload, Llama.Forward (forward.go), Llama.Backward
// (backward.go); or Llama.EvalLoss. Nothing here may be used from two
// goroutines at a time. Start reading at Llama.
package model

import (
	"fmt"
	"math"

	"concord/gpu"
	"concord/tensor"
)

// Weights says where the parameters are.
type Weights interface {
	// Weight is the parameter of that name, shaped as its Spec.
	Weight(name string) tensor.Tensor
}

// Gradients receives the parameters' gradients during Backward, one call per
// use and in the order of ParamSpecs, uses of tied embeddings first and last.
type Gradients interface {
	// Linear takes the gradient of a linear map's weight: objective m's is
	// dy_mᵀ x_m over the tokens of segment m, dy (N, R), x (N, C). Both may be
	// overwritten once it returns.
	Linear(name string, dy, x tensor.Tensor, seg tensor.Segments)
	// Use takes any other gradient. It calls write, once, with where the gradient
	// goes, in seg's or one segment, and with factor, (N, K), in which the gradient
	// is linear token by token: what write gets may be scaled and must be used.
	Use(name string, factor tensor.Tensor, seg tensor.Segments, write func(factor tensor.Tensor, to tensor.Target))
}

// Dims are the sizes a model's buffers are made for.
type Dims struct {
	Rows, SeqLen int // N = Rows·SeqLen tokens per batch
	LogitsChunk  int // tokens per chunk of logits; 0 = as many as fit (see tensor.NewLinearCrossEntropy)
	Objectives   int // M, 0 = 1
	// ForwardOnly saves no activations: EvalLoss, Score and decoding work in the
	// memory of one layer, Backward panics.
	ForwardOnly bool
}

// Llama is a model with its activations for batches of one size.
type Llama struct {
	Config Config
	Dims   Dims
	// Loss (1, N) float32 holds the tokens' negative log-likelihoods in nats,
	// 0 where the label is ignored, after Backward or EvalLoss.
	Loss tensor.Tensor

	e      *tensor.Engine
	n      int // tokens per batch
	layers []layer
	embed  tensor.Tensor
	norm   tensor.Tensor
	head   tensor.Tensor // the embedding when tied
	rope   ropeTables
	saved  []activations   // per layer; all the same in a forward-only model
	x      []tensor.Tensor // L+1 residual streams: x[i] enters layer i; two alternating ones when forward only
	s      scratch
	back   *backScratch // nil when forward only
	loss   *tensor.LinearCrossEntropy
	owned  []tensor.Tensor

	scoring *Batch // Score's, made on first use
}

// layer is one decoder layer's parameters.
type layer struct{ inputNorm, q, k, v, o, postNorm, gate, up, down tensor.Tensor }

// activations are what Forward leaves for Backward, per layer. The normalised
// inputs and the SwiGLU product are cheap and are computed again.
type activations struct {
	q, k, v  tensor.Tensor // (N, H·D), (N, KV·D): q and k rotated
	att      tensor.Tensor // (N, H·D) attention's output
	lse      tensor.Tensor // (H, N)
	mid      tensor.Tensor // (N, C) residual stream behind attention
	gate, up tensor.Tensor // (N, F)
}

// scratch is shared by all layers.
type scratch struct {
	norm tensor.Tensor // (N, C) normalised input, or a projection before the residual sum
	rstd tensor.Tensor // (1, N)
	act  tensor.Tensor // (N, F) SwiGLU product
}

// ropeTables are cos and sin, (maxPos, D/2).
type ropeTables struct{ cos, sin tensor.Tensor }

// New allocates a model's activations for batches of d.Rows·d.SeqLen tokens.
// What w returns must have the shapes of ParamSpecs. The error is the device's
// (out of memory, say) or says which size does not fit.
func New(e *tensor.Engine, c Config, w Weights, d Dims) (*Llama, error) {
	d.Objectives = max(d.Objectives, 1)
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	if d.Rows < 1 || d.SeqLen < 1 || d.Rows > math.MaxInt32/d.SeqLen {
		return nil, fmt.Errorf("model: a batch of %d rows of %d tokens is impossible", d.Rows, d.SeqLen)
	}
	if d.SeqLen > c.MaxPositions {
		return nil, fmt.Errorf("model: sequences of %d tokens exceed the model's max_position_embeddings %d", d.SeqLen, c.MaxPositions)
	}
	if longest := tensor.MaxDocument(c.attention()); d.SeqLen > longest {
		return nil, fmt.Errorf("model: sequences of %d tokens exceed the %d that attention can do", d.SeqLen, longest)
	}
	m := &Llama{Config: c, Dims: d, e: e, n: d.Rows * d.SeqLen}
	if err := m.bind(w); err != nil {
		return nil, err
	}
	m.rope = m.newRope(d.SeqLen)
	m.allocate()
	if err := e.Dev.Err(); err != nil {
		m.Release()
		return nil, fmt.Errorf("model: activations of %d x %d tokens: %w", d.Rows, d.SeqLen, err)
	}
	return m, nil
}

// attention is the model's attention geometry.
func (c Config) attention() tensor.AttentionShape {
	return tensor.AttentionShape{Heads: c.Heads, KVHeads: c.KVHeads, HeadDim: c.HeadDim, Scale: float32(1 / math.Sqrt(float64(c.HeadDim)))}
}

// bind looks up the parameters and checks their shapes.
func (m *Llama) bind(w Weights) error {
	all := map[string]tensor.Tensor{}
	for _, s := range ParamSpecs(m.Config) {
		t := w.Weight(s.Name)
		if t.R != s.R || t.C != s.C {
			return fmt.Errorf("model: %s is %v, config.json asks for (%d,%d)", s.Name, t, s.R, s.C)
		}
		all[s.Name] = t
	}
	for i := range m.Config.Layers {
		get := func(name string) tensor.Tensor { return all[layerName(i, name)] }
		m.layers = append(m.layers, layer{
			inputNorm: get(inputNorm), q: get(qProj), k: get(kProj), v: get(vProj), o: get(oProj),
			postNorm: get(postNorm), gate: get(gateProj), up: get(upProj), down: get(downProj),
		})
	}
	m.embed, m.norm, m.head = all[embedName], all[normName], all[headName]
	if m.Config.TieWordEmbeddings {
		m.head = m.embed
	}
	return nil
}

func (m *Llama) new(role gpu.Role, label string, r, c int) tensor.Tensor {
	t := m.e.New(role, label, r, c)
	m.owned = append(m.owned, t)
	return t
}

func (m *Llama) newRope(positions int) ropeTables {
	half := m.Config.HeadDim / 2
	cos, sin := tensor.RoPETables(positions, m.Config.HeadDim, m.Config.RopeTheta, m.Config.RopeScaling)
	t := ropeTables{m.new(gpu.RoleData, "rope cos", positions, half), m.new(gpu.RoleData, "rope sin", positions, half)}
	if m.e.Dev.Err() == nil {
		m.e.Upload(t.cos, cos)
		m.e.Upload(t.sin, sin)
	}
	return t
}

func (m *Llama) allocate() {
	c, n := m.Config, m.n
	sets, streams := c.Layers, c.Layers+1
	if m.Dims.ForwardOnly {
		sets, streams = 1, 2
	}
	for range sets {
		m.saved = append(m.saved, m.newActivations(gpu.RoleActivations, n))
	}
	for range streams {
		m.x = append(m.x, m.new(gpu.RoleActivations, "residual", n, c.Hidden))
	}
	m.s = m.newScratch(n)
	m.Loss = m.new(gpu.RoleActivations, "loss", 1, n)
	if !m.Dims.ForwardOnly {
		m.back = m.newBackScratch()
	}
	m.loss = m.e.NewLinearCrossEntropy(n, c.Vocab, m.Dims.LogitsChunk)
}

func (m *Llama) newActivations(role gpu.Role, n int) activations {
	c := m.Config
	hd, kvd := c.Heads*c.HeadDim, c.KVHeads*c.HeadDim
	return activations{
		q: m.new(role, "q", n, hd), k: m.new(role, "k", n, kvd), v: m.new(role, "v", n, kvd),
		att: m.new(role, "attention", n, hd), lse: m.new(role, "lse", c.Heads, n), mid: m.new(role, "mid", n, c.Hidden),
		gate: m.new(role, "gate", n, c.FFN), up: m.new(role, "up", n, c.FFN),
	}
}

func (m *Llama) newScratch(n int) scratch {
	return scratch{
		norm: m.new(gpu.RoleScratch, "norm", n, m.Config.Hidden),
		rstd: m.new(gpu.RoleScratch, "rstd", 1, n),
		act:  m.new(gpu.RoleScratch, "swiglu", n, m.Config.FFN),
	}
}

// Release frees the activations, not the weights.
func (m *Llama) Release() {
	for _, t := range m.owned {
		t.Buf.Release()
	}
	m.owned = nil
	if m.scoring != nil {
		m.scoring.Release()
		m.scoring = nil
	}
	if m.loss != nil {
		m.loss.Release()
		m.loss = nil
	}
}
