package compare

import (
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"strconv"
	"strings"

	"concord/internal/data"
	"concord/internal/fault"
	"concord/internal/study"
	"concord/internal/train"
	"concord/moo"
)

// Families whose candidates differ in the tuned setting; the others are a method, with its
// scope and control.
const (
	familyMean  = "mean"                // the mean over the languages' mean losses
	familyPlain = "token-mean"          // plain fine-tuning: the mean over the batch's tokens
	familyTuned = "tuned scalarisation" // static weights, mean and token-mean
)

// Config is one configuration. Its candidates for a family are told apart on
// the validation half of the held-out examples.
type Config struct {
	Method      string      `json:"method"`
	Scope       train.Scope `json:"scope,omitempty"`   // where the method resolves gradients
	Control     string      `json:"control,omitempty"` // one half of the method's effect
	Option      string      `json:"option,omitempty"`  // "key=value" of the method, besides the run file's
	Weights     Rule        `json:"weights,omitzero"`  // static weights, where the sweep gives them
	Mixing      string      `json:"mixing,omitempty"`  // of languages in a step; "" is the run file's
	Only        string      `json:"only,omitempty"`    // the one language that is trained on, at its tokens in the mixture
	Temperature float64     `json:"temperature"`       // of sampling
	LR          float64     `json:"lr"`
}

// Spec is one run: a configuration and a seed.
type Spec struct {
	Config
	Seed uint64 `json:"seed"`
}

// Slug names the configuration in lower-case letters, digits, dots and hyphens,
// as a folder of any file system may be called.
func (c Config) Slug() string {
	parts := []string{study.Slug(c.Method)}
	for _, p := range []string{string(c.Scope), c.Control, c.Option} {
		if p != "" {
			parts = append(parts, study.Slug(p))
		}
	}
	if c.Weights.Kind != "" {
		parts = append(parts, c.Weights.slug())
	}
	if c.Mixing != "" {
		parts = append(parts, study.Slug(c.Mixing))
	}
	if c.Only != "" {
		parts = append(parts, fmt.Sprintf("only-%s-%08x", study.Slug(c.Only), hash32(c.Only)))
	}
	return strings.Join(append(parts, "t"+study.Slug(number(c.Temperature)), "lr"+study.Slug(number(c.LR))), "-")
}

// hash32 tells names apart that have one slug.
func hash32(s string) uint32 {
	h := fnv.New32a()
	h.Write([]byte(s))
	return h.Sum32()
}

// Slug names the run.
func (s Spec) Slug() string { return s.Config.Slug() + "-s" + strconv.FormatUint(s.Seed, 10) }

// Name is the family that the configuration is a candidate of by itself.
func (c Config) Name() string {
	s := c.Method
	if c.Scope != "" {
		s += " " + string(c.Scope)
	}
	switch c.Control {
	case moo.ControlNorm:
		s += ", norm only"
	case moo.ControlDirection:
		s += ", direction only"
	}
	if c.Mixing != "" {
		s += ", " + c.Mixing
	}
	if c.Only != "" {
		s = c.Only + " alone"
	}
	return s
}

// String is the configuration for people, without learning rate and temperature.
func (c Config) String() string {
	s := c.Name()
	if c.Option != "" {
		s += " " + c.Option
	}
	if c.Weights.Kind != "" {
		s += " " + c.Weights.String()
	}
	return s
}

// families are those that the configuration is a candidate of.
func (c Config) families() []string {
	switch {
	case c.Only != "" || c.Mixing != "":
		return []string{c.Name()}
	case c.Weights.Kind != "":
		return []string{familyTuned}
	case c.Method == familyMean || c.Method == familyPlain || c.Method == moo.Static: // static: the run file's weights
		return []string{c.Name(), familyTuned}
	}
	return []string{c.Name()}
}

func number(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

// configs lists the grid's configurations: every method once per scope, control and
// option where it has them, at every learning rate and temperature; the candidates of the
// sweep of static weights; and each language alone at every learning rate. The first
// is mean's.
func (g *Grid) configs(langs []string) []Config {
	var out []Config
	for _, t := range g.Temperatures {
		for _, lr := range g.LRs {
			for _, m := range g.Methods {
				out = append(out, g.candidates(m, t, lr)...)
			}
			if g.IID {
				out = append(out, Config{Method: familyPlain, Mixing: data.IID, Temperature: t, LR: lr})
			}
		}
	}
	out = append(out, g.Static...)
	if g.Alone && len(langs) > 1 {
		for _, l := range langs {
			for _, lr := range g.LRs {
				out = append(out, Config{Method: familyMean, Only: l, Temperature: g.Temperatures[0], LR: lr})
			}
		}
	}
	return out
}

// candidates are a method's configurations at one temperature and learning rate.
func (g *Grid) candidates(method string, temperature, lr float64) (out []Config) {
	scopes, controls := []train.Scope{""}, []string{""}
	if resolves(method) {
		scopes = g.Scopes
	}
	if weighs(method) {
		controls = append(controls, g.Controls...)
	}
	for _, scope := range scopes {
		for _, control := range controls {
			for _, o := range g.options(method) {
				out = append(out, Config{Method: method, Scope: scope, Control: control, Option: o, Temperature: temperature, LR: lr})
			}
		}
	}
	return out
}

// sweepStatic makes the candidates of the sweep of static weights over langs. A product
// with every rate and temperature would give static weights many times the candidates of
// a method, so rules, rates and temperatures are run through side by side: each rule at
// one rate and temperature, the next ones at the others.
func (g *Grid) sweepStatic(langs []string) {
	if !g.StaticSweep {
		return
	}
	n := g.StaticBudget
	if n == 0 {
		n = len(g.LRs) * len(g.Temperatures)
	}
	for i, r := range sweep(langs, n) {
		g.Static = append(g.Static, Config{Method: moo.Static, Weights: r, LR: g.LRs[i%len(g.LRs)],
			Temperature: g.Temperatures[i/len(g.LRs)%len(g.Temperatures)]})
	}
}

// tuning lists the runs that choices are made from, seed by seed. The first is mean's.
func (g *Grid) tuning(langs []string) []Spec {
	return g.under(g.configs(langs), g.FirstSeed, g.TuneSeeds)
}

// judging lists the runs of the chosen configurations.
func (g *Grid) judging(chosen []Config) []Spec {
	return g.under(chosen, g.FirstSeed+uint64(g.TuneSeeds), g.Seeds)
}

// under runs configurations seed by seed, so that a comparison that is stopped early has
// tried everything equally often.
func (g *Grid) under(configs []Config, first uint64, n int) (out []Spec) {
	for i := range n {
		for _, c := range configs {
			out = append(out, Spec{c, first + uint64(i)})
		}
	}
	return out
}

// judges says that the seed judges, and does not choose.
func (g *Grid) judges(seed uint64) bool { return seed >= g.FirstSeed+uint64(g.TuneSeeds) }

// apply makes the run's configuration from the comparison's. weights are those
// of the spec's rule. dir is where runs go.
func (s Spec) apply(base train.Varied, dir string, weights map[string]float64) train.Varied {
	c := base
	c.Run.Dir, c.Run.Name, c.Run.Seed = dir, s.Slug(), s.Seed
	c.Objective.Method, c.Objective.Options, c.Objective.Control = s.Method, known(s.Method, base.Objective.Options), s.Control
	if key, value, ok := strings.Cut(s.Option, "="); ok {
		c.Objective.Options[key] = value
	}
	switch {
	case s.Weights.Kind != "":
		c.Objective.Weights = weights
	case s.Method != moo.Static:
		c.Objective.Weights = nil
	}
	if s.Scope != "" {
		c.Objective.Scope = s.Scope
	}
	c.Data.Temperature = s.Temperature
	c.Data.IID = c.Data.IID || s.Mixing == data.IID
	c.LR = s.LR
	return c
}

// alone makes of a run's configuration that of one language by itself, for as many
// tokens of it as the mixture of so many steps has: the share of the steps that the
// mixture gives to the language.
func (s Spec) alone(c *train.Varied, f facts) {
	all := 0.0
	for _, l := range f.langs {
		all += math.Pow(float64(f.tokens[l]), 1/s.Temperature)
	}
	share := math.Pow(float64(f.tokens[s.Only]), 1/s.Temperature) / all
	c.Schedule.Steps, c.Schedule.Epochs, c.Schedule.Tokens = max(1, int(math.Round(share*float64(f.steps)))), 0, 0
	c.Data.Sources = slices.Clone(c.Data.Sources)
	for i := range c.Data.Sources {
		if src := &c.Data.Sources[i]; src.Lang != s.Only && src.Train {
			src.Train, src.Path = false, nil
		}
	}
	c.Data.Sources = slices.DeleteFunc(c.Data.Sources, func(src train.Source) bool { return !src.Train && len(src.Heldout) == 0 })
}

// known are the run file's options that the method has: they are meant for one
// of several methods.
func known(method string, options map[string]any) map[string]any {
	out := map[string]any{}
	for _, info := range moo.Methods() {
		for _, o := range info.Options {
			if v, ok := options[o.Name]; ok && info.Name == method && method != moo.Static {
				out[o.Name] = v
			}
		}
	}
	return out
}

// checkObjectives refuses, before anything runs, a method, scope or option that
// does not exist.
func (g *Grid) checkObjectives(base train.Varied, langs []string) error {
	used := map[string]bool{}
	for _, c := range g.configs(langs) {
		if c.Weights.Kind != "" {
			continue // made from langs
		}
		run := Spec{Config: c}.apply(base, "", nil)
		if err := run.CheckObjective(langs); err != nil {
			return err
		}
		for k := range run.Objective.Options {
			used[k] = true
		}
	}
	for k := range base.Objective.Options {
		if !used[k] {
			return base.Located(&fault.Setting{Key: "objective.options." + k, Fix: "concord moo methods  # lists every option",
				Msg: fmt.Sprintf("none of the methods %v has an option %q", g.Methods, k)})
		}
	}
	if dup := duplicate(g.tuning(langs)); dup != "" {
		return usage("two configurations would share the folder %s: scopes and rates must differ in more than letter case", dup)
	}
	return nil
}

// duplicate is a slug that two runs share, or "".
func duplicate(specs []Spec) string {
	var names []string
	for _, s := range specs {
		names = append(names, s.Slug())
	}
	slices.Sort(names)
	for i := 1; i < len(names); i++ {
		if names[i] == names[i-1] {
			return names[i]
		}
	}
	return ""
}
