package prose

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// The sizes that the code keeps to.
const (
	mostColumns   = 140 // of a line, outside tables of tests and generated files
	fileLines     = 350 // of nine files in ten
	functionLines = 40  // of nine functions in ten
)

// TestSizes holds that lines, files and functions can be read: lines in columns, a tab as
// one, files and functions by the ninth tenth of their lengths.
func TestSizes(t *testing.T) {
	var files, functions []int
	eachText(t, func(path, text string) {
		if !strings.HasSuffix(path, ".go") {
			return
		}
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, path, text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, strings.Count(text, "\n"))
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok {
				functions = append(functions, fset.Position(fn.End()).Line-fset.Position(fn.Pos()).Line+1)
			}
		}
		table := map[int]bool{}
		if strings.Contains(path, "test") {
			table = tableLines(fset, f)
		}
		for i, line := range strings.Split(text, "\n") {
			if n := utf8.RuneCountInString(line); n > mostColumns && !table[i+1] && !ast.IsGenerated(f) {
				t.Errorf("%s:%d: %d columns, more than %d", path, i+1, n, mostColumns)
			}
		}
	})
	if len(files) < 500 || len(functions) < 5000 {
		t.Fatalf("only %d files and %d functions seen", len(files), len(functions))
	}
	f, fn := ninthTenth(files), ninthTenth(functions)
	t.Logf("%d files, nine in ten with up to %d lines; %d functions, nine in ten with up to %d", len(files), f, len(functions), fn)
	if f > fileLines {
		t.Errorf("nine files in ten have up to %d lines, more than %d", f, fileLines)
	}
	if fn > functionLines {
		t.Errorf("nine functions in ten have up to %d lines, more than %d", fn, functionLines)
	}
}

// ninthTenth is the length that nine in ten do not exceed.
func ninthTenth(lengths []int) int {
	slices.Sort(lengths)
	return lengths[(len(lengths)-1)*9/10]
}

// tableLines are the lines of a file's tables: those between the braces of a list or a map.
func tableLines(fset *token.FileSet, f *ast.File) map[int]bool {
	out := map[int]bool{}
	ast.Inspect(f, func(n ast.Node) bool {
		c, ok := n.(*ast.CompositeLit)
		if !ok {
			return true
		}
		switch c.Type.(type) {
		case *ast.ArrayType, *ast.MapType:
			for l := fset.Position(c.Lbrace).Line + 1; l < fset.Position(c.Rbrace).Line; l++ {
				out[l] = true
			}
		}
		return true
	})
	return out
}

// TestTableLines holds that only the rows of tables may be long.
func TestTableLines(t *testing.T) {
	const text = "package p\n\nvar list = []int{\n\t1,\n\t2,\n}\n\nvar one = f(1,\n\t2,\n\t3)\n"
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, "", text, 0)
	if err != nil {
		t.Fatal(err)
	}
	for l := range 11 {
		if got, want := tableLines(fset, f)[l], l == 4 || l == 5; got != want {
			t.Errorf("line %d: %v", l, got)
		}
	}
}
