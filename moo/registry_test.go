package moo

import (
	"strings"
	"testing"
)

func TestNewErrors(t *testing.T) {
	for _, c := range []struct {
		name    string
		options map[string]any
		want    string
	}{
		{"pcgard", nil, `unknown method "pcgard", did you mean "pcgrad"?; the methods are mean, sum, static, token-mean, mgda`},
		{"zzzzzzzz", nil, `unknown method "zzzzzzzz"; the methods`},
		{"mgda", map[string]any{"c": 1.0}, `mgda: unknown option "c"; it has none`},
		{"cagrad", map[string]any{"rescal": "mean"}, `did you mean "rescale"?; its options are c, rescale`},
		{"cagrad", map[string]any{"c": true}, `option "c": want a number, got true (bool)`},
		{"cagrad", map[string]any{"c": "half"}, `option "c": want a number, got "half"`},
		{"cagrad", map[string]any{"c": -1.0}, `option "c": -1 is outside 0 … 1e+06`},
		{"cagrad", map[string]any{"c": "NaN"}, `option "c": NaN is outside`},
		{"pcgrad", map[string]any{"order": "ascendin"}, `got "ascendin", did you mean "ascending"?`},
		{"pcgrad", map[string]any{"order": int64(1)}, `want one of "random", "ascending", "descending", got 1 (int64)`},
		{"trimmed-mean", map[string]any{"trim": 1.9}, `option "trim": want a whole number, got 1.9`},
		{"trimmed-mean", map[string]any{"trim": "0.5"}, `option "trim": want a whole number, got 0.5`},
		{"static", map[string]any{"weights": []any{1.0, "x"}}, `option "weights": value 2: want a number, got "x"`},
		{"static", map[string]any{"weights": []any{0.0}}, `all are zero`},
		{"static", map[string]any{"weights": []any{}}, `empty`},
		{"static", map[string]any{"weights": 1.0}, `want a list of numbers, got 1 (float64)`},
	} {
		if _, err := New(c.name, c.options); err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "moo: ") {
			t.Errorf("New(%q, %v): error %v, want %q", c.name, c.options, err, c.want)
		}
	}
}

func TestNewAccepts(t *testing.T) {
	for _, c := range []any{0.25, int64(1), 1, "0.25", " 1e-3 "} {
		if _, err := New("cagrad", map[string]any{"c": c}); err != nil {
			t.Error(err)
		}
	}
	for _, info := range Methods() {
		m := must(t, info.Name, nil)
		if m.Name() != info.Name || info.Rule == "" || info.Guarantees == "" {
			t.Errorf("method %q is documented as %+v", m.Name(), info)
		}
		defaults := map[string]any{}
		for _, o := range info.Options {
			if o.Doc == "" {
				t.Errorf("%s: option %s has no documentation", info.Name, o.Name)
			}
			if o.Default != nil {
				defaults[o.Name] = o.Default
			}
		}
		must(t, info.Name, defaults)
	}
}

func TestForTraining(t *testing.T) {
	given := map[string]any{"c": 0.4}
	got := ForTraining("cagrad", given)
	if got["rescale"] != "mean" || got["c"] != 0.4 || len(given) != 1 {
		t.Errorf("got %v, given is now %v", got, given)
	}
	if got := ForTraining("pcgrad", map[string]any{"rescale": "none"}); got["rescale"] != "none" {
		t.Errorf("the user's choice became %v", got)
	}
	for _, name := range []string{"mgda", "no such method"} {
		if got := ForTraining(name, nil); got == nil || len(got) != 0 {
			t.Errorf("%s: %v", name, got)
		}
	}
}
