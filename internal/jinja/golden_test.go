package jinja

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// day is the date at which testdata/make_golden.py pins the clock.
var day = Options{Now: time.Date(2024, 7, 26, 0, 0, 0, 0, time.UTC)}

type goldenCase struct {
	Source, Text string
	Spans        [][2]int
	Error        bool
}

func readGolden(t testing.TB) (vars *Dict, cases []goldenCase) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", "golden.json"))
	if err != nil {
		t.Fatal(err)
	}
	var f struct {
		Vars  json.RawMessage
		Cases []goldenCase
	}
	if err := json.Unmarshal(raw, &f); err != nil {
		t.Fatal(err)
	}
	v, err := ParseJSON(f.Vars)
	if err != nil {
		t.Fatal(err)
	}
	return v.(*Dict), f.Cases
}

// render parses and renders.
func render(source string, vars *Dict) (string, []Span, error) {
	t, err := Parse(source)
	if err != nil {
		return "", nil, err
	}
	return t.Render(vars, day)
}

// Every construct gives the text, the generated spans and the refusals of
// transformers' Jinja.
func TestGolden(t *testing.T) {
	vars, cases := readGolden(t)
	vars.Set("messages", &List{})
	if len(cases) < 100 {
		t.Fatalf("%d cases", len(cases))
	}
	for _, c := range cases {
		text, spans, err := render(c.Source, vars)
		want := []Span{}
		for _, s := range c.Spans {
			want = append(want, Span{s[0], s[1]})
		}
		switch {
		case c.Error && err == nil:
			t.Errorf("%q: %q, want an error", c.Source, text)
		case !c.Error && (err != nil || text != c.Text || !slices.Equal(spans, want)):
			t.Errorf("%q:\n got %q %v %v\nwant %q %v", c.Source, text, spans, err, c.Text, want)
		}
	}
}
