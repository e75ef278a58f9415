package train

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"concord/internal/config"
)

// A run file that is varied by nothing stays as it is, whatever it says.
func TestVariedByNothing(t *testing.T) {
	files := [][]string{nil, {"data.align=line", "data.source=0"}}
	for _, k := range config.Keys() {
		_, value, _ := strings.Cut(k.Example, " = ")
		files = append(files, []string{k.Name + "=" + value})
	}
	tried := 0
	path := tiny(t).Path()
	for _, overrides := range files {
		cfg, err := config.Load(path, overrides)
		if err != nil { // goes with other settings only
			continue
		}
		tried++
		got, err := Vary(cfg).config()
		if err != nil || !reflect.DeepEqual(got, cfg) {
			t.Errorf("%q: %+v, %v\nwant %+v", overrides, got, err, cfg)
		}
	}
	if tried < 60 {
		t.Errorf("only %d run files were tried", tried)
	}
	cfg := config.Default() // lists and tables that -o cannot set
	cfg.Data.Source = []config.Source{{Lang: "aa", LangColumn: "l", Langs: []string{"aa"}, Key: "k", Train: true,
		Holdout: 0.5, TrainOn: "all", Format: "csv",
		Path: config.Paths{"a"}, Heldout: config.Paths{"b"}, Columns: map[string]string{"text": "t"}, Roles: map[string]string{"user": "u"}}, {}}
	cfg.Objective.Override = []config.Override{{Match: "*", Method: "mean"}}
	if got, err := Vary(cfg).config(); err != nil || !reflect.DeepEqual(got, cfg) {
		t.Errorf("%+v, %v\nwant %+v", got, err, cfg)
	}
}

// Every setting that may be varied changes the run, and not the run file that it is of.
func TestEveryVariationChanges(t *testing.T) {
	cfg := tiny(t)
	before, err := Vary(cfg).config()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	var change func(v reflect.Value, name string, run *Varied)
	change = func(v reflect.Value, name string, run *Varied) {
		if v.Kind() == reflect.Struct {
			for i := range v.NumField() {
				if f := v.Type().Field(i); f.IsExported() {
					change(v.Field(i), name+"."+f.Name, run)
				}
			}
			return
		}
		old := reflect.New(v.Type()).Elem()
		old.Set(v)
		v.Set(other(v))
		n++
		if got, err := run.config(); err != nil || reflect.DeepEqual(got, before) {
			t.Errorf("%s: another value changes nothing: %v", name, err)
		}
		v.Set(old)
	}
	run := Vary(cfg)
	run.Data.Sources = slices.Clone(run.Data.Sources)
	change(reflect.ValueOf(&run.Settings).Elem(), "", &run)
	change(reflect.ValueOf(&run.Data.Sources[0]).Elem(), "source", &run)
	if n < 45 {
		t.Errorf("only %d settings were tried", n)
	}
	if again, err := Vary(cfg).config(); err != nil || !reflect.DeepEqual(again, before) {
		t.Errorf("the run file has changed: %v", err)
	}
	run.Objective.Scope = "none-such"
	if _, err := run.config(); err == nil || !strings.Contains(err.Error(), "none-such") {
		t.Errorf("an unknown scope: %v", err)
	}
}

// other is another value of a setting.
func other(v reflect.Value) reflect.Value {
	out := reflect.New(v.Type()).Elem()
	switch {
	case v.Type() == reflect.TypeFor[Scope]():
		out.SetString("7MB")
	case v.Kind() == reflect.Map:
		out.Set(reflect.MakeMap(v.Type()))
		out.SetMapIndex(reflect.ValueOf("x"), reflect.Zero(v.Type().Elem()))
	case v.Kind() == reflect.Slice:
		out.Set(reflect.MakeSlice(v.Type(), v.Len()+1, v.Len()+1))
	case v.Kind() == reflect.String:
		out.SetString(v.String() + "x")
	case v.Kind() == reflect.Bool:
		out.SetBool(!v.Bool())
	case v.CanInt():
		out.SetInt(v.Int() + 1)
	case v.CanUint():
		out.SetUint(v.Uint() + 1)
	default:
		out.SetFloat(v.Float() + 1)
	}
	return out
}

// Plain leaves the objective, machines, probes and log of a run file, and nothing else.
func TestPlain(t *testing.T) {
	cfg := tiny(t, "objective.method=mgda", "objective.scope=global", "objective.warmup=3", "probe.every=2", "log.gram_every=3",
		"log.every=7", "optim.lr=0.5")
	want := *cfg
	usual := config.Default()
	want.Objective, want.Probe, want.Log, want.Cluster = usual.Objective, usual.Probe, usual.Log, usual.Cluster
	if got, err := Vary(cfg).Plain().config(); err != nil || !reflect.DeepEqual(got, &want) {
		t.Errorf("%+v, %v\nwant %+v", got, err, &want)
	}
}
