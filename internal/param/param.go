// Package param declares the parameters of a model: kind, place and shape of
// each. Buckets, optimizer, files and exchange go by these and never by the
// spelling of a parameter's name.
package param

import "fmt"

// Kind is the part that a parameter plays. Its zero value is none of them.
type Kind uint8

// The kinds.
const (
	Linear    Kind = iota + 1 // weight of a linear map y = x Wᵀ, (out, in)
	Norm                      // scale of a norm, a vector
	Bias                      // additive, a vector
	Embedding                 // rows looked up by token or position
	Head                      // rows multiplied by the last hidden state; not there in a model with tied embeddings
)

var names = [...]string{Linear: "linear", Norm: "norm", Bias: "bias", Embedding: "embedding", Head: "head"}

// Valid says that k is one of the kinds.
func (k Kind) Valid() bool { return k >= Linear && k <= Head }

// Vector says that parameters of kind k are vectors, R = 1: they have one
// dimension in files, do not decay and are no bucket of their own.
func (k Kind) Vector() bool { return k == Norm || k == Bias }

func (k Kind) String() string {
	if !k.Valid() {
		return fmt.Sprintf("kind %d", uint8(k))
	}
	return names[k]
}

// NoLayer is the Layer of a parameter outside the decoder layers.
const NoLayer = -1

// Spec declares one parameter.
type Spec struct {
	Name  string // unique; as Hugging Face spells it
	Kind  Kind
	Layer int // decoder layer, 0 first, or NoLayer
	R, C  int // (out, in) of a linear map, (rows, width) of an embedding; a vector has R = 1
	// Uses is how many times the forward pass uses it, and so how many writes make
	// its gradient: 2 for embeddings tied to the head. 0 means 1.
	Uses int
	// PerToken is how many rows of its width one use takes of a token: of a norm by
	// head, the heads. 0 means 1.
	PerToken int
	// Frozen says that it is not trained: it has weights, and neither a gradient nor
	// a place in a bucket.
	Frozen bool
}

// Size is the number of values.
func (s Spec) Size() int { return s.R * s.C }

// Width is the values of a token's row that the gradient of one use is linear in,
// where the parameter is no linear map.
func (s Spec) Width() int { return s.C * max(s.PerToken, 1) }

// Shared says that several uses make the gradient together, the first of them
// early in the backward pass and the last one late.
func (s Spec) Shared() bool { return s.Uses > 1 }

// Dims is the shape that files have: vectors have one dimension.
func (s Spec) Dims() []int {
	if s.Kind.Vector() {
		return []int{s.C}
	}
	return []int{s.R, s.C}
}

// Check names the fault of s.
func (s Spec) Check() error {
	switch {
	case s.R < 1 || s.C < 1:
		return fmt.Errorf("parameter %s has the shape (%d,%d)", s.Name, s.R, s.C)
	case !s.Kind.Valid():
		return fmt.Errorf("parameter %s is declared without a kind", s.Name)
	case s.Kind.Vector() && s.R != 1:
		return fmt.Errorf("parameter %s is a %s, a vector, and has the shape (%d,%d)", s.Name, s.Kind, s.R, s.C)
	case s.Layer < NoLayer:
		return fmt.Errorf("parameter %s is declared in layer %d", s.Name, s.Layer)
	}
	return nil
}
