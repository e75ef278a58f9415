package objective

import "concord/moo"

// Options say how the tasks' gradients become one.
type Options struct {
	Langs  []string  // the tasks
	Tokens []float64 // supervised training tokens by language
	Seed   uint64
	// Shared: the groups' owners on many machines solve, and rows exist of every
	// parameter, one per language. The tokens that arrived of each are then known, and the rest can
	// be made up for.
	Shared bool
	// LocalResolve: each machine resolves its own languages.
	LocalResolve bool
	BatchTokens  int // of a micro-batch, padding included

	Method        string
	MethodOptions map[string]any
	Weights       map[string]float64 // of method moo.Static, by language
	Preferences   map[string]float64 // by language; 1 where none is given
	Overrides     []Override
	Wrapping      moo.Wrapping // around every method that looks at gradients
	Every, Warmup int          // steps between solutions, and before the first
	AdamMetric    bool         // the Gram is in the optimizer's metric
	Gram          Gram
	Noise         Noise
	InFlight      int // groups whose rows may exist at one time; 0: chosen
}

// Override is another method for some parameters.
type Override struct {
	Match   string // names it
	Fits    func(param string) bool
	Method  string
	Options map[string]any
}

// Gram is how linear layers' Gram matrices are computed.
type Gram int

// The ways.
const (
	GramAuto  Gram = iota // by the lower cost
	GramRows              // from gradient rows
	GramGhost             // without them
)

// Noise is about the part of a language's gradient that is chance.
type Noise struct {
	Halves bool    // measured, from two halves of each language's tokens
	Debias bool    // taken out of the Gram's diagonal
	EMA    float64 // share of the earlier steps in the estimate
	Floor  float64 // least share of the diagonal that is left
}

// MetricName is the metric of the Gram in records.
func (o *Options) MetricName() string {
	if o.AdamMetric {
		return "adam"
	}
	return "euclidean"
}
