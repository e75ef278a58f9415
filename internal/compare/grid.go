package compare

import (
	"fmt"
	"slices"

	"concord/moo"
)

// Grid says what is compared: the product of its lists, as far as it makes
// sense (plan.go). It is stored in the comparison's lock and may only grow.
type Grid struct {
	Methods      []string  `json:"methods"`                // moo's names; "mean" is always among them, first
	Scopes       []string  `json:"scopes"`                 // for the methods that resolve gradients
	LRs          []float64 `json:"lrs"`                    // peak learning rates, tried under every configuration
	Temperatures []float64 `json:"temperatures,omitempty"` // of sampling, tried with method mean
	StaticSweep  bool      `json:"static_sweep"`           // try static weights
	StaticBudget int       `json:"static_budget"`          // weight vectors of the sweep besides uniform ones; 0: the fixed list
	FirstSeed    uint64    `json:"first_seed"`             // the run file's
	Seeds        int       `json:"seeds"`                  // FirstSeed, FirstSeed+1, …
	TuneSeeds    int       `json:"tune_seeds"`             // candidates are tried under so many, and only what these choose under the rest; 0: all
}

// all stands for every method that needs nothing but a name.
const all = "all"

// check completes the grid and refuses what cannot be run. lr and seed are the
// run file's.
func (g *Grid) check(lr float64, seed uint64) error {
	methods := []string{familyMean}
	for _, m := range g.Methods {
		if m == all {
			for _, info := range moo.Methods() {
				if info.Name != "static" { // its weights are the sweep's business
					methods = append(methods, info.Name)
				}
			}
			continue
		}
		if _, err := needs(m); err != nil {
			return err
		}
		methods = append(methods, m)
	}
	g.FirstSeed = seed
	if len(g.LRs) == 0 {
		g.LRs = []float64{lr}
	}
	g.Methods, g.Scopes = unique(methods), unique(g.Scopes)
	g.LRs, g.Temperatures = unique(g.LRs), unique(g.Temperatures)
	switch some := slices.ContainsFunc(g.Methods, resolves); {
	case !some:
		g.Scopes = nil
	case len(g.Scopes) == 0:
		g.Scopes = []string{"layer"}
	}
	return g.bounds()
}

// bounds refuses numbers that make no sense.
func (g *Grid) bounds() error {
	switch {
	case g.Seeds < 1 || g.Seeds > 1000:
		return usage("--seeds %d is outside 1 … 1000", g.Seeds)
	case g.TuneSeeds < 0 || g.TuneSeeds > g.Seeds:
		return usage("--tune-seeds %d is outside 0 … --seeds %d", g.TuneSeeds, g.Seeds)
	case g.StaticBudget < 0 || g.StaticBudget > 1000:
		return usage("--static-budget %d is outside 0 … 1000", g.StaticBudget)
	case g.StaticBudget > 0 && !g.StaticSweep:
		return usage("--static-budget is for --static-sweep: give both")
	}
	for _, v := range g.LRs {
		if !(v > 0) || v > 1e3 {
			return usage("--lrs: %v is outside 0 < lr ≤ 1000", v)
		}
	}
	for _, v := range g.Temperatures {
		if !(v >= 1e-3) || v > 1e9 {
			return usage("--temperatures: %v is outside 0.001 … 1e9", v)
		}
	}
	return nil
}

// needs is what the named method needs.
func needs(method string) (moo.Needs, error) {
	var names []string
	for _, info := range moo.Methods() {
		if info.Name == method {
			return info.Needs, nil
		}
		names = append(names, info.Name)
	}
	return "", usage("--methods: %q is not one of %v", method, names)
}

// resolves reports whether the method resolves gradients, so that it has a
// scope. Weights that are known without gradients are the same in every bucket.
func resolves(method string) bool {
	n, err := needs(method)
	return err == nil && n != moo.NeedsNothing && n != moo.NeedsLosses
}

// merge is the smallest grid that holds both: a comparison that goes on may be
// extended, and what was asked for before is still done.
func merge(old, more Grid) Grid {
	tune := max(old.TuneSeeds, more.TuneSeeds)
	if old.TuneSeeds == 0 || more.TuneSeeds == 0 {
		tune = 0
	}
	return Grid{
		Methods: unique(append(slices.Clone(old.Methods), more.Methods...)), Scopes: unique(append(slices.Clone(old.Scopes), more.Scopes...)),
		LRs: unique(append(slices.Clone(old.LRs), more.LRs...)), Temperatures: unique(append(slices.Clone(old.Temperatures), more.Temperatures...)),
		StaticSweep: old.StaticSweep || more.StaticSweep, StaticBudget: max(old.StaticBudget, more.StaticBudget),
		FirstSeed: old.FirstSeed, Seeds: max(old.Seeds, more.Seeds), TuneSeeds: tune,
	}
}

// unique keeps the first of equal values.
func unique[T comparable](in []T) (out []T) {
	for _, v := range in {
		if !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out
}

// UsageError is a mistake on the command line.
type UsageError struct{ msg string }

func (e *UsageError) Error() string { return e.msg }

func usage(format string, args ...any) error { return &UsageError{fmt.Sprintf(format, args...)} }
