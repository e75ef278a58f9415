package config

import (
	"reflect"
	"testing"
)

// Every setting of an empty run file is usual, sources with their defaults too; an entry of
// a table of the user's has no usual value.
func TestUsual(t *testing.T) {
	c := Default()
	c.Data.Source, c.Objective.Override = []Source{{Train: true}}, []Override{{}}
	n := 0
	for _, v := range c.Values() {
		if got, known := Usual(v.Key); !known || !reflect.DeepEqual(got, v.Value) {
			t.Errorf("%s: %#v, %v; want %#v", v.Key, got, known, v.Value)
		}
		if !IsSetting(v.Key) {
			t.Errorf("%s is no setting", v.Key)
		}
		n++
	}
	if n < 100 {
		t.Errorf("only %d settings were seen", n)
	}
	for _, key := range []string{"objective.weights.sw", "no.such", ""} {
		if v, known := Usual(key); known {
			t.Errorf("%q has the usual value %v", key, v)
		}
		if got, want := IsSetting(key), key == "objective.weights.sw"; got != want {
			t.Errorf("%q is a setting: %v", key, got)
		}
	}
}
