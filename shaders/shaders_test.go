package shaders

import (
	"slices"
	"strings"
	"testing"
)

func TestNamesAndSource(t *testing.T) {
	names := Names()
	if len(names) == 0 || !slices.IsSorted(names) {
		t.Fatalf("names %q, want some, sorted", names)
	}
	for _, name := range names {
		if src, err := Source(name); err != nil || src == "" {
			t.Errorf("source of %s: %d bytes, error %v", name, len(src), err)
		}
	}
	if _, err := Source("no_such_kernel"); err == nil || !strings.Contains(err.Error(), "no_such_kernel") {
		t.Errorf("source of an unknown kernel: error %v, want one with its name", err)
	}
}

func TestLower(t *testing.T) {
	const src = "override WG: u32 = 64;\noverride SCALE: f32 = 0.5; // unit\nfn main() { let x = WG; }\n"
	tests := []struct {
		name   string
		src    string
		values map[string]string
		want   string // text, or with fail the error
		fail   bool
	}{
		{name: "defaults", src: src, want: "const WG: u32 = 64;\nconst SCALE: f32 = 0.5; // unit\nfn main() { let x = WG; }\n"},
		{name: "one value", src: src, values: map[string]string{"WG": "8"},
			want: "const WG: u32 = 8;\nconst SCALE: f32 = 0.5; // unit\nfn main() { let x = WG; }\n"},
		{name: "all values", src: src, values: map[string]string{"WG": "8", "SCALE": "-1.0"},
			want: "const WG: u32 = 8;\nconst SCALE: f32 = -1.0; // unit\nfn main() { let x = WG; }\n"},
		{name: "signed", src: "override BIAS: i32 = -3;", want: "const BIAS: i32 = -3;"},
		{name: "no overrides", src: "const A: u32 = 1u;", want: "const A: u32 = 1u;"},
		{name: "the word in a comment", src: "// override by hand\nfn f() {} // an override", want: "// override by hand\nfn f() {} // an override"},
		{name: "unknown name", src: src, values: map[string]string{"WIDTH": "8"}, want: `"WIDTH"`, fail: true},
		{name: "name of a const", src: "const A: u32 = 1u;", values: map[string]string{"A": "2"}, want: `"A"`, fail: true},
		{name: "indented", src: "  override WG: u32 = 64;", want: "column 0", fail: true},
		{name: "untyped", src: "override WG = 64;", want: "column 0", fail: true},
		{name: "without default", src: "override WG: u32;", want: "column 0", fail: true},
		{name: "of another type", src: "override ON: bool = true;", want: "column 0", fail: true},
		{name: "with an id", src: "@id(1) override WG: u32 = 64;", want: "column 0", fail: true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := lower(test.src, test.values)
			switch {
			case test.fail && (err == nil || got != "" || !strings.Contains(err.Error(), test.want)):
				t.Errorf("text %q, error %v; want an error with %q", got, err, test.want)
			case !test.fail && (err != nil || got != test.want):
				t.Errorf("text %q, error %v; want %q", got, err, test.want)
			}
		})
	}
}

func TestSpecializeLowersEveryKernel(t *testing.T) {
	for _, name := range Names() {
		text, err := Specialize(name, nil)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if strings.Contains(code(text), "override") {
			t.Errorf("%s: an override is left", name)
		}
	}
}
