// Package shaders holds the WGSL kernels and turns one into the text of a
// pipeline-ready module.
//
// Every file is valid WGSL as it stands. Variation is by pipeline-overridable
// constants, declared one per line at column 0 as
//
//	override NAME: u32 = 64;
//
// which Specialize lowers to const, because the WebGPU binding cannot set
// overrides at run time. The package knows nothing of the GPU; all functions
// are pure and safe for concurrent use.
package shaders

import (
	"embed"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"
)

//go:embed *.wgsl
var files embed.FS

// overrideDecl matches a pipeline-overridable constant: one per line, at column 0.
var overrideDecl = regexp.MustCompile(`(?m)^override (\w+): (u32|i32|f32) = ([^;]+);`)

// overrideLeft matches a declaration that overrideDecl missed: indented, untyped, with @id.
var overrideLeft = regexp.MustCompile(`(?m)^\s*(@id\([^)]*\)\s*)?override\s`)

// Names lists the kernels (file stems), sorted.
func Names() []string {
	paths, err := fs.Glob(files, "*.wgsl")
	if err != nil {
		panic("shaders: " + err.Error()) // a constant pattern cannot be malformed
	}
	names := make([]string, len(paths))
	for i, p := range paths {
		names[i] = strings.TrimSuffix(p, ".wgsl")
	}
	slices.Sort(names)
	return names
}

// Source returns the WGSL text of the kernel called name, overrides included.
func Source(name string) (string, error) {
	b, err := files.ReadFile(name + ".wgsl")
	if err != nil {
		return "", fmt.Errorf("shaders: no kernel named %q", name)
	}
	return string(b), nil
}

// Specialize returns src with every override turned into a const. A name in
// values replaces the default; a name that src does not declare is an error.
func Specialize(src string, values map[string]string) (string, error) {
	seen := map[string]bool{}
	out := overrideDecl.ReplaceAllStringFunc(src, func(decl string) string {
		m := overrideDecl.FindStringSubmatch(decl)
		v, ok := values[m[1]]
		if !ok {
			v = m[3]
		}
		seen[m[1]] = true
		return fmt.Sprintf("const %s: %s = %s;", m[1], m[2], v)
	})
	for name := range values {
		if !seen[name] {
			return "", fmt.Errorf("shaders: no override named %q", name)
		}
	}
	if overrideLeft.MatchString(out) {
		return "", fmt.Errorf("shaders: override not of the form 'override NAME: TYPE = DEFAULT;' at column 0")
	}
	return out, nil
}
