package config

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// A mode is parsed here, once: the packages of a run compare no text with the values of
// a setting.
func TestModesAreNotText(t *testing.T) {
	modes := map[string]bool{"tensor": true, "layer": true, "global": true, string(MethodStatic): true, string(MethodMean): true}
	for _, k := range Keys() {
		if strings.Contains(k.Allowed, `"`) {
			for quoted := range strings.SplitSeq(k.Allowed, ", ") {
				v, err := strconv.Unquote(quoted)
				if err != nil {
					t.Fatal(k.Name, err)
				}
				modes[v] = v != ""
			}
		}
	}
	files := 0
	for _, dir := range []string{"audit", "bench", "compare", "corpus", "device", "exchange",
		"infer", "objective", "optim", "rundir", "step", "study", "train",
		"../bucket", "../cmd/concord"} {
		found, err := filepath.Glob(filepath.Join("..", dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range found {
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			files++
			fset := token.NewFileSet()
			f, err := parser.ParseFile(fset, path, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			for _, at := range comparedText(f, modes) {
				t.Errorf("%s: a mode is compared as text: give it a type, or ask the options", fset.Position(at))
			}
		}
	}
	if files < 80 {
		t.Errorf("only %d files were read", files)
	}
}

// comparedText lists where a file compares something with one of the texts.
func comparedText(f *ast.File, texts map[string]bool) (out []token.Pos) {
	look := func(e ast.Expr) {
		if l, ok := e.(*ast.BasicLit); ok && l.Kind == token.STRING {
			if v, err := strconv.Unquote(l.Value); err == nil && texts[v] {
				out = append(out, l.Pos())
			}
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.BinaryExpr:
			if n.Op == token.EQL || n.Op == token.NEQ {
				look(n.X)
				look(n.Y)
			}
		case *ast.CaseClause:
			for _, e := range n.List {
				look(e)
			}
		}
		return true
	})
	return out
}

func TestComparedText(t *testing.T) {
	const source = `package p
func f(s string) bool {
	switch s { case "adam", "x": return true }
	return s == "x" || "adam" != s || s+"adam" == s
}`
	f, err := parser.ParseFile(token.NewFileSet(), "", source, 0)
	if err != nil {
		t.Fatal(err)
	}
	if got := comparedText(f, map[string]bool{"adam": true}); len(got) != 2 {
		t.Errorf("%d comparisons found, want 2", len(got))
	}
}
