// Package objective is how the tasks' gradients become one: it makes the options of
// [objective] the solver of a bucket.Resolver, with methods of package moo,
// and keeps the state that they carry from step to step. A task is a language. Start reading
// at Objective; solve.go is a step. Nothing in it is safe for concurrent use.
package objective

import (
	"fmt"
	"maps"
	"slices"

	"concord/bucket"
	"concord/internal/fault"
	"concord/moo"
	"concord/tensor"
)

// Objective is how the languages' gradients become one: a rule for most
// parameters, and others for those that [[objective.override]] names. It implements
// bucket.SharedSolver.
type Objective struct {
	opt        Options
	langs      []string
	rules      []rule // rules[0] is the run's, the others are the overrides' in their order
	preference []float64
	tokens     []float64 // supervised training tokens by language

	step       int64 // the current step, keys the methods' randomness
	supervised []int // its tokens by language

	groups  []bucket.ResolveGroup
	byGroup []groupState
	losses  []float64                 // of the latest step that had the language, NaN before; for static weights
	batch   batchLosses               // of a batch around its update, for methods that look at them
	applied []float64                 // the weights by language that the step's loss has; nil where rows are resolved
	now     func() ([]float64, error) // this step's losses, for methods that solve within it
	shared  bool                      // the groups' owners on many machines solve
	saved   []groupState              // shared: the groups' states before the step
	halves  []int                     // supervised tokens of this step by half-language, with noise.halves
}

// rule is one method with the settings that the run file wraps around it.
type rule struct {
	group  string // bucket.Param.Rule
	name   string
	method moo.Method // wrapped
	needs  moo.Needs
	same   bool // the method looks at the losses of the step's own batch
}

// groupState is the state that a resolve group carries from step to step.
type groupState struct {
	State   moo.State `json:"state"`
	Weights []float64 `json:"weights,omitempty"` // as last solved, for objective.every
	Signal  []float64 `json:"signal,omitempty"`  // by language: share of |g|² that is not noise; 0 = not known
}

// New checks the options. Errors are *fault.Setting.
func New(opt Options) (*Objective, error) {
	o := &Objective{opt: opt, langs: opt.Langs, tokens: opt.Tokens, losses: Unknown(len(opt.Langs)), shared: opt.Shared}
	if err := o.addRules(); err != nil {
		return nil, err
	}
	o.preference = make([]float64, len(o.langs))
	for i, l := range o.langs {
		o.preference[i] = 1
		if u, ok := opt.Preferences[l]; ok {
			o.preference[i] = u
		}
	}
	return o, o.check()
}

// addRules makes the run's rule and those of the overrides.
func (o *Objective) addRules() error {
	options, err := o.options()
	if err != nil {
		return err
	}
	r, err := o.newRule("objective", o.opt.Method, options)
	if err != nil {
		return err
	}
	o.rules = []rule{r}
	for i, v := range o.opt.Overrides {
		key := fmt.Sprintf("objective.override.%d", i)
		if r, err = o.newRule(key, v.Method, v.Options); err != nil {
			return err
		}
		r.group = v.Match
		if slices.ContainsFunc(o.rules, func(x rule) bool { return x.group == r.group }) {
			return &fault.Setting{Key: key + ".match", Msg: fmt.Sprintf("%q is named twice", v.Match),
				Fix: "one [[objective.override]] for each pattern"}
		}
		o.rules = append(o.rules, r)
	}
	return nil
}

// options are those of the run's method; static weights are among them.
func (o *Objective) options() (map[string]any, error) {
	switch {
	case o.opt.Method == moo.Static:
		weights, err := o.staticWeights()
		if err != nil {
			return nil, err
		}
		if _, given := o.opt.MethodOptions["weights"]; given {
			return nil, &fault.Setting{Key: "objective.options.weights", Msg: "the weights of static are given by language",
				Fix: "[objective.weights], e.g. " + o.langs[0] + " = 1.0"}
		}
		return map[string]any{"weights": weights}, nil
	case len(o.opt.Weights) > 0:
		return nil, &fault.Setting{Key: "objective.weights", Msg: fmt.Sprintf("weights are for method %q, not %q", moo.Static, o.opt.Method),
			Fix: `method = "static"`}
	}
	return o.opt.MethodOptions, nil
}

// newRule makes a method from the settings under key.
func (o *Objective) newRule(key, name string, options map[string]any) (rule, error) {
	m, err := moo.New(name, moo.ForTraining(name, maps.Clone(options)))
	if err != nil {
		e := &fault.Setting{Key: key + ".method", Msg: err.Error()}
		for _, k := range slices.Sorted(maps.Keys(options)) { // the message names the option; any of them leads to the place
			e.Key, e.Fix = key+".options."+k, "concord moo methods  # lists every option"
		}
		return rule{}, e
	}
	info, ok := moo.Lookup(name)
	if !ok {
		return rule{}, &fault.Setting{Key: key + ".method", Msg: fmt.Sprintf("%q says nothing of what it needs", name),
			Fix: "concord moo methods"}
	}
	w := o.opt.Wrapping
	if info.Needs != moo.NeedsGram && info.Needs != moo.NeedsRows {
		w.Normalise, w.Project, w.Control = "", "", "" // it looks at no gradients; check refuses where no rule does
	}
	if m, err = moo.Wrap(m, w); err != nil {
		return rule{}, &fault.Setting{Key: key + ".method", Msg: err.Error(),
			Fix: "remove objective.normalise, objective.project, objective.control and objective.ema"}
	}
	return rule{name: name, method: m, needs: info.Needs, same: info.SameBatch}, nil
}

// staticWeights are [objective.weights] in the order of the languages.
func (o *Objective) staticWeights() ([]float64, error) {
	sum := 0.0
	out := make([]float64, len(o.langs))
	for i, l := range o.langs {
		w, given := o.opt.Weights[l]
		switch {
		case !given:
			return nil, &fault.Setting{Key: "objective.weights", Msg: fmt.Sprintf("method %q needs a weight for %q", moo.Static, l),
				Fix: "weights = {" + l + " = 1.0, …}"}
		case !(w >= 0) || w > 1e9:
			return nil, &fault.Setting{Key: "objective.weights." + l, Msg: fmt.Sprintf("weight %v is outside 0 … 1e9", w), Fix: l + " = 1.0"}
		}
		out[i] = w
		sum += w
	}
	if sum == 0 {
		return nil, &fault.Setting{Key: "objective.weights", Msg: "all weights are zero", Fix: o.langs[0] + " = 1.0"}
	}
	return out, nil
}

// check refuses settings that do not go together.
func (o *Objective) check() error {
	fail := func(key, msg, fix string) error { return &fault.Setting{Key: key, Msg: msg, Fix: fix} }
	opt, method, most := &o.opt, o.rules[0].name, bucket.MaxObjectives
	if opt.Noise.Halves {
		most /= 2
	}
	solves := func(n moo.Needs) bool { return slices.ContainsFunc(o.rules, func(r rule) bool { return r.needs == n }) }
	gram := solves(moo.NeedsGram)
	noGram := fmt.Sprintf("method %q computes no Gram", method)
	switch {
	case opt.Shared && o.SameBatch():
		return fail("objective.method", "\"famo\" measures the losses of one batch before and after its update, which no machine of several "+
			"has whole",
			`method = "famo-lagged"`)
	case opt.LocalResolve && opt.Noise.Halves:
		return fail("objective.noise.halves", "with cluster.resolve = \"local\" a machine has too little of a language to halve",
			"halves = false")
	case !o.Static() && len(o.langs) > most:
		return fail("objective.method", fmt.Sprintf("%d languages; method %q takes up to %d", len(o.langs), method, most), `method = "mean"`)
	case opt.Noise.Halves && solves(moo.NeedsRows):
		return fail("objective.noise.halves", "element-wise methods have no Gram to measure noise in", "halves = false")
	case opt.Noise.Halves && !gram:
		return fail("objective.noise.halves", noGram+" to measure noise in",
			"halves = false, or a method that needs the Gram (concord moo methods)")
	case opt.AdamMetric && !gram:
		return fail("objective.metric", noGram, `metric = "euclidean"`)
	case opt.Gram == GramGhost && opt.BatchTokens > tensor.GhostTokens:
		return fail("objective.gram", fmt.Sprintf("\"ghost\" takes up to %d tokens a step; batch.rows times batch.seq_len are %d",
			tensor.GhostTokens, opt.BatchTokens), `gram = "rows"`)
	case opt.Gram == GramGhost && solves(moo.NeedsRows):
		return fail("objective.gram", "element-wise methods need the gradients' single values", `gram = "rows"`)
	case opt.Wrapping.Control != "" && !gram:
		return fail("objective.control", noGram, `control = ""`)
	case opt.Wrapping.Project != "" && !gram:
		return fail("objective.project", noGram, `project = ""`)
	case opt.Wrapping.Normalise != "" && !gram:
		return fail("objective.normalise", noGram, `normalise = "none"`)
	}
	return nil
}

// Static says that all parameters have the same static weights: they are part of
// the loss's scale, and no rows exist.
func (o *Objective) Static() bool { return !o.shared && len(o.rules) == 1 && o.rules[0].static() }

// static says that a rule's weights are known before a step's gradients are.
func (r rule) static() bool { return r.needs == moo.NeedsNothing || r.needs == moo.NeedsLosses }

// StaticRule says that the rule of a group of parameters has static weights, where
// each machine resolves by itself.
func (o *Objective) StaticRule(group string) bool { return !o.shared && o.rule(group).static() }

// Shared says that the groups' owners on many machines solve.
func (o *Objective) Shared() bool { return o.shared }

// Method is the name of the method that resolves a group of parameters.
func (o *Objective) Method(group string) string { return o.rule(group).name }

// ByElement says that a group of parameters is combined element by element.
func (o *Objective) ByElement(group string) bool { return o.rule(group).needs == moo.NeedsRows }

// Elementwise says that some parameters are combined element by element.
func (o *Objective) Elementwise() bool {
	return slices.ContainsFunc(o.rules, func(r rule) bool { return r.needs == moo.NeedsRows })
}

// rule is the rule of a group of parameters.
func (o *Objective) rule(group string) rule {
	return o.rules[slices.IndexFunc(o.rules, func(r rule) bool { return r.group == group })]
}

// RuleOf is the rule of the parameter called name: the first override that fits.
func (o *Objective) RuleOf(name string) string {
	for _, v := range o.opt.Overrides {
		if v.Fits(name) {
			return v.Match
		}
	}
	return ""
}

// Segments is how many segments a batch is cut into, one per gradient row: one per
// language or half-language, or 1 without rows.
func (o *Objective) Segments() int {
	switch {
	case o.Static():
		return 1
	case o.opt.Noise.Halves:
		return 2 * len(o.langs)
	}
	return len(o.langs)
}

// MayBeStatic says that some group of a run with rows has static weights in some step.
func (o *Objective) MayBeStatic() bool {
	return !o.shared && (o.opt.Warmup > 0 || o.opt.Every > 1 || slices.ContainsFunc(o.rules, rule.static))
}

// Attach tells the objective which groups are resolved, before the first step.
func (o *Objective) Attach(groups []bucket.ResolveGroup) {
	o.groups, o.byGroup = groups, make([]groupState, len(groups))
	if o.Static() {
		o.byGroup = make([]groupState, 1)
	}
}
