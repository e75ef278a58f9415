package shaders

import (
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

func TestInclude(t *testing.T) {
	files := fstest.MapFS{}
	for name, text := range map[string]string{
		"k":                 "a\n//#include x\n  //#include y\nb\n",
		"twice":             "//#include x\n//#include x\nb\n",
		"choice":            "//#include load4_{B=f32} b\n",
		"two":               "//#include load4_{A=f32} a\n//#include load4_{B=u} b\n",
		"loop":              "//#include loop\nb\n",
		"missing":           "//#include none\n",
		"form":              "//#include \"x.wgsl\"\n",
		"more":              "fn f() {} //#include x\n",
		"operand":           "//#include x b\n",
		"nameless":          "//#include load4_{B=f32}\n",
		"include/x":         "x\n//#include y\n",
		"include/y":         "y\n",
		"include/loop":      "//#include loop\nloop\n",
		"include/load4_f32": "fn load4_OPERAND() { OPERAND[0] }\n",
		"include/load4_u":   "fn load4_OPERAND() { f(OPERAND[0]) }\n",
	} {
		files[name+".wgsl"] = &fstest.MapFile{Data: []byte(text)}
	}
	choose := func(values map[string]string) func(string) (string, bool) {
		return func(key string) (string, bool) { v, ok := values[key]; return v, ok }
	}
	for _, test := range []struct {
		kernel  string
		choices map[string]string
		want    string // text, or with fail the error
		fail    bool
	}{
		{kernel: "k", want: "a\nx\ny\nb\n"},
		{kernel: "twice", want: "x\ny\nb\n"},
		{kernel: "loop", want: "loop\nb\n"},
		{kernel: "choice", want: "fn load4_b() { b[0] }\n"},
		{kernel: "choice", choices: map[string]string{"B": "u"}, want: "fn load4_b() { f(b[0]) }\n"},
		{kernel: "two", choices: map[string]string{"A": "u"}, want: "fn load4_a() { f(a[0]) }\nfn load4_b() { f(b[0]) }\n"},
		{kernel: "choice", choices: map[string]string{"B": "i9"}, want: `no include named "load4_i9"`, fail: true},
		{kernel: "missing", want: `no include named "none"`, fail: true},
		{kernel: "form", want: "not of the form", fail: true},
		{kernel: "more", want: "not of the form", fail: true},
		{kernel: "operand", want: "OPERAND", fail: true},
		{kernel: "nameless", want: "OPERAND", fail: true},
		{kernel: "nobody", want: `no kernel named "nobody"`, fail: true},
	} {
		got, err := expand(files, test.kernel, choose(test.choices))
		switch {
		case test.fail && (err == nil || !strings.Contains(err.Error(), test.want)):
			t.Errorf("%s %v: text %q, error %v; want an error with %q", test.kernel, test.choices, got, err, test.want)
		case !test.fail && (err != nil || got != test.want):
			t.Errorf("%s %v: text %q, error %v; want %q", test.kernel, test.choices, got, err, test.want)
		}
	}
}

// rawFiles maps the path of every kernel and include to its text as it stands.
func rawFiles(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, pattern := range []string{"*.wgsl", "include/*.wgsl"} {
		paths, err := fs.Glob(files, pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range paths {
			b, err := files.ReadFile(p)
			if err != nil {
				t.Fatal(err)
			}
			out[p] = string(b)
		}
	}
	return out
}

// TestNoCopies wants no run of more than twelve equal lines in two files, nor twice
// in one: shared text is an include.
func TestNoCopies(t *testing.T) {
	const run = 13
	first := map[string]string{} // where a run was seen
	texts := rawFiles(t)
	for _, path := range slices.Sorted(maps.Keys(texts)) {
		lines := strings.Split(texts[path], "\n")
		for i := 0; i+run <= len(lines); i++ {
			key := strings.Join(lines[i:i+run], "\n")
			at := fmt.Sprintf("%s:%d", path, i+1)
			if other, ok := first[key]; ok {
				t.Errorf("%s repeats the %d lines from %s on: make them a file of include/", at, run, other)
				break
			}
			first[key] = at
		}
	}
}

// TestIncludesAreUsed wants every include in the text of a kernel, by one of the
// choices that its line can make.
func TestIncludesAreUsed(t *testing.T) {
	used := map[string]bool{}
	texts := rawFiles(t)
	for _, text := range texts {
		for line := range strings.Lines(text) {
			m := includeLine.FindStringSubmatch(strings.TrimSuffix(line, "\n"))
			if m == nil {
				continue
			}
			for path := range texts {
				stem := strings.TrimSuffix(strings.TrimPrefix(path, "include/"), ".wgsl")
				if stem == m[1] || m[2] != "" && strings.HasPrefix(stem, m[1]) {
					used[path] = true
				}
			}
		}
	}
	for path := range texts {
		if strings.HasPrefix(path, "include/") && !used[path] {
			t.Errorf("%s is included by no file", path)
		}
	}
}
