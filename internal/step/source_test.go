package step

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// parse reads the Go files of a folder, tests left out.
func parse(t *testing.T, dir string) (*token.FileSet, []*ast.File) {
	t.Helper()
	set := token.NewFileSet()
	paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil || len(paths) == 0 {
		t.Fatal("no files in", dir, err)
	}
	var out []*ast.File
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(set, path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, f)
	}
	return set, out
}

// exchanges are the types of package exchange that have a method Begin or Finish, and
// the one that those of many machines embed.
func exchanges(t *testing.T) map[string]bool {
	out := map[string]bool{"distributed": true}
	_, files := parse(t, "../exchange")
	for _, f := range files {
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv != nil && (fn.Name.Name == "Begin" || fn.Name.Name == "Finish") {
				out[strings.ToLower(fn.Recv.List[0].Type.(*ast.StarExpr).X.(*ast.Ident).Name)] = true
			}
		}
	}
	if len(out) != 6 {
		t.Fatalf("the exchanges are %v", out)
	}
	return out
}

// The step has no mode: its package imports no exchange and nothing of other machines,
// declares nothing by an exchange's name, and reads no setting that chooses one.
func TestStepNamesNoExchange(t *testing.T) {
	names := exchanges(t)
	settings := []string{"Cluster", "Clustered", "Sharded", "OuterSteps"}
	set, files := parse(t, ".")
	for _, f := range files {
		for _, imp := range f.Imports {
			for _, not := range []string{"internal/exchange", "internal/cluster", "transport"} {
				if strings.Contains(imp.Path.Value, not) {
					t.Errorf("%s imports %s", set.Position(imp.Pos()), imp.Path.Value)
				}
			}
		}
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.SelectorExpr:
				if slices.Contains(settings, n.Sel.Name) {
					t.Errorf("%s: %s is read", set.Position(n.Pos()), n.Sel.Name)
				}
				return true
			case *ast.Ident:
				if n.Obj != nil && names[strings.ToLower(n.Name)] {
					t.Errorf("%s: %s is the name of an exchange", set.Position(n.Pos()), n.Name)
				}
			case *ast.Field:
				for _, name := range n.Names {
					if names[strings.ToLower(name.Name)] {
						t.Errorf("%s: %s is the name of an exchange", set.Position(name.Pos()), name.Name)
					}
				}
			}
			return true
		})
	}
}

// Trainer has no field for a mode.
func TestTrainerHasNoMode(t *testing.T) {
	_, files := parse(t, ".")
	var fields []string
	for _, f := range files {
		ast.Inspect(f, func(n ast.Node) bool {
			if s, ok := n.(*ast.TypeSpec); ok && s.Name.Name == "Trainer" {
				for _, field := range s.Type.(*ast.StructType).Fields.List {
					fields = append(fields, fmt.Sprint(field.Names, field.Type))
				}
			}
			return true
		})
	}
	if len(fields) != 3 {
		t.Errorf("Trainer has the fields %v: a replica, an exchange and the last step's report are all that it needs", fields)
	}
}

var update = flag.Bool("update", false, "write the lines of docs/architecture.md anew")

// mainPath finds the walk from the run to the optimizer in docs/architecture.md: a
// function in backquotes, linked to file#Lline.
var mainPath = regexp.MustCompile("`([\\w.]+)` \\(\\[([^\\]:]+):(\\d+)\\]\\(\\.\\./[^)#]+#L\\d+\\)\\)")

// docs/architecture.md walks the main path, each function at its line: at most 250
// lines in at most four files.
func TestMainPath(t *testing.T) {
	const doc = "../../docs/architecture.md"
	text, err := os.ReadFile(doc)
	if err != nil {
		t.Fatal(err)
	}
	lines, files := 0, map[string]bool{}
	out := mainPath.ReplaceAllStringFunc(string(text), func(s string) string {
		m := mainPath.FindStringSubmatch(s)
		first, n := lineOf(t, filepath.Join("../..", m[2]), m[1])
		if n == 0 {
			t.Errorf("%s has no %s", m[2], m[1])
		}
		lines, files[m[2]] = lines+n, true
		if m[3] != fmt.Sprint(first) && !*update {
			t.Errorf("%s is at %s:%d, not at line %s; go test ./internal/step -run MainPath -update", m[1], m[2], first, m[3])
		}
		return fmt.Sprintf("`%s` ([%s:%d](../%s#L%d))", m[1], m[2], first, m[2], first)
	})
	if len(files) == 0 || len(files) > 4 || lines > 250 {
		t.Errorf("the main path has %d lines in %d files: %v", lines, len(files), files)
	}
	if *update {
		if err := os.WriteFile(doc, []byte(out), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// lineOf is where a function begins, and how many lines it has.
func lineOf(t *testing.T, path, name string) (first, n int) {
	t.Helper()
	set := token.NewFileSet()
	f, err := parser.ParseFile(set, path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range f.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok {
			continue
		}
		full := fn.Name.Name
		if fn.Recv != nil {
			typ := fn.Recv.List[0].Type
			if s, ok := typ.(*ast.StarExpr); ok {
				typ = s.X
			}
			full = typ.(*ast.Ident).Name + "." + full
		}
		if full == name {
			first = set.Position(fn.Pos()).Line
			return first, set.Position(fn.End()).Line - first + 1
		}
	}
	return 0, 0
}
