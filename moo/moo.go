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
// paper and what it guarantees, and one line of the registry (registry.go).
//
// Weights are deterministic: a pure function of the Input, bit for bit, on one
// platform. Nothing here keeps state or global variables; everything is safe for
// concurrent use. Start reading at solve.go.
package moo

import "gonum.org/v1/gonum/mat"

// Input is one bucket's resolution problem.
type Input struct {
	G          *mat.SymDense // (M, M) Gram; rows may be zero or non-finite, Solve sees to them
	Losses     []float64     // the objectives' losses, or nil; no method here reads them yet
	Preference []float64     // u, M values > 0, scaled to sum to 1 by Solve; nil means 1/M each
	Seed       uint64        // Seed, Step and Bucket key the counter-based randomness
	Step       int64
	Bucket     int
}

// Result is a method's answer.
type Result struct {
	Weights     []float64          // M
	Diagnostics map[string]float64 // iterations, residuals, … by name
}

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
