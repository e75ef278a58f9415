// Package moo turns the Gram matrix of the objectives' gradients into the
// weights of a combined gradient: gradient-based multi-objective optimisation
// in Gram space. Float64 on the CPU; it knows nothing of GPUs or of buckets.
//
// Notation: M objectives, J the (M, N) matrix whose row m is the gradient of
// objective m's mean loss, G = J Jᵀ its Gram. A method returns weights w; the
// combined gradient is d = Jᵀ w, to be followed as θ ← θ − lr·d. Two objectives
// are in conflict where their gradients' inner product is negative; d is
// non-conflicting where ⟨g_m, d⟩ ≥ 0 for every m, that is G w ≥ 0.
//
// New makes a method from its name and options, Solve applies it to a Gram with
// the edge cases (zero, non-finite, single rows; extreme scales) taken care of,
// Methods documents them all. Every method is one file, which states its rule,
// paper and its guarantees, and one line of the registry (registry.go).
//
// Weights are deterministic: a pure function of the Input, bit for bit, on one
// platform. Nothing here keeps state or global variables; everything is safe for
// concurrent use. Start reading at solve.go.
package moo

import "gonum.org/v1/gonum/mat"

// Input is one bucket's resolution problem.
type Input struct {
	G          *mat.SymDense // (M, M) Gram; rows may be zero or non-finite, Solve sees to them
	Losses     []float64     // the objectives' latest losses (M, > 0; NaN where not known), or nil
	Before     []float64     // losses of the last step's batch before its update (M; NaN where not known), or nil
	After      []float64     // and after it; only methods with SameBatch look at the two
	Tokens     []float64     // size of the objectives' training data (M), or nil
	StepTokens []float64     // supervised tokens of this step (M), or nil
	Preference []float64     // u, M values > 0, scaled to sum to 1 by Solve; nil means 1/M each
	Seed       uint64        // Seed, Step and Bucket key the counter-based randomness
	Step       int64
	Bucket     int
	State      State // Result.State of the same bucket's last call; zero at first

	root float64 // √ of the trace that Solve divided G by, for methods whose scale it decides
}

// Result is a method's answer.
type Result struct {
	Weights     []float64          // M
	Diagnostics map[string]float64 // iterations, residuals, … by name
	State       State              // to be given to the next call; zero for methods without
}

// State is the values that a method carries from one step to the next in one bucket. It is
// a value: methods return a new one and never change the one they were given.
// All numbers are finite, so that it survives JSON bit for bit.
type State struct {
	Scalar    map[string]float64   `json:"scalar,omitempty"`
	Objective map[string][]float64 `json:"objective,omitempty"` // M values each
	Pair      map[string][]float64 `json:"pair,omitempty"`      // M·M values each, row-major
}

// Needs says which inputs a method's weights depend on, and so the cost of a step.
type Needs string

// The inputs that a method may need.
const (
	NeedsNothing Needs = "nothing" // known before the step: no rows are kept
	NeedsLosses  Needs = "losses"  // losses of earlier steps: no rows are kept
	NeedsGram    Needs = "gram"    // the Gram matrix of every bucket
	NeedsRows    Needs = "rows"    // element by element, on the device: see Elementwise
)

// Method maps a Gram to weights. Implementations are safe for concurrent use
// unless their documentation says that they keep state.
type Method interface {
	// Name is the method's name in run files ("pcgrad").
	Name() string
	// Weights solves for an Input that Solve has prepared: finite positive
	// semidefinite G up to rounding, trace 1, no zero row, M ≥ 2, Preference
	// given with sum 1, Losses of M values or nil. It must not change in and
	// must return weights that do not depend on the scale of G, which Solve has
	// changed.
	Weights(in Input) (Result, error)
}

// Elementwise is implemented by the methods that need rows: they are not a
// weighted sum of gradients, but work element by element on the device.
type Elementwise interface {
	Method
	// Rule is the formula that the device computes.
	Rule() ElementRule
}

// ElementRule is an element-wise combination of the rows of the active
// objectives, n of them.
type ElementRule struct {
	Kind ElementKind
	Leak float64 // GradDrop's: the share of the dropped values that passes all the same, in [0, 1]
	Trim int     // TrimmedMean's: values left out at either end, 2·Trim < n or as many as leave one
}

// ElementKind names the rule.
type ElementKind string

// The element-wise rules, both on the scale of a mean.
const (
	GradDrop    ElementKind = "graddrop"
	TrimmedMean ElementKind = "trimmedmean"
)
