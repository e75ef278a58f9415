// Package model is the decoder-only transformer of several families: its
// configuration, its parameters under their Hugging Face names, forward and
// backward on a tensor.Engine, scoring and generation with a key-value cache,
// and reading and writing the Hugging Face folder layout.
//
// A layer is an object with its forward and backward side by side and the
// formula above them: linear.go, norm.go, attention.go, mlp.go, embedding.go,
// composed by block.go. A family is a row of the table of differences in
// families.go; network.go makes the layers of a configuration. Others know a
// model by the interface Model.
//
// The model does not own its parameters: Weights says where they lie, Gradients
// where their gradients go (package bucket implements both; a test can do it in
// a few lines). A batch is N tokens sorted by objective (language); one backward
// pass gives the gradient of each objective separately, because the rows of
// dY and X of one objective alone make its weight gradient: dW_m = dY_mᵀ X_m.
//
// The path of a batch: Batch.Upload, Model.Forward, Model.Backward; or
// Model.EvalLoss. Nothing here may be used from two goroutines at a time. Start
// reading at Model and block.
package model

import (
	"fmt"
	"math"
	"slices"

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
	// is linear token by token: the rows that write gets may be scaled and must be used.
	Use(name string, factor tensor.Tensor, seg tensor.Segments, write func(factor tensor.Tensor, to tensor.Target))
}

// LateGradients are Gradients that may ask for those of the large parameters outside
// the layers at the end of Backward, when all memory that Reusable lists is free.
type LateGradients interface {
	Gradients
	// Late says that the gradient of the parameter called name is given to TakeLate,
	// once for all of its uses and after those of all others.
	Late(name string) bool
	// TakeLate calls write with where the gradient goes: parts that make all its rows.
	TakeLate(name string, seg tensor.Segments, write func(parts []tensor.Part))
	// ByTokens says that TakeTokens gets it instead: as a sum over tokens, which
	// refers to memory that nothing else uses until the next Forward.
	ByTokens(name string) bool
	TakeTokens(name string, seg tensor.Segments, v tensor.Vocabulary)
}

// Dims are the sizes a model's buffers are made for.
type Dims struct {
	Rows, SeqLen int // N = Rows·SeqLen tokens per batch
	LogitsChunk  int // tokens per chunk of logits; 0 = as many as fit (see tensor.NewLinearCrossEntropy)
	Objectives   int // M, 0 = 1
	// ForwardOnly saves no activations: EvalLoss, Score and decoding work in the
	// memory of one layer, Backward panics.
	ForwardOnly bool
	// Checkpointing saves of a layer only its input: Backward does the layer's forward
	// again from it, with the same bits (arXiv:1604.06174).
	Checkpointing bool
	// LateHead keeps the tensors that Backward needs to take the gradient of the embedding and the
	// head at its end, of Gradients that are LateGradients: Reusable lists none of it.
	LateHead bool
	Seed     uint64 // of the masks of an adapter's dropout
	// Again lets Backward be called several times after one Forward, as M backward passes are in
	// other frameworks: an MLP's gradients then take memory of their own. Reusable lends none.
	Again bool
	// Frozen says which parameters' gradients Backward does not take; nil = none.
	// Layers below the last one with others are then left out of it.
	Frozen func(Spec) bool
}

// Model is a model with its activations for batches of one size.
type Model interface {
	Dims() Dims
	// Loss (1, N) float32 holds the tokens' negative log-likelihoods in nats,
	// 0 where the label is ignored, after Backward or EvalLoss.
	Loss() tensor.Tensor
	// NewBatch allocates the buffers of a batch.
	NewBatch() *Batch
	// Forward records the layers of a batch: from token ids to the input of the
	// final norm, leaving the activations that Backward needs. An adapter's dropout is that of
	// the tokens' numbers. The loss is
	// Backward's or EvalLoss's business, where the head is fused with it.
	Forward(b *Batch)
	// ForwardEach is Forward that shows the residual stream, (N, C): layer 0 is the
	// embedding, layer i the output of the i-th decoder layer. Changes that visit makes to
	// x must be recorded when it returns, as the next layers may overwrite it. nil
	// shows nothing.
	ForwardEach(b *Batch, visit func(layer int, x tensor.Tensor))
	// Backward records the losses of the batch that Forward saw, into Loss, and the
	// gradient of Σ Scale·Loss over each objective's tokens by every parameter. The
	// gradients of the activations are computed once for all objectives; only those
	// of the parameters are split. Parameters complete in the order of ParamSpecs.
	//
	// losses, if not nil, is called once, when the losses have been recorded and before
	// any gradient is complete: from then on they can be read, which a caller that resolves
	// the head's gradient may need at once.
	Backward(b *Batch, g Gradients, losses func())
	// EvalLoss records the forward pass and the losses of a batch into Loss, without
	// dropout. It overwrites the activations of Forward.
	EvalLoss(b *Batch)
	// Score returns the negative log-likelihood, in nats, of each of ids[1:] given
	// the ids before it: len(ids)-1 values, independent of the model's batch size.
	// It overwrites the activations of Forward. At most Dims.SeqLen ids.
	Score(ids []uint32) ([]float32, error)
	// NewDecoder allocates a key-value cache for contexts of up to maxLen tokens.
	NewDecoder(maxLen int) (*Decoder, error)
	// Reusable lists, by parameter, memory that Backward no longer needs from the
	// moment it asks for that parameter's gradient until the next Forward: the
	// logits' chunk after the head, and the activations that it is done with.
	Reusable() map[string][]gpu.View
	// Release frees the activations, not the weights.
	Release()
}

// transformer implements Model.
type transformer struct {
	*network
	memory
	config Config
	dims   Dims

	n       int // tokens per batch
	ropes   []ropeTables
	saved   []*activations  // per layer; one for all in a forward-only model and with checkpointing
	x       []tensor.Tensor // L+1 residual streams: x[i] enters layer i; two alternating ones when forward only
	s       *scratch
	back    *backScratch // nil when forward only
	loss    tensor.Tensor
	fresh   bool            // no Backward has overwritten the activations of Forward
	factors tensor.Tensor   // (1, N) of the embedding, in some families
	kept    []tensor.Tensor // see keepNorm

	scoring *Batch // Score's, made on first use
}

// New allocates a model's activations for batches of d.Rows·d.SeqLen tokens.
// The tensors that w returns must have the shapes of ParamSpecs. The error is the device's
// (out of memory, say) or says which size does not fit.
func New(e *tensor.Engine, c Config, w Weights, d Dims) (Model, error) {
	m, err := newTransformer(e, c, w, d)
	if err != nil {
		return nil, err // not a typed nil
	}
	return m, nil
}

func newTransformer(e *tensor.Engine, c Config, w Weights, d Dims) (*transformer, error) {
	d.Objectives = max(d.Objectives, 1)
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	if err := c.CheckAdapter(); err != nil {
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
	m := &transformer{network: newNetwork(c), memory: memory{e: e}, config: c, dims: d, n: d.Rows * d.SeqLen}
	if err := bind(m.params(), w, d.Frozen); err != nil {
		return nil, err
	}
	m.allocate()
	if err := e.Dev.Err(); err != nil {
		m.Release()
		return nil, fmt.Errorf("model: activations of %d x %d tokens: %w", d.Rows, d.SeqLen, err)
	}
	return m, nil
}

func (m *transformer) allocate() {
	c, n := m.config, m.n
	m.ropes = newRopes(&m.memory, c, m.dims.SeqLen)
	m.factors = m.embedding.newFactors(&m.memory, n)
	sets, streams := c.Layers, c.Layers+1
	switch {
	case m.dims.ForwardOnly:
		sets, streams = 1, 2
	case m.dims.Checkpointing:
		sets = 1
	}
	for range sets {
		m.saved = append(m.saved, newActivations(&m.memory, c, n))
	}
	for range streams {
		m.x = append(m.x, m.new(gpu.RoleActivations, "residual", n, c.Hidden))
	}
	m.s = newScratch(&m.memory, c, n)
	m.loss = m.new(gpu.RoleActivations, "loss", 1, n)
	if !m.dims.ForwardOnly {
		m.back = newBackScratch(&m.memory, c, n, m.dims.Again)
	}
	m.head.allocate(m.e, n, m.dims.LogitsChunk)
	m.adapters.allocate(&m.memory, n, !m.dims.ForwardOnly, m.dims.Seed)
}

func (m *transformer) Dims() Dims { return m.dims }

func (m *transformer) Loss() tensor.Tensor { return m.loss }

// stream is the residual stream that enters layer i.
func (m *transformer) stream(i int) tensor.Tensor { return m.x[i%len(m.x)] }

func (m *transformer) activations(i int) *activations { return m.saved[i%len(m.saved)] }

func (m *transformer) Forward(b *Batch) { m.ForwardEach(b, nil) }

func (m *transformer) ForwardEach(b *Batch, visit func(layer int, x tensor.Tensor)) {
	defer m.adapters.dropping(b)()
	m.layers(b, visit)
}

// layers is ForwardEach; values are left out by dropout where its caller says so.
func (m *transformer) layers(b *Batch, visit func(layer int, x tensor.Tensor)) {
	m.e.Dev.Span("forward")
	m.fresh = true
	m.adapters.prepare(m.e)
	m.embedding.forward(m.e, m.x[0], b.ids, b.pos, m.factors, m.s.norm)
	if visit != nil {
		visit(0, m.x[0])
	}
	for i, l := range m.blocks {
		a := m.activations(i)
		l.forward(m.e, m.stream(i+1), m.stream(i), a, m.s, m.attend(l, b, a))
		if visit != nil {
			visit(i+1, m.stream(i+1))
		}
	}
}

// attend is the forward of l's attention over the batch.
func (m *transformer) attend(l *block, b *Batch, a *activations) func(y, x tensor.Tensor) {
	return func(y, x tensor.Tensor) { l.attention.forward(m.e, y, x, b, m.ropes, a) }
}

func (m *transformer) EvalLoss(b *Batch) {
	m.layers(b, nil)
	m.norm.forward(m.e, m.s.norm, m.stream(len(m.blocks)), m.s.stats)
	m.head.forward(m.e, m.s.norm, b, m.loss)
}

func (m *transformer) Backward(b *Batch, g Gradients, losses func()) {
	if m.back == nil {
		panic("model: backward on a forward-only model")
	}
	if !m.fresh && !m.dims.Again {
		panic("model: a second backward pass after one forward pass needs Dims.Again")
	}
	defer m.adapters.dropping(b)()
	m.e.Dev.Span("backward")
	p, last := backPass{m.e, b, g}, m.stream(len(m.blocks))
	m.norm.forward(m.e, m.s.norm, last, m.s.stats)
	if p.late(m.head.weight) {
		m.keepNorm()
	}
	m.head.backward(p, m.back.dnorm, m.s.norm, m.loss, losses)
	m.norm.backward(p, m.back.dx, m.back.dnorm, last, m.s.stats, false)
	for i := len(m.blocks) - 1; i >= m.lowest(); i-- {
		m.restore(i, b)
		s := *m.s
		s.act = m.hidden(i)
		m.blocks[i].backward(p, m.stream(i), m.ropes, m.spared(m.activations(i)), &s, m.back)
	}
	m.fresh = false
	if m.lowest() == 0 {
		m.embedding.backward(p, m.back.dx, m.factors)
	}
	m.backwardLate(p)
}

// lowest is the first block with a parameter that is trained, 0 where the embedding is.
func (m *transformer) lowest() int {
	if anyTrained(m.embedding.params()) {
		return 0
	}
	for i, l := range m.blocks {
		if anyTrained(l.params()) {
			return i
		}
	}
	return len(m.blocks)
}

func anyTrained(ps []*parameter) bool {
	return slices.ContainsFunc(ps, func(p *parameter) bool { return !p.Frozen })
}

func (m *transformer) Release() {
	m.release()
	if m.scoring != nil {
		m.scoring.Release()
		m.scoring = nil
	}
	if m.head.loss != nil {
		m.head.loss.Release()
		m.head.loss = nil
	}
}
