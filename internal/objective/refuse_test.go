package objective

import (
	"errors"
	"strings"
	"testing"

	"concord/bucket"
	"concord/internal/fault"
	"concord/moo"
	"concord/tensor"
)

// options are those of a method for three languages.
func options(method string) Options {
	return Options{Langs: []string{"aa", "bb", "cc"}, Tokens: []float64{1, 1, 1}, Method: method, Every: 1, BatchTokens: 96}
}

// Settings that do not go together are refused by the key that has to change.
func TestRefuses(t *testing.T) {
	override := func(match, method string) Override {
		return Override{Match: match, Method: method, Fits: func(string) bool { return true }}
	}
	many := make([]string, bucket.MaxObjectives/2+1)
	for i := range many {
		many[i] = strings.Repeat("l", i+1)
	}
	for name, c := range map[string]struct {
		method string
		change func(*Options)
		key    string
	}{
		"no such method":         {"pcgrat", nil, "objective.method"},
		"no such option":         {"cagrad", func(o *Options) { o.MethodOptions = map[string]any{"z": 1.0} }, "objective.options.z"},
		"weights of another":     {"pcgrad", func(o *Options) { o.Weights = map[string]float64{"aa": 1} }, "objective.weights"},
		"a weight missing":       {moo.Static, func(o *Options) { o.Weights = map[string]float64{"aa": 1, "bb": 1} }, "objective.weights"},
		"a negative weight":      {moo.Static, func(o *Options) { o.Weights = map[string]float64{"aa": 1, "bb": 1, "cc": -1} }, "objective.weights.cc"},
		"all weights zero":       {moo.Static, func(o *Options) { o.Weights = map[string]float64{"aa": 0, "bb": 0, "cc": 0} }, "objective.weights"},
		"weights as an option":   {moo.Static, withWeights, "objective.options.weights"},
		"one pattern twice":      {"pcgrad", func(o *Options) { o.Overrides = []Override{override("*", "mean"), override("*", "mgda")} }, "objective.override.1.match"},
		"an override's method":   {"pcgrad", func(o *Options) { o.Overrides = []Override{override("*", "mgad")} }, "objective.override.0.method"},
		"halves of local parts":  {"pcgrad", func(o *Options) { o.Noise.Halves, o.LocalResolve = true, true }, "objective.noise.halves"},
		"halves of elements":     {"graddrop", func(o *Options) { o.Noise.Halves = true }, "objective.noise.halves"},
		"halves without a Gram":  {"mean", func(o *Options) { o.Noise.Halves = true }, "objective.noise.halves"},
		"halves of too many":     {"pcgrad", func(o *Options) { o.Langs, o.Noise.Halves = many, true }, "objective.method"},
		"a metric of no Gram":    {"famo", func(o *Options) { o.AdamMetric = true }, "objective.metric"},
		"ghost of many tokens":   {"pcgrad", func(o *Options) { o.Gram, o.BatchTokens = GramGhost, tensor.GhostTokens+1 }, "objective.gram"},
		"ghost of elements":      {"graddrop", func(o *Options) { o.Gram = GramGhost }, "objective.gram"},
		"a control of no Gram":   {"mean", func(o *Options) { o.Wrapping.Control = "norm" }, "objective.control"},
		"normalised, no Gram":    {"mean", func(o *Options) { o.Wrapping.Normalise = "l2" }, "objective.normalise"},
		"an average of elements": {"graddrop", func(o *Options) { o.Wrapping.EMA = 0.5 }, "objective.method"},
	} {
		o := options(c.method)
		if c.change != nil {
			c.change(&o)
		}
		_, err := New(o)
		s := (*fault.Setting)(nil)
		if !errors.As(err, &s) || s.Key != c.key || s.Msg == "" {
			t.Errorf("%s: %v, want a mistake in %s", name, err, c.key)
		}
	}
	half := options("pcgrad")
	if half.Langs = many; len(many) <= bucket.MaxObjectives {
		if _, err := New(half); err != nil {
			t.Errorf("%d languages without halves: %v", len(many), err)
		}
	}
	fine := options(moo.Static)
	fine.Weights = map[string]float64{"aa": 1, "bb": 0, "cc": 2}
	if _, err := New(fine); err != nil {
		t.Errorf("good static weights: %v", err)
	}
}

func withWeights(o *Options) {
	o.Weights = map[string]float64{"aa": 1, "bb": 1, "cc": 1}
	o.MethodOptions = map[string]any{"weights": []any{1.0, 1.0, 1.0}}
}
