package config

import (
	"fmt"
	"math"
	"path"
	"slices"
)

// objective checks the keys of [objective] apart from methods and their options, which
// are checked where they live.
func (c *Config) objective() error {
	o := c.Objective
	checks := []error{
		c.preferences(),
		c.overrides(),
	}
	for _, err := range checks {
		if err != nil {
			return err
		}
	}
	switch {
	case o.Noise.Debias && !o.Noise.Halves:
		return c.fail("objective.noise.debias", "halves = true  # in [objective.noise]", "needs the two half-batches that tell noise from signal")
	case o.Gram == GramGhost && o.Metric == MetricAdam:
		return c.fail("objective.gram", `gram = "rows"`, `"ghost" knows no single gradient values, which metric = "adam" weighs`)
	case o.Gram == GramGhost && c.Batch.Accumulate > 1:
		return c.fail("objective.gram", `gram = "rows"`, `"ghost" needs a step's tokens all at once; batch.accumulate is %d`, c.Batch.Accumulate)
	}
	return nil
}

func (c *Config) preferences() error {
	for lang, u := range c.Objective.Preferences {
		if !(u > 0) || math.IsInf(u, 0) || u > 1e9 {
			return c.fail("objective.preferences."+lang, lang+" = 1.0", "preference %v is not a number above 0 and up to 1e9", u)
		}
	}
	return nil
}

func (c *Config) overrides() error {
	for i, o := range c.Objective.Override {
		key := func(k string) string { return fmt.Sprintf("objective.override.%d.%s", i, k) }
		switch {
		case o.Match == "":
			return c.fail(key("match"), `match = "*embed*"`, "names no parameters")
		case o.Method == "":
			return c.fail(key("method"), `method = "mean"`, "no method given")
		}
		if _, err := path.Match(o.Match, ""); err != nil {
			return c.fail(key("match"), `match = "*embed*"`, "%q is not a pattern: %v", o.Match, err)
		}
	}
	return nil
}

// freeze checks the patterns of weights that are not trained.
func (c *Config) freeze() error {
	for _, p := range c.Model.Freeze {
		if _, err := path.Match(p, ""); err != nil || p == "" {
			return c.fail("model.freeze", `freeze = ["*embed*"]`, "%q is not a pattern of parameters' names", p)
		}
	}
	return nil
}

// Frozen says whether the parameter of a name is not trained.
func (m Model) Frozen(name string) bool {
	return slices.ContainsFunc(m.Freeze, func(p string) bool { return Override{Match: p}.Matches(name) })
}

// Matches says whether the pattern fits the whole of a parameter's name, by the
// rules of path.Match; names hold no slash, so * is any text.
func (o Override) Matches(name string) bool {
	ok, _ := path.Match(o.Match, name) // validated when it was read
	return ok
}
