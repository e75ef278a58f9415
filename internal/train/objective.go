package train

import (
	"fmt"
	"maps"
	"slices"

	"gonum.org/v1/gonum/mat"

	"concord/bucket"
	"concord/internal/config"
	"concord/moo"
)

// objective is how the languages' gradients become one: either fixed weights
// by language, which cost nothing, or a method that needs the Gram of every
// bucket.
type objective struct {
	name   string
	langs  []string
	method moo.Method // nil: fixed weights
	fixed  []float64  // by language, for mean and static
	seed   uint64
	step   int64 // the current step, keys the methods' randomness
}

// newObjective checks the run file's [objective].
func newObjective(cfg *config.Config, langs []string) (*objective, error) {
	o := &objective{name: cfg.Objective.Method, langs: langs, seed: cfg.Run.Seed}
	if err := bucket.CheckScope(cfg.Objective.Scope); err != nil {
		return nil, &config.Error{Where: cfg.Where("objective.scope"), Msg: err.Error(), Fix: `scope = "layer"`}
	}
	options := maps.Clone(cfg.Objective.Options)
	if o.name == "static" || o.name == "mean" {
		return o, o.fix(cfg)
	}
	if len(cfg.Objective.Weights) > 0 {
		return nil, &config.Error{Where: cfg.Where("objective.weights"), Msg: fmt.Sprintf("weights are for method \"static\", not %q", o.name), Fix: `method = "static"`}
	}
	if len(langs) > bucket.MaxObjectives {
		return nil, &config.Error{Where: cfg.Where("objective.method"), Msg: fmt.Sprintf("%d languages; method %q takes up to %d", len(langs), o.name, bucket.MaxObjectives), Fix: `method = "mean"`}
	}
	m, err := moo.New(o.name, moo.ForTraining(o.name, options))
	if err != nil {
		e := &config.Error{Where: cfg.Where("objective.method"), Msg: err.Error()}
		for _, k := range slices.Sorted(maps.Keys(options)) { // the message names the option; any of them leads to the place
			e.Where, e.Fix = cfg.Where("objective.options."+k), "concord moo methods  # lists every option"
		}
		return nil, e
	}
	o.method = m
	return o, nil
}

// fix sets the weights of mean and static, which sum to one.
func (o *objective) fix(cfg *config.Config) error {
	if o.name == "mean" && len(cfg.Objective.Weights) > 0 {
		return &config.Error{Where: cfg.Where("objective.weights"), Msg: `weights are for method "static", not "mean"`, Fix: `method = "static"`}
	}
	if len(cfg.Objective.Options) > 0 {
		return &config.Error{Where: cfg.Where("objective.options"), Msg: fmt.Sprintf("method %q has no options", o.name), Fix: "remove them; the weights of static go in [objective.weights], by language"}
	}
	sum := 0.0
	o.fixed = make([]float64, len(o.langs))
	for i, l := range o.langs {
		w, given := cfg.Objective.Weights[l]
		switch {
		case o.name == "mean":
			w = 1
		case !given:
			return &config.Error{Where: cfg.Where("objective.weights"), Msg: fmt.Sprintf("method \"static\" needs a weight for %q", l), Fix: "weights = {" + l + " = 1.0, …}"}
		case !(w >= 0) || w > 1e9:
			return &config.Error{Where: cfg.Where("objective.weights." + l), Msg: fmt.Sprintf("weight %v is outside 0 … 1e9", w), Fix: l + " = 1.0"}
		}
		o.fixed[i] = w
		sum += w
	}
	if sum == 0 {
		return &config.Error{Where: cfg.Where("objective.weights"), Msg: "all weights are zero", Fix: o.langs[0] + " = 1.0"}
	}
	for i := range o.fixed {
		o.fixed[i] /= sum
	}
	return nil
}

// solver is the callback for bucket.Resolver, nil for fixed weights.
func (o *objective) solver() bucket.Solver {
	if o.method == nil {
		return nil
	}
	return func(b int, g *mat.SymDense) ([]float64, error) {
		r, err := moo.Solve(o.method, moo.Input{G: g, Seed: o.seed, Step: o.step, Bucket: b})
		if err != nil {
			return nil, fmt.Errorf("%s, bucket %d: %w", o.name, b, err)
		}
		return r.Weights, nil
	}
}

// scales is ∂objective/∂loss of a token, by language: 1/n for rows, whose
// combination comes later, and weight/n for fixed weights, which are
// renormalised over the languages that have tokens in the step.
func (o *objective) scales(supervised []int) []float32 {
	out := make([]float32, len(supervised))
	sum := 0.0
	for m, n := range supervised {
		if n > 0 && o.fixed != nil {
			sum += o.fixed[m]
		}
	}
	for m, n := range supervised {
		switch {
		case n == 0:
		case o.fixed == nil:
			out[m] = float32(1 / float64(n))
		case sum > 0:
			out[m] = float32(o.fixed[m] / sum / float64(n))
		}
	}
	return out
}

// objectives is the number of gradient rows the backward pass makes.
func (o *objective) objectives() int {
	if o.method == nil {
		return 1
	}
	return len(o.langs)
}
