package compare

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"concord/internal/config"
	"concord/internal/train"
	"concord/moo"
)

// Families whose candidates differ in what is tuned; the others are a method,
// with its scope.
const (
	familyMean        = "mean"
	familyStatic      = "tuned static"      // static weights, uniform ones included
	familyTemperature = "tuned temperature" // of sampling, the run file's included
	familyTuned       = "tuned scalarisation"
)

// Config is one configuration. Its candidates for a family are told apart on
// the validation half of the held-out examples.
type Config struct {
	Method      string  `json:"method"`
	Scope       string  `json:"scope,omitempty"`       // where the method resolves gradients
	Weights     Rule    `json:"weights,omitzero"`      // static weights, where the sweep gives them
	Temperature float64 `json:"temperature,omitempty"` // of sampling, where it is tried; 0: the run file's
	LR          float64 `json:"lr"`
}

// Spec is one run: a configuration and a seed.
type Spec struct {
	Config
	Seed uint64 `json:"seed"`
}

// Slug names the configuration in lower-case letters, digits, dots and hyphens,
// as a folder of any file system may be called.
func (c Config) Slug() string {
	parts := []string{slug(c.Method)}
	if c.Scope != "" {
		parts = append(parts, slug(c.Scope))
	}
	if c.Weights.Kind != "" {
		parts = append(parts, c.Weights.slug())
	}
	if c.Temperature != 0 {
		parts = append(parts, "t"+slug(number(c.Temperature)))
	}
	return strings.Join(append(parts, "lr"+slug(number(c.LR))), "-")
}

// Slug names the run.
func (s Spec) Slug() string { return s.Config.Slug() + "-s" + strconv.FormatUint(s.Seed, 10) }

// String is the configuration for people, without the learning rate.
func (c Config) String() string {
	s := c.Method
	if c.Scope != "" {
		s += " " + c.Scope
	}
	if c.Weights.Kind != "" {
		s += " " + c.Weights.String()
	}
	if c.Temperature != 0 {
		s += " T=" + number(c.Temperature)
	}
	return s
}

// families are those that the configuration is a candidate of.
func (c Config) families() []string {
	plain := c.Method == familyMean && c.Temperature == 0
	switch {
	case plain:
		return []string{familyMean, familyStatic, familyTemperature, familyTuned}
	case c.Method == familyMean:
		return []string{familyTemperature, familyTuned}
	case c.Weights.Kind != "":
		return []string{familyStatic, familyTuned}
	case c.Method == "static": // the run file's weights
		return []string{c.String(), familyStatic, familyTuned}
	}
	return []string{c.String()}
}

// slug keeps lower-case letters, digits and dots of s and makes the rest
// hyphens.
func slug(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '.' {
			return r
		}
		return '-'
	}, strings.ToLower(s))
}

func number(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

// configs lists the grid's configurations: every method once per scope where it
// has one, the sweep of static weights over langs, the temperatures; all of it
// at every learning rate. temperature is the run file's.
func (g *Grid) configs(langs []string, temperature float64) []Config {
	var out []Config
	for _, lr := range g.LRs {
		for _, m := range g.Methods {
			if !resolves(m) {
				out = append(out, Config{Method: m, LR: lr})
				continue
			}
			for _, s := range g.Scopes {
				out = append(out, Config{Method: m, Scope: s, LR: lr})
			}
		}
		if g.StaticSweep {
			for _, r := range sweep(langs, g.StaticBudget) {
				out = append(out, Config{Method: "static", Weights: r, LR: lr})
			}
		}
		for _, t := range g.Temperatures {
			if t != temperature { // otherwise it is mean
				out = append(out, Config{Method: familyMean, Temperature: t, LR: lr})
			}
		}
	}
	return out
}

// specs lists the runs seed by seed, so that a comparison that is stopped early
// has tried everything equally often. The first run is mean's.
func (g *Grid) specs(langs []string, temperature float64) []Spec {
	var out []Spec
	configs := g.configs(langs, temperature)
	for i := range g.Seeds {
		for _, c := range configs {
			out = append(out, Spec{c, g.FirstSeed + uint64(i)})
		}
	}
	return out
}

// apply makes the run's configuration from the comparison's. weights are those
// of the spec's rule. dir is where runs go.
func (s Spec) apply(base *config.Config, dir string, weights map[string]float64) *config.Config {
	c := *base
	c.Run.Dir, c.Run.Name, c.Run.Seed = dir, s.Slug(), s.Seed
	c.Objective.Method, c.Objective.Options = s.Method, known(s.Method, base.Objective.Options)
	switch {
	case s.Weights.Kind != "":
		c.Objective.Weights = weights
	case s.Method != "static":
		c.Objective.Weights = nil
	}
	if s.Scope != "" {
		c.Objective.Scope = s.Scope
	}
	if s.Temperature != 0 {
		c.Data.Temperature = s.Temperature
	}
	c.Optim.LR = s.LR
	return &c
}

// known are the run file's options that the method has: they are meant for one
// of several methods.
func known(method string, options map[string]any) map[string]any {
	out := map[string]any{}
	for _, info := range moo.Methods() {
		for _, o := range info.Options {
			if v, ok := options[o.Name]; ok && info.Name == method && method != "static" {
				out[o.Name] = v
			}
		}
	}
	return out
}

// checkObjectives refuses, before anything runs, a method, scope or option that
// does not exist.
func (g *Grid) checkObjectives(base *config.Config, langs []string) error {
	used := map[string]bool{}
	for _, c := range g.configs(langs, base.Data.Temperature) {
		if c.Weights.Kind != "" {
			continue // made from langs
		}
		cfg := Spec{Config: c}.apply(base, "", nil)
		if err := train.CheckObjective(cfg, langs); err != nil {
			return err
		}
		for k := range cfg.Objective.Options {
			used[k] = true
		}
	}
	for k := range base.Objective.Options {
		if !used[k] {
			return &config.Error{Where: base.Where("objective.options." + k), Msg: fmt.Sprintf("none of the methods %v has an option %q", g.Methods, k), Fix: "concord moo methods  # lists every option"}
		}
	}
	if dup := duplicate(g.specs(langs, base.Data.Temperature)); dup != "" {
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
