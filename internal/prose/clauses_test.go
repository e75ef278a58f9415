package prose

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// clause finds such a clause; who may follow the words of antecedent.
var (
	clause     = regexp.MustCompile(`(?i)\b(what|whatever|who|whoever|whom|whichever|of which)\b`)
	antecedent = regexp.MustCompile(`(?i)\b(those|others|anybody|everyone|everybody|somebody|nobody|all|users?|people) who\b`)
)

// clauses are the relative clauses without a noun in a text.
func clauses(text string) []string {
	return clause.FindAllString(antecedent.ReplaceAllString(text, ""), -1)
}

// TestClauses holds that doc comments have no relative clause without a noun: comments of
// packages, declarations, fields and methods of interfaces, tests left out.
func TestClauses(t *testing.T) {
	comments := 0
	eachDoc(t, root, func(at token.Position, text string) {
		comments++
		for _, c := range clauses(text) {
			t.Errorf("%s:%d: %q begins a clause without a noun: name the thing (\"the bytes that\", \"a machine that\")", at.Filename, at.Line, c)
		}
	})
	if comments < 5000 {
		t.Errorf("only %d doc comments seen", comments)
	}
}

// TestClausesAreFound holds that the search sees such clauses, and no others.
func TestClausesAreFound(t *testing.T) {
	for text, want := range map[string]int{
		"Options are what a worker needs.": 1, "It works for whoever leads.": 1, "Who joins is told.": 1, "buckets, of which one is first": 1,
		"those who join, and a group whose owner died": 0, "somewhat": 0, "the machine that leads": 0,
	} {
		if got := clauses(text); len(got) != want {
			t.Errorf("%q: %q", text, got)
		}
	}
}

// eachDoc calls f for every doc comment below dir, with its place.
func eachDoc(t *testing.T, dir string, f func(at token.Position, text string)) {
	t.Helper()
	fset := token.NewFileSet()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(fset, path, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		doc := func(c *ast.CommentGroup) {
			if c != nil {
				f(fset.Position(c.Pos()), c.Text())
			}
		}
		doc(file.Doc)
		ast.Inspect(file, func(n ast.Node) bool {
			switch x := n.(type) {
			case *ast.FuncDecl:
				doc(x.Doc)
				return false
			case *ast.GenDecl:
				doc(x.Doc)
			case *ast.TypeSpec:
				doc(x.Doc)
			case *ast.ValueSpec:
				doc(x.Doc)
				doc(x.Comment)
			case *ast.Field:
				doc(x.Doc)
				doc(x.Comment)
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
