// Package shaders holds the WGSL kernels and turns one into the text of a
// pipeline-ready module.
//
// A kernel is a file of this folder; text that several kernels share is a file of
// include/, see expand. Variation is by pipeline-overridable constants, declared one per line at
// column 0 as
//
//	override NAME: u32 = 64;
//
// which Specialize lowers to const, because the WebGPU binding cannot set
// overrides at run time. The texts that Source and Specialize return are plain WGSL. The
// package knows nothing of the GPU; all functions are pure and safe for
// concurrent use.
package shaders

import (
	"embed"
	"fmt"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strings"
)

//go:embed *.wgsl include/*.wgsl
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

// Source returns the WGSL text of the kernel called name: includes resolved, choices
// at their defaults, overrides kept.
func Source(name string) (string, error) { return expand(files, name, nil) }

// Specialize returns the text of the kernel called name with every override turned
// into a const. A value replaces the default of the override, or of the choice of
// an include, that its key names; a key that the kernel does not declare is an error.
func Specialize(name string, values map[string]string) (string, error) {
	used := map[string]bool{}
	src, err := expand(files, name, func(key string) (string, bool) {
		v, ok := values[key]
		used[key] = ok
		return v, ok
	})
	if err != nil {
		return "", err
	}
	constants := maps.Clone(values)
	maps.DeleteFunc(constants, func(key, _ string) bool { return used[key] })
	text, err := lower(src, constants)
	if err != nil {
		return "", fmt.Errorf("shaders: %s: %w", name, err)
	}
	return text, nil
}

// lower turns the overrides of src into constants.
func lower(src string, values map[string]string) (string, error) {
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
			return "", fmt.Errorf("no override or choice named %q", name)
		}
	}
	if strings.Contains(out, "override") && overrideLeft.MatchString(out) {
		return "", fmt.Errorf("override not of the form 'override NAME: TYPE = DEFAULT;' at column 0")
	}
	return out, nil
}
