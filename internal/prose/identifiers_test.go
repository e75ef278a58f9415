// Package prose holds what is written in English in this module: comments that name
// things which are not there any more, and words that the glossary has replaced.
package prose

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const root = "../.."

// names are capitalised words of package comments that are no identifiers.
var names = set(`AdamW Adam Advances Ada Bellman Blocked Chromium Chrome Cholesky Conflict Coordinator Debian DeMo DiLoCo
	Douillard Ed25519 Euclidean Face Frank Gaussian Gemma Go Gonum Gradient Gram Grams Hugging Intel Jacobian Jinja
	Kubernetes Latin Linux Llama Markdown Metal Mesa Mistral Nesterov Newton Nvidia Pareto Phi Prometheus Python
	Qwen SafeTensors Slurm Steiner Student SwiftShader Kurin SmolLM SmolLM2 TinyLlama Jacobians WebGPU LockFileEx
	Lustre CephFS Jinja2 ShareGPT Alpaca Dolly Aya Parquet ChatML TensorBoard TFRecord Weights Biases LevelDB ZeRO
	Unicode Vulkan Windows Wolfe Xavier I TestMine Gw False Event Parent The bufio.Writer`)

func set(words string) map[string]bool {
	out := map[string]bool{}
	for _, w := range strings.Fields(words) {
		out[w] = true
	}
	return out
}

// capitalised is a word inside of a sentence, with the names that qualify it.
var capitalised = regexp.MustCompile(`[A-Za-z0-9_./]*\b[A-Z][a-z][A-Za-z0-9]*\b(?:\.[A-Z][A-Za-z0-9]*)?`)

// TestPackageComments holds that the identifiers in package comments exist: a
// capitalised word inside of a sentence is the name of something in the package, or in
// the package that qualifies it.
func TestPackageComments(t *testing.T) {
	declared, comments := readPackages(t)
	found := 0
	for dir, text := range comments {
		for _, word := range identifiers(text) {
			found++
			if !exists(declared, dir, word) {
				t.Errorf("the comment of package %s names %s, which is neither declared there nor in the list of names here", dir, word)
			}
		}
	}
	if found < 20 {
		t.Errorf("only %d identifiers found in package comments: does the test see them?", found)
	}
}

var fileName = regexp.MustCompile(`[a-z0-9_/]+\.(?:go|wgsl)\b`)

// TestFilesOfComments: the files that package comments name exist, in the package or by
// their path in the module.
func TestFilesOfComments(t *testing.T) {
	_, comments := readPackages(t)
	found := 0
	for dir, text := range comments {
		for _, name := range fileName.FindAllString(text, -1) {
			found++
			_, own := os.Stat(filepath.Join(root, dir, name))
			_, whole := os.Stat(filepath.Join(root, name))
			if own != nil && whole != nil {
				t.Errorf("the comment of package %s names %s, which does not exist", dir, name)
			}
		}
	}
	if found < 20 {
		t.Errorf("only %d files found in package comments: does the test see them?", found)
	}
}

// identifiers are the words of a comment that look like Go names.
func identifiers(text string) (out []string) {
	for _, m := range capitalised.FindAllStringIndex(text, -1) {
		word := strings.Trim(text[m[0]:m[1]], "./")
		before := strings.TrimRight(text[:m[0]], "*\"'([#- \t")
		first := before == "" || strings.HasSuffix(before, "\n\n") || strings.ContainsAny(last(strings.TrimRight(before, " \n\"')")), ".:?!;") ||
			before != text[:m[0]] && strings.HasSuffix(before, "\n") // an item of a list, or code
		if first && !strings.Contains(word, ".") {
			continue
		}
		if strings.Contains(word, "/") || names[word] {
			continue
		}
		out = append(out, word)
	}
	return out
}

func last(s string) string {
	if s == "" {
		return ""
	}
	return s[len(s)-1:]
}

// exists says that a package declares the word: Name, Type.Method, pkg.Name or
// pkg.Type.Method, exported or not.
func exists(declared map[string]map[string]bool, dir, word string) bool {
	if declared[dir][word] {
		return true
	}
	pkg, name, ok := strings.Cut(word, ".")
	if !ok {
		return false
	}
	for d, names := range declared {
		if filepath.Base(d) == pkg && names[name] {
			return true
		}
	}
	return !strings.Contains(pkg, "concord") && isFile(word)
}

func isFile(word string) bool {
	switch filepath.Ext(word) {
	case ".go", ".md", ".toml", ".json", ".jsonl", ".wgsl":
		return true
	}
	return false
}

// readPackages lists by folder everything that is declared, and the package comments.
func readPackages(t *testing.T) (declared map[string]map[string]bool, comments map[string]string) {
	t.Helper()
	declared, comments = map[string]map[string]bool{}, map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") && path != root) {
			return fs.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		dir := strings.TrimPrefix(filepath.ToSlash(filepath.Dir(path)), root+"/")
		if declared[dir] == nil {
			declared[dir] = map[string]bool{}
		}
		for _, decl := range f.Decls {
			declare(declared[dir], decl)
		}
		if f.Doc != nil {
			comments[dir] += f.Doc.Text() + "\n"
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return declared, comments
}

// declare adds the names of a declaration, with the fields and methods of types.
func declare(into map[string]bool, decl ast.Decl) {
	switch d := decl.(type) {
	case *ast.FuncDecl:
		into[d.Name.Name] = true
		if d.Recv != nil {
			into[receiver(d.Recv.List[0].Type)+"."+d.Name.Name] = true
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch s := spec.(type) {
			case *ast.TypeSpec:
				into[s.Name.Name] = true
				ast.Inspect(s.Type, func(n ast.Node) bool {
					if f, ok := n.(*ast.Field); ok {
						for _, name := range f.Names {
							into[name.Name], into[s.Name.Name+"."+name.Name] = true, true
						}
					}
					return true
				})
			case *ast.ValueSpec:
				for _, name := range s.Names {
					into[name.Name] = true
				}
			}
		}
	}
}

// receiver is the name of a method's type.
func receiver(e ast.Expr) string {
	switch x := e.(type) {
	case *ast.StarExpr:
		return receiver(x.X)
	case *ast.IndexExpr:
		return receiver(x.X)
	case *ast.Ident:
		return x.Name
	}
	return ""
}
