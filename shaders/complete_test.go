package shaders

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestEveryKernelIsUsed wants for every kernel an operation in package tensor
// that runs it and a self-test in internal/doctor. The files are searched for
// the kernel's name as a string; the attention kernels are named there in two
// parts, such as "attention_forward_" and "flash". The CPU twin is TestHeader's.
func TestEveryKernelIsUsed(t *testing.T) {
	for _, dir := range []string{"../tensor", "../internal/doctor"} {
		literals := stringLiterals(t, dir)
		for _, name := range Names() {
			if !named(literals, name) {
				t.Errorf("%s: no file of %s names it", name, strings.TrimPrefix(dir, "../"))
			}
		}
	}
}

// TestEveryOperationIsTested wants beside each file of package tensor that runs
// a kernel a test that is named after it, or after what it begins with:
// matmul_launch.go is tested in matmul_test.go.
func TestEveryOperationIsTested(t *testing.T) {
	const dir = "../tensor"
	for _, path := range goFiles(t, dir) {
		var literals []string
		for _, s := range fileLiterals(t, path) {
			if slices.Contains(Names(), s) {
				literals = append(literals, s)
			}
		}
		stem := strings.TrimSuffix(filepath.Base(path), ".go")
		first, _, _ := strings.Cut(stem, "_")
		if len(literals) > 0 && !exists(filepath.Join(dir, stem+"_test.go")) && !exists(filepath.Join(dir, first+"_test.go")) {
			t.Errorf("%s runs %q and has no %s_test.go", path, literals, stem)
		}
	}
}

func named(literals []string, kernel string) bool {
	if slices.Contains(literals, kernel) {
		return true
	}
	i := strings.LastIndexByte(kernel, '_') + 1
	return i > 0 && slices.Contains(literals, kernel[:i]) && slices.Contains(literals, kernel[i:])
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// goFiles lists dir's Go files, tests left out.
func goFiles(t *testing.T, dir string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(paths, func(p string) bool { return strings.HasSuffix(p, "_test.go") })
}

func stringLiterals(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	for _, path := range goFiles(t, dir) {
		out = append(out, fileLiterals(t, path)...)
	}
	return out
}

// fileLiterals returns the string literals in the code of a Go file.
func fileLiterals(t *testing.T, path string) []string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	ast.Inspect(f, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			if s, err := strconv.Unquote(lit.Value); err == nil {
				out = append(out, s)
			}
		}
		return true
	})
	return out
}
