package config

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Paths are the files of a source: in a run file one path, a pattern of names
// ("data/*.jsonl"), or a list of both; after Load the files that are meant, in the
// order of the list, those of a pattern in that of their names.
type Paths []string

// UnmarshalTOML takes a string or a list of strings.
func (p *Paths) UnmarshalTOML(v any) error {
	*p = nil
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	for _, x := range list {
		s, ok := x.(string)
		if !ok {
			return fmt.Errorf("a path is a string in quotes, or a list of them, not %v", x)
		}
		if s != "" {
			*p = append(*p, s)
		}
	}
	return nil
}

// UnmarshalJSON takes a string, as configurations of before are stored, or a list.
func (p *Paths) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*p = nil
		if one != "" {
			*p = Paths{one}
		}
		return nil
	}
	var list []string
	err := json.Unmarshal(b, &list)
	*p = list
	return err
}

// MarshalJSON writes one path as a string.
func (p Paths) MarshalJSON() ([]byte, error) {
	switch len(p) {
	case 0:
		return []byte(`""`), nil
	case 1:
		return json.Marshal(p[0])
	}
	return json.Marshal([]string(p))
}

// String is the paths, separated by commas.
func (p Paths) String() string { return strings.Join(p, ", ") }

// ResolveAll makes paths relative to the run file's folder, as Resolve does.
func (c *Config) ResolveAll(p Paths) []string {
	var out []string
	for _, path := range p {
		out = append(out, c.Resolve(path))
	}
	return out
}

// expandFiles puts files in the place of patterns.
func (c *Config) expandFiles() error {
	for i := range c.Data.Source {
		s := &c.Data.Source[i]
		for _, k := range []struct {
			name  string
			paths *Paths
		}{{"path", &s.Path}, {"heldout", &s.Heldout}} {
			files, err := c.expand(fmt.Sprintf("data.source.%d.%s", i, k.name), *k.paths)
			if err != nil {
				return err
			}
			*k.paths = files
		}
	}
	return nil
}

// expand is the files that a source's paths mean.
func (c *Config) expand(key string, paths Paths) (Paths, error) {
	name := key[strings.LastIndex(key, ".")+1:]
	var out Paths
	for _, p := range paths {
		found := Paths{p}
		if st, err := os.Stat(c.Resolve(p)); err == nil && st.IsDir() {
			return nil, c.fail(key, fmt.Sprintf("%s = %q", name, p+"/*.jsonl"), "%s is a folder", c.Resolve(p))
		} else if err != nil && strings.ContainsAny(p, "*?[") {
			if found, err = c.matches(p); err != nil {
				return nil, c.fail(key, name+` = "data/*.jsonl"`, "%q is not a pattern: %v", p, err)
			}
			if len(found) == 0 {
				return nil, c.fail(key, name+` = "data/*.jsonl"`, "no file is called %s", c.Resolve(p))
			}
		}
		for _, f := range found {
			if slices.Contains(out, f) {
				return nil, c.fail(key, "name it once", "%s is there twice", f)
			}
			out = append(out, f)
		}
	}
	return out, nil
}

// matches lists the files of a pattern, as paths of the same kind: relative where it
// is.
func (c *Config) matches(pattern string) (Paths, error) {
	root := ""
	if c.path != "" && !filepath.IsAbs(pattern) {
		root = filepath.Dir(c.path)
	}
	found, err := filepath.Glob(filepath.Join(escapeGlob(root), filepath.FromSlash(pattern)))
	var out Paths
	for _, f := range found {
		if st, err := os.Stat(f); err != nil || st.IsDir() {
			continue
		}
		if root != "" {
			if rel, err := filepath.Rel(root, f); err == nil {
				f = filepath.ToSlash(rel)
			}
		}
		out = append(out, f)
	}
	return out, err
}
