package param

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const root = "../.."

// spelled are parts of parameters' names in files.
var spelled = regexp.MustCompile(`layers\\?\.|\bh\.%d|_layernorm\b|embed_tokens|lm_head|_proj\b|norm\.weight$|` +
	`\bw[tp]e\b|c_(attn|proj|fc)\b|inv_freq|blk\.`)

// mapping are the places that translate between a family's parameters and the
// names in its files.
var mapping = []string{"internal/model/", "internal/ref/"}

// matchers compare or take apart a string.
var matchers = []string{"Contains", "HasPrefix", "HasSuffix", "Index", "Cut", "CutPrefix", "CutSuffix", "Split", "EqualFold",
	"MatchString", "FindStringSubmatch", "ReplaceAllString"}

// Nobody decodes a parameter's name: it is an identity, and what a parameter is
// stands in its Spec. Patterns that a user writes (objective.override) are
// matched with path.Match, which is not among the matchers, and the examples of keys of
// the run file show what a user writes.
func TestNobodyDecodesNames(t *testing.T) {
	for _, path := range sources(t) {
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, path), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, what := range decoded(f, path) {
			t.Errorf("%s: %s: go by param.Spec", path, what)
		}
	}
}

// The test finds what it looks for.
func TestDecodedIsFound(t *testing.T) {
	for _, code := range []string{
		`var x = regexp.MustCompile("layers\\.(\\d+)\\.")`,
		`func x(p P) bool { return p.R > 1 && strings.Contains(p.Name, pattern) }`,
		`func x(p P) bool { return p.Name == "wte.weight" }`,
		`func x(p P) bool { return strings.HasSuffix(p.Name, "norm.weight") }`,
		`func x(p P) bool { return layer.MatchString(p.Name) }`,
	} {
		f, err := parser.ParseFile(token.NewFileSet(), "", "package x\n"+code, 0)
		if err != nil {
			t.Fatal(err)
		}
		if len(decoded(f, "bucket/x.go")) == 0 {
			t.Errorf("%s is not found", code)
		}
	}
}

func sources(t *testing.T) []string {
	t.Helper()
	var out []string
	err := fs.WalkDir(os.DirFS(root), ".", func(path string, d fs.DirEntry, err error) error {
		if d != nil && d.IsDir() && (d.Name() == "testdata" || path != "." && strings.HasPrefix(d.Name(), ".")) {
			return fs.SkipDir
		}
		if strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go") {
			out = append(out, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// parameterised are the packages in which x.Name is a parameter's.
var parameterised = []string{"bucket/", "internal/optim/", "internal/checkpoint/", "internal/train/", "internal/model/"}

func decoded(f *ast.File, path string) []string {
	in := func(list []string) bool {
		return slices.ContainsFunc(list, func(p string) bool { return strings.HasPrefix(path, p) })
	}
	var out []string
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.BasicLit:
			if s, err := strconv.Unquote(n.Value); n.Kind == token.STRING && err == nil && !in(mapping) &&
				!strings.HasPrefix(s, "toml:") && spelled.MatchString(s) {
				out = append(out, "spells a parameter's name in "+n.Value)
			}
		case *ast.CallExpr:
			if f, ok := n.Fun.(*ast.SelectorExpr); ok && in(parameterised) && slices.Contains(matchers, f.Sel.Name) &&
				slices.ContainsFunc(n.Args, isName) {
				out = append(out, f.Sel.Name+" takes a name apart")
			}
		}
		return true
	})
	return out
}

func isName(e ast.Expr) bool {
	s, ok := e.(*ast.SelectorExpr)
	return ok && s.Sel.Name == "Name"
}
