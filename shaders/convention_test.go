package shaders

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

const (
	maxLines          = 150 // of code: comments and blank lines are free
	maxStorageBuffers = 8   // WebGPU's default limits, which every device offers
	maxInvocations    = 256
	maxWorkgroupBytes = 16 << 10
)

func source(t *testing.T, name string) string {
	t.Helper()
	src, err := Source(name)
	if err != nil {
		t.Fatal(err)
	}
	return src
}

var comment = regexp.MustCompile(`//[^\n]*`)

// code is src without comments.
func code(src string) string { return comment.ReplaceAllString(src, "") }

// header is the comment that src begins with.
func header(src string) string {
	var b strings.Builder
	for line := range strings.Lines(src) {
		if !strings.HasPrefix(line, "//") {
			break
		}
		b.WriteString(line)
	}
	return b.String()
}

func TestHeader(t *testing.T) {
	reference := regexp.MustCompile(`(?m)^// Reference: (internal/ref/\w+\.go)\b`)
	for _, name := range Names() {
		src := source(t, name)
		head := header(src)
		if !regexp.MustCompile(`^// ` + name + `: \S`).MatchString(head) {
			t.Errorf("%s: the first line must be '// %s: formula'", name, name)
		}
		if !strings.Contains(head, "\n// Dispatch: ") {
			t.Errorf("%s: the header has no line '// Dispatch: …'", name)
		}
		if m := reference.FindStringSubmatch(head); m == nil {
			t.Errorf("%s: the header has no line '// Reference: internal/ref/….go'", name)
		} else if _, err := os.Stat(filepath.Join("..", filepath.FromSlash(m[1]))); err != nil {
			t.Errorf("%s: the reference does not exist: %v", name, err)
		}
		for _, b := range bindings(t, name)[1:] {
			if !regexp.MustCompile(`\b` + b.name + `\b`).MatchString(head) {
				t.Errorf("%s: the header does not explain the binding %s", name, b.name)
			}
		}
	}
}

// TestLines bounds the files, kernels and includes, and what they are indented with.
func TestLines(t *testing.T) {
	for path, text := range rawFiles(t) {
		lines := 0
		for line := range strings.Lines(text) {
			line = strings.TrimSuffix(line, "\n")
			if strings.TrimSpace(code(line)) != "" {
				lines++
			}
			if strings.ContainsAny(line, "\t\r") || strings.TrimRight(line, " ") != line {
				t.Errorf("%s: tab, carriage return or trailing blank in %q", path, line)
			}
		}
		if lines > maxLines {
			t.Errorf("%s: %d lines of code, at most %d", path, lines, maxLines)
		}
		if !strings.HasSuffix(text, "}\n") && !strings.HasSuffix(text, ";\n") {
			t.Errorf("%s: does not end with a line of code", path)
		}
	}
}

func TestLayout(t *testing.T) {
	for _, name := range Names() {
		src := source(t, name)
		if n := strings.Count(src, "\nstruct Params {"); n != 1 {
			t.Errorf("%s: %d lines that begin 'struct Params {', want 1", name, n)
		}
		entries := regexp.MustCompile(`@(compute|vertex|fragment)\b[^{]*?\bfn\s+(\w+)`).FindAllStringSubmatch(code(src), -1)
		if len(entries) != 1 || entries[0][1] != "compute" || entries[0][2] != "main" {
			t.Errorf("%s: entry points %q, want one compute shader called main", name, entries)
		}
	}
}

// binding is one @group(0) resource.
type binding struct{ name, space, typ string }

// bindings returns name's resources in declaration order and fails the test
// unless they are numbered 0, 1, … in group 0.
func bindings(t *testing.T, name string) []binding {
	t.Helper()
	decl := regexp.MustCompile(`(?m)^@group\(0\) @binding\((\d+)\) var<([^>]*)> (\w+): ([^;]+);`)
	src := source(t, name)
	var out []binding
	for i, m := range decl.FindAllStringSubmatch(src, -1) {
		if m[1] != strconv.Itoa(i) {
			t.Errorf("%s: binding %s in place %d", name, m[1], i)
		}
		out = append(out, binding{m[3], m[2], m[4]})
	}
	if n := strings.Count(code(src), "@binding"); n != len(out) || n == 0 {
		t.Fatalf("%s: %d bindings, %d of the form '@group(0) @binding(N) var<…> name: type;' at column 0", name, n, len(out))
	}
	return out
}

func TestBindings(t *testing.T) {
	element := regexp.MustCompile(`^array<(f32|u32|i32|vec[24]<(f32|u32|i32)>|Packed_\w+)>$`)
	for _, name := range Names() {
		all := bindings(t, name)
		if all[0] != (binding{"p", "uniform", "Params"}) {
			t.Errorf("%s: binding 0 is %v, want var<uniform> p: Params", name, all[0])
		}
		if len(all)-1 > maxStorageBuffers {
			t.Errorf("%s: %d storage buffers, at most %d", name, len(all)-1, maxStorageBuffers)
		}
		written := false
		for _, b := range all[1:] {
			switch b.space {
			case "storage, read":
				if written {
					t.Errorf("%s: the input %s comes after an output", name, b.name)
				}
			case "storage, read_write":
				written = true
			default:
				t.Errorf("%s: %s is var<%s>, want 'storage, read' or 'storage, read_write'", name, b.name, b.space)
			}
			if !element.MatchString(b.typ) {
				t.Errorf("%s: %s is %s, want an array of scalars, vec2, vec4 or what an accessor packs", name, b.name, b.typ)
			}
		}
		if !written {
			t.Errorf("%s: no output", name)
		}
	}
}

// TestForbidden holds the text to what every driver and the binding's compiler,
// naga 0.19, take, and to what gives the same bits on every run.
func TestForbidden(t *testing.T) {
	words := regexp.MustCompile(`\b(enable|requires|diagnostic|const_assert|push_constant|immediate|subgroup\w*|f16|f64|` +
		`inf|Inf|INFINITY|nan|NaN)\b`)
	float := regexp.MustCompile(`\b\d+(\.\d*)?([eE][-+]?\d+)?[fh]?\b`)
	bits := regexp.MustCompile(`bitcast<f32>\(0x(7f8|ff8|7fc)`)
	compare := regexp.MustCompile(`([\w.\[\]]+) (?:!=|==) ([\w.\[\]]+)`)
	atomics := regexp.MustCompile(`atomic<f32>|atomicAdd|atomicCompareExchangeWeak`)
	for _, name := range Names() {
		text := code(source(t, name))
		for _, w := range words.FindAllString(text, -1) {
			t.Errorf("%s: %s", name, w)
		}
		for _, re := range []*regexp.Regexp{bits, atomics} {
			for _, w := range re.FindAllString(text, -1) {
				t.Errorf("%s: %s", name, w)
			}
		}
		for _, w := range float.FindAllString(text, -1) {
			if v, err := strconv.ParseFloat(strings.TrimRight(w, "fh"), 64); err == nil && v > 3.0e38 {
				t.Errorf("%s: %s is too near infinity, use 3.0e38", name, w)
			}
		}
		for _, m := range compare.FindAllStringSubmatch(text, -1) {
			if m[1] == m[2] {
				t.Errorf("%s: %s: compilers may assume that there is no NaN; test the bits", name, m[0])
			}
		}
		if strings.Contains(text, "/ 0.0") {
			t.Errorf("%s: a division by zero is not an infinity everywhere", name)
		}
	}
}

func TestWorkgroupLimits(t *testing.T) {
	size := regexp.MustCompile(`@workgroup_size\(([^)]*)\)`)
	for _, name := range Names() {
		text, err := Specialize(name, nil)
		if err != nil {
			t.Fatal(err)
		}
		consts := constants(text)
		invocations := 1
		for _, dim := range strings.Split(size.FindStringSubmatch(code(text))[1], ",") {
			invocations *= value(t, name, consts, dim)
		}
		if invocations < 1 || invocations > maxInvocations {
			t.Errorf("%s: %d invocations per workgroup, at most %d", name, invocations, maxInvocations)
		}
		if n := workgroupBytes(t, name, text, consts); n > maxWorkgroupBytes {
			t.Errorf("%s: %d bytes of workgroup memory, at most %d", name, n, maxWorkgroupBytes)
		}
	}
}

// workgroupBytes adds up the declarations var<workgroup>.
func workgroupBytes(t *testing.T, name, text string, consts map[string]string) int {
	t.Helper()
	decl := regexp.MustCompile(`(?m)^var<workgroup> \w+: (?:array<)?(f32|u32|i32|vec2<\w+>|vec4<\w+>)(?:, ([^>;]+)>)?;`)
	total, found := 0, decl.FindAllStringSubmatch(code(text), -1)
	if n := strings.Count(code(text), "var<workgroup>"); n != len(found) {
		t.Errorf("%s: %d workgroup variables, %d of the form 'var<workgroup> name: array<type, length>;'", name, n, len(found))
	}
	for _, m := range found {
		bytes := map[byte]int{'2': 8, '4': 16}[m[1][min(3, len(m[1])-1)]]
		if !strings.HasPrefix(m[1], "vec") {
			bytes = 4
		}
		if m[2] != "" {
			bytes *= value(t, name, consts, m[2])
		}
		total += bytes
	}
	return total
}

// constants maps the names of module-scope constants to their texts.
func constants(text string) map[string]string {
	out := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^const (\w+)(?:: \w+)? = ([^;]+);`).FindAllStringSubmatch(code(text), -1) {
		out[m[1]] = m[2]
	}
	return out
}

// value evaluates a product of integers and constants.
func value(t *testing.T, name string, consts map[string]string, expr string) int {
	t.Helper()
	product := 1
	for _, f := range strings.Split(expr, "*") {
		f = strings.TrimSpace(f)
		if c, ok := consts[f]; ok {
			product *= value(t, name, consts, c)
			continue
		}
		n, err := strconv.Atoi(strings.TrimSuffix(f, "u"))
		if err != nil {
			t.Fatalf("%s: cannot evaluate %q: %v", name, expr, err)
		}
		product *= n
	}
	return product
}
