package config

import (
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
)

func TestScope(t *testing.T) {
	for text, want := range map[string]Scope{"tensor": ScopeTensor, "layer": ScopeLayer, "global": ScopeGlobal, "16MB": 16,
		"9999999MB": 9999999} {
		s, err := ParseScope(text)
		b, err2 := json.Marshal(s)
		var again Scope
		if err != nil || err2 != nil || json.Unmarshal(b, &again) != nil || s != want || again != s || s.String() != text {
			t.Errorf("%q is %v (%v), as JSON %s", text, s, err, b)
		}
	}
	for _, text := range []string{"", "layers", "0MB", "MB", "-1MB", "25mb", "1.5MB", "10000000MB", "Layer"} {
		if s, err := ParseScope(text); err == nil || !strings.Contains(err.Error(), `"global"`) {
			t.Errorf("%q is taken as %v (%v)", text, s, err)
		}
	}
}

// A scope that is none is refused with its line, in a run file, on the command line and
// from another machine.
func TestScopeRefused(t *testing.T) {
	text, path := good, write(t, good)
	_, err := Parse(path, strings.Replace(text, "[objective]", "[objective]\nscope = \"layers\"", 1), nil)
	conf := (*Error)(nil)
	if !errors.As(err, &conf) || !strings.Contains(conf.Where, "run.toml:") || !strings.Contains(err.Error(), `unknown scope "layers"`) {
		t.Errorf("in the run file: %v", err)
	}
	_, err = Parse(path, text, []string{"objective.scope=layers"})
	if !errors.As(err, &conf) || conf.Where != "-o objective.scope=layers" || !strings.Contains(err.Error(), `"layer"`) {
		t.Errorf("on the command line: %v", err)
	}
	c, err := Parse(path, text, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []Scope{0, ScopeGlobal - 1} {
		if c.Objective.Scope = s; c.Validate() == nil {
			t.Errorf("scope %d from another machine is taken", s)
		}
	}
}

// Every enumerated setting has a type of its own, so that nothing else is compared with
// it by mistake.
func TestEnumeratedTypes(t *testing.T) {
	check := func(v any) {
		eachField(reflect.ValueOf(v), "", func(key string, f reflect.StructField, _ reflect.Value) {
			if _, one := f.Tag.Lookup("one"); one && f.Type == reflect.TypeFor[string]() {
				t.Errorf("%s has the values of a list and is a plain string", key)
			}
		})
	}
	check(*Default())
	check(Source{})
}

// A run file is shown as it is written: typed values are strings.
func TestShowQuotes(t *testing.T) {
	var out strings.Builder
	Default().Show(&out)
	shown := strings.Join(strings.Fields(out.String()), " ")
	for _, want := range []string{`objective.scope = "layer"`, `objective.metric = "euclidean"`, `objective.method = "mean"`,
		`device.memory = ""`, `cluster.wire = ""`, `batch.rows = 8`} {
		if !strings.Contains(shown, want) {
			t.Errorf("no %s in\n%s", want, out.String())
		}
	}
}

// Lists of numbers and keys of the user's are shown as TOML that says the same.
func TestShowIsTOML(t *testing.T) {
	c := Default()
	c.Adapter.Layers, c.Adapter.RankPattern = []int{0, 2}, map[string]int{"mlp.up_proj": 4}
	c.Objective.Weights = map[string]float64{"中文": 2, "a b": 0.5}
	var out strings.Builder
	c.Show(&out)
	var got Config
	if _, err := toml.Decode(out.String(), &got); err != nil {
		t.Fatalf("%v in\n%s", err, out.String())
	}
	if !slices.Equal(got.Adapter.Layers, c.Adapter.Layers) || !maps.Equal(got.Adapter.RankPattern, c.Adapter.RankPattern) ||
		!maps.Equal(got.Objective.Weights, c.Objective.Weights) {
		t.Errorf("shown: %+v %v", got.Adapter, got.Objective.Weights)
	}
}
