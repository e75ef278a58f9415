package config

import (
	"encoding/json"
	"reflect"
	"testing"
)

// A run that was started before a setting existed goes on with its default: any setting,
// and any section, may be missing in a stored configuration.
func TestStoredBeforeASettingExisted(t *testing.T) {
	want, err := json.Marshal(Default())
	if err != nil {
		t.Fatal(err)
	}
	without := func(section, key string) {
		t.Helper()
		var stored map[string]any
		if err := json.Unmarshal(want, &stored); err != nil {
			t.Fatal(err)
		}
		if key == "" {
			delete(stored, section)
		} else {
			delete(stored[section].(map[string]any), key)
		}
		b, err := json.Marshal(stored)
		if err != nil {
			t.Fatal(err)
		}
		var c Config
		if err := json.Unmarshal(b, &c); err != nil {
			t.Fatal(err)
		}
		r := Restore("run.toml", &c)
		if err := r.checkTags(); err != nil {
			t.Errorf("stored without %s.%s: %v", section, key, err)
		}
		if got, err := json.Marshal(r); err != nil || string(got) != string(want) {
			t.Errorf("stored without %s.%s: %s, %v", section, key, got, err)
		}
	}
	sections := reflect.TypeFor[Config]()
	for i := range sections.NumField() {
		s := sections.Field(i)
		if !s.IsExported() || s.Type.Kind() != reflect.Struct {
			continue
		}
		without(s.Name, "")
		for j := range s.Type.NumField() {
			without(s.Name, s.Type.Field(j).Name)
		}
	}
}
