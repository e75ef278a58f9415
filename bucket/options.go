package bucket

import (
	"gonum.org/v1/gonum/mat"

	"concord/gpu"
	"concord/moo"
	"concord/tensor"
)

// Problem is one group's resolution: the raw Gram matrix of its objectives'
// gradients. Rows may be zero or non-finite, and must get weight 0.
type Problem struct {
	Group int           // index in Layout.Groups
	G     *mat.SymDense // (M, M)
	// Halves is the (2M, 2M) Gram of the gradients of the objectives' halves, 2m
	// and 2m+1, which add up to row m; nil without Options.Halves.
	Halves *mat.SymDense
}

// Solution is how a group's gradients become one.
type Solution struct {
	Weights  []float64    // M: the combined gradient is Σ wₘ gₘ; nil when Elements is given
	Elements *Elementwise // instead: element by element
}

// Elementwise combines the rows of the objectives in Used element by element.
type Elementwise struct {
	Rule moo.ElementRule
	Used []int     // objectives with a finite gradient that is not zero, ascending
	Key  [2]uint32 // of the rule's random draws
}

// Solver decides how every group is resolved. It is called from the goroutine of
// the backward pass.
type Solver interface {
	// StaticWeights are the group's weights in this step where they do not depend on its
	// gradients, or nil. The group then keeps no rows and costs no Gram.
	StaticWeights(group int) []float64
	// Solve resolves a group whose Gram has been computed.
	Solve(p Problem) (Solution, error)
}

// MaxObjectives is the most objectives that a Gram kernel takes.
const MaxObjectives = 64

// Options say how groups are resolved.
type Options struct {
	Objectives int // M, at most MaxObjectives; with Halves at most half as many
	// Solver is nil for a method whose weights are part of the loss (mean,
	// static): the backward pass then writes the one combined gradient in place,
	// in one segment, and no rows exist.
	Solver Solver
	// InFlight is how many groups' rows may exist at once, besides those of groups
	// that stay open over the whole backward pass (tied embeddings): one is
	// written while the others are being resolved. 0 means 2, and 1 on a CPU
	// adapter, which has nothing to overlap.
	InFlight int
	// Tokens is N, the tokens of a micro-batch. Needed where Ghost or Static is.
	Tokens int
	// Ghost lists by yes or no the parameters whose Gram is computed from activations
	// instead of rows; nil means none. They must be asked for with Linear.
	Ghost func(Param) bool
	// Late picks the parameters whose rows are written in parts when the backward
	// pass is done, see late.go; nil means none. Steps of one micro-batch on one machine.
	Late func(Param) bool
	// ByTokens picks the ones among Late that keep no rows, see tokens.go; nil means none.
	ByTokens func(Param) bool
	// InTurn picks the ones among ByTokens of many tokens: their Gram comes from rows of some
	// of the vocabulary at a time. nil means none.
	InTurn func(Param) bool
	// Static says that Solver.StaticWeights may answer.
	Static bool
	// Halves cuts every objective's tokens in two, so that their Gram tells noise
	// from signal: the batch has 2M segments.
	Halves bool
	// Metric gives the step's metric for the Gram, nil is the Euclidean one.
	Metric func() tensor.AdamMetric
	// Update, unless nil, takes every gradient as soon as it is resolved: the store then
	// needs no Gradient. Steps have one micro-batch. Whole says that it, or the solver's
	// element-wise solutions, need a parameter's gradient in one piece.
	Update Updater
	Whole  bool
	// Reuse is memory that the backward pass no longer needs once it asks for the
	// gradient of the named parameter: rows are put there first. Used in steps of
	// one micro-batch only, as the next one's forward pass needs it again.
	Reuse map[string][]gpu.View
}
