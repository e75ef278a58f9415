package compare

import (
	"fmt"
	"slices"
	"strings"

	"concord/internal/train"
	"concord/moo"
)

// Grid is the configurations to compare: the product of its lists, as far as it makes
// sense (plan.go). It is stored in the comparison's lock and may only grow.
type Grid struct {
	Methods      []string      `json:"methods"`            // moo's names; "mean" and "token-mean" are always among them, first
	Scopes       []train.Scope `json:"scopes"`             // for the methods that resolve gradients
	Controls     []string      `json:"controls,omitempty"` // of these methods, besides the method itself: "norm", "direction"
	Options      []string      `json:"options,omitempty"`  // "method.key=value": more candidates of a method
	LRs          []float64     `json:"lrs"`                // peak learning rates, tried under every configuration
	Temperatures []float64     `json:"temperatures"`       // of sampling, tried under every configuration
	IID          bool          `json:"iid,omitempty"`      // also plain fine-tuning with every row's language drawn by itself
	StaticSweep  bool          `json:"static_sweep"`       // try static weights
	StaticBudget int           `json:"static_budget"`      // candidates of the sweep; 0: as many as a method has
	Static       []Config      `json:"static,omitempty"`   // these candidates
	Alone        bool          `json:"alone"`              // also each language by itself, at equal tokens
	FirstSeed    uint64        `json:"first_seed"`         // the run file's
	TuneSeeds    int           `json:"tune_seeds"`         // seeds that choose: FirstSeed, FirstSeed+1, …
	Seeds        int           `json:"seeds"`              // seeds that judge the choices, after those
	Margin       float64       `json:"margin"`             // bits per byte below which a difference does not matter
}

// all stands for every method that needs nothing but a name.
const all = "all"

// check completes the grid and refuses one that cannot be run. lr, temperature and seed are
// the run file's. Where no learning rates are given, half and twice the run file's are
// tried too: a comparison at one rate measures how well the rate fits each method.
func (g *Grid) check(lr, temperature float64, seed uint64) error {
	methods := []string{familyMean, familyPlain}
	for _, m := range g.Methods {
		if m == all {
			for _, info := range moo.Methods() {
				if info.Name != moo.Static { // its weights are the sweep's business
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
		g.LRs = []float64{lr / 2, lr, 2 * lr}
	}
	if len(g.Temperatures) == 0 {
		g.Temperatures = []float64{temperature}
	}
	if g.TuneSeeds == 0 {
		g.TuneSeeds = 1
	}
	if g.Margin == 0 {
		g.Margin = defaultMargin
	}
	g.Methods, g.Scopes, g.Controls, g.Options = unique(methods), unique(g.Scopes), unique(g.Controls), unique(g.Options)
	g.LRs, g.Temperatures = unique(g.LRs), unique(g.Temperatures)
	switch some := slices.ContainsFunc(g.Methods, resolves); {
	case !some:
		g.Scopes, g.Controls = nil, nil
	case len(g.Scopes) == 0:
		g.Scopes = []train.Scope{train.ScopeLayer}
	}
	return g.bounds()
}

// bounds refuses numbers that make no sense.
func (g *Grid) bounds() error {
	switch {
	case g.Seeds < 1 || g.Seeds > 1000:
		return usage("--seeds %d is outside 1 … 1000", g.Seeds)
	case g.TuneSeeds < 1 || g.TuneSeeds > 1000:
		return usage("--tune-seeds %d is outside 1 … 1000", g.TuneSeeds)
	case g.StaticBudget < 0 || g.StaticBudget > 1000:
		return usage("--static-budget %d is outside 0 … 1000", g.StaticBudget)
	case g.StaticBudget > 0 && !g.StaticSweep:
		return usage("--static-budget is for --static-sweep: give both")
	case !(g.Margin > 0) || g.Margin > 10:
		return usage("--margin %v is outside 0 < bits per byte ≤ 10", g.Margin)
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
	for _, c := range g.Controls {
		if c != moo.ControlNorm && c != moo.ControlDirection {
			return usage("--controls: %q is not one of norm, direction", c)
		}
	}
	for _, o := range g.Options {
		method, option, ok := strings.Cut(o, ".")
		if key, value, eq := strings.Cut(option, "="); !ok || !eq || key == "" || value == "" || !slices.Contains(g.Methods, method) {
			return usage("--options: %q is not METHOD.KEY=VALUE of one of the methods that are compared", o)
		}
	}
	return nil
}

// checkData refuses a grid that the run file's way of drawing languages excludes.
func (g *Grid) checkData(d train.DataSettings) error {
	switch {
	case g.IID && d.Align != "":
		return usage("--iid draws every row's language by itself, and data.align = %q has all languages in every step: leave out the one or "+
			"the other", d.Align)
	case g.IID && d.IID:
		return usage("--iid adds plain fine-tuning with data.mixing = \"iid\", which the run file has for every configuration: leave it out")
	case d.Align != "" && !slices.Equal(g.Temperatures, []float64{1}):
		return usage("--temperatures: with data.align = %q all languages are read alike, at temperature 1", d.Align)
	}
	return nil
}

// options are the candidates' options of a method: the run file's, and the grid's.
func (g *Grid) options(method string) []string {
	out := []string{""}
	for _, o := range g.Options {
		if m, option, _ := strings.Cut(o, "."); m == method {
			out = append(out, option)
		}
	}
	return out
}

// needs is the inputs that the named method needs.
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

// weighs reports whether the method weighs gradients, so that a control can keep their
// combination's length or direction only.
func weighs(method string) bool {
	n, err := needs(method)
	return err == nil && n == moo.NeedsGram
}

// merge is the smallest grid that holds both: a comparison that goes on may be
// extended, and the runs asked for before are still made. Seeds that chose stay so.
func merge(old, more Grid) Grid {
	return Grid{
		Methods: both(old.Methods, more.Methods), Scopes: both(old.Scopes, more.Scopes), Controls: both(old.Controls, more.Controls),
		Options: both(old.Options, more.Options),
		LRs:     both(old.LRs, more.LRs), Temperatures: both(old.Temperatures, more.Temperatures),
		IID: old.IID || more.IID, StaticSweep: old.StaticSweep || more.StaticSweep, StaticBudget: max(old.StaticBudget, more.StaticBudget),
		Static: both(old.Static, more.Static), Alone: old.Alone || more.Alone,
		FirstSeed: old.FirstSeed, Seeds: max(old.Seeds, more.Seeds), TuneSeeds: old.TuneSeeds, Margin: more.Margin,
	}
}

// both are the values of a and b, each once.
func both[T comparable](a, b []T) []T { return unique(append(slices.Clone(a), b...)) }

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
