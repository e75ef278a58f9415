package report

import (
	"os"
	"reflect"
	"strings"
	"testing"
)

// Every field of every record is in docs/metrics.md.
func TestMetricsAreDocumented(t *testing.T) {
	b, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	var walk func(x reflect.Type, path string)
	walk = func(x reflect.Type, path string) {
		for x.Kind() == reflect.Pointer || x.Kind() == reflect.Slice || x.Kind() == reflect.Map {
			x = x.Elem()
		}
		if x.Kind() != reflect.Struct {
			return
		}
		for f := range x.Fields() {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if name == "-" || name == "" {
				continue
			}
			if name != "kind" && !strings.Contains(string(b), "`"+name+"`") {
				t.Errorf("%s.%s is not in docs/metrics.md", path, name)
			}
			walk(f.Type, path+"."+name)
		}
	}
	for _, r := range []any{Header{}, Step{}, Eval{}, Gram{}, Probe{}, Note{}, End{}} {
		walk(reflect.TypeOf(r), reflect.TypeOf(r).Name())
	}
}
