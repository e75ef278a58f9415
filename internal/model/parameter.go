package model

import (
	"fmt"

	"concord/gpu"
	"concord/internal/param"
	"concord/tensor"
)

// Spec declares one parameter, by its Hugging Face name.
type Spec = param.Spec

// parameter is a declared parameter; t is where it lies once the model is bound.
type parameter struct {
	Spec
	t tensor.Tensor
	// file is the tensor of the family's files that holds it: of its own name, or
	// of several parameters' rows one after the other.
	file       string
	transposed bool    // in the file, (in, out)
	initial    float32 // of a norm or bias in a model with random weights
	drawn      bool    // of an adapter: it begins with random values, the others with zeros
	normal     bool    // of an embedding's adapter: it begins with values of N(0, 1)
	adapter    bool    // it is an adapter's, which has a file of its own
}

// ParamSpecs lists the parameters in the order in which Backward completes
// their gradients: head, final norm, layers from last to first, embedding.
func ParamSpecs(c Config) []Spec {
	var out []Spec
	for _, p := range newNetwork(c).params() {
		out = append(out, p.Spec)
	}
	return out
}

// TokenTable is the name of the embedding of tokens, which learned positions are not.
func TokenTable(c Config) string { return newNetwork(c).embedding.table.Name }

// TokenMatrices are the names of the embedding of tokens and of the head, which may be one.
func TokenMatrices(c Config) []string {
	n := newNetwork(c)
	return []string{n.embedding.table.Name, n.head.weight.Name}
}

// Parameters is the number of the model's values without an adapter; tied ones count
// once.
func (c Config) Parameters() int64 {
	n := int64(0)
	for _, p := range newNetwork(c).params() {
		if !p.adapter {
			n += int64(p.R) * int64(p.C)
		}
	}
	return n
}

// bind looks the parameters up in w, checks their shapes and marks those that are
// frozen besides the base of an adapter; nil = none.
func bind(ps []*parameter, w Weights, frozen func(Spec) bool) error {
	for _, p := range ps {
		p.Frozen = p.Frozen || frozen != nil && frozen(p.Spec)
		t := w.Weight(p.Name)
		if t.R != p.R || t.C != p.C {
			return fmt.Errorf("model: %s is %v, %s asks for (%d,%d)", p.Name, t, ConfigFile, p.R, p.C)
		}
		p.t = t
	}
	return nil
}

// backPass has the things that the layers' backward works with: where operations are
// recorded, the batch, and where parameters' gradients go.
type backPass struct {
	e *tensor.Engine
	b *Batch
	g Gradients
}

// linear takes the gradient of a linear map's weight: dW_m = dY_mᵀ X_m.
func (p backPass) linear(w *parameter, dy, x tensor.Tensor) {
	if w.Frozen {
		return
	}
	p.g.Linear(w.Name, dy, x, p.b.Segments)
}

// use takes any other gradient, see Gradients.Use; write is not called for frozen
// parameters.
func (p backPass) use(w *parameter, factor tensor.Tensor, write func(factor tensor.Tensor, to tensor.Target)) {
	if w.Frozen {
		return
	}
	p.g.Use(w.Name, factor, p.b.Segments, write)
}

// memory allocates the tensors that a model or a decoder owns.
type memory struct {
	e     *tensor.Engine
	owned []tensor.Tensor
}

func (m *memory) new(role gpu.Role, label string, r, c int) tensor.Tensor {
	t := m.e.New(role, label, r, c)
	m.owned = append(m.owned, t)
	return t
}

// constants are n times value, (1, n).
func (m *memory) constants(label string, n int, value float32) tensor.Tensor {
	t, values := m.new(gpu.RoleData, label, 1, n), make([]float32, n)
	for i := range values {
		values[i] = value
	}
	if m.e.Dev.Err() == nil {
		m.e.Upload(t, values)
	}
	return t
}

func (m *memory) release() {
	for _, t := range m.owned {
		t.Buf.Release()
	}
	m.owned = nil
}
