package config

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"unicode"
)

// pathKey is a setting that is a path of the machine.
type pathKey struct {
	key  string
	path *string
}

// pathKeys are the settings that are paths.
func (c *Config) pathKeys() []pathKey {
	keys := []pathKey{{"run.dir", &c.Run.Dir}, {"model.path", &c.Model.Path}, {"device.cache_dir", &c.Device.CacheDir},
		{"adapter.from", &c.Adapter.From}}
	for i := range c.Data.Source {
		s := &c.Data.Source[i]
		for j := range s.Path {
			keys = append(keys, pathKey{fmt.Sprintf("data.source.%d.path", i), &s.Path[j]})
		}
		for j := range s.Heldout {
			keys = append(keys, pathKey{fmt.Sprintf("data.source.%d.heldout", i), &s.Heldout[j]})
		}
	}
	return keys
}

// expandPaths puts the user's home folder in the place of a leading "~", as a shell
// would.
func (c *Config) expandPaths() error {
	for _, k := range c.pathKeys() {
		key, p := k.key, k.path
		if *p != "~" && !strings.HasPrefix(*p, "~/") && !strings.HasPrefix(*p, `~\`) {
			continue
		}
		home, err := os.UserHomeDir()
		if err != nil {
			return c.fail(key, "write the whole path", "%q begins with the home folder, which is not known here: %v", *p, err)
		}
		*p = filepath.Join(home, filepath.FromSlash(strings.TrimPrefix((*p)[1:], `\`)))
	}
	return nil
}

// paths refuses text that cannot be meant as a path: escapes of TOML that a path of
// Windows holds by chance, and forms that only a shell expands.
func (c *Config) paths() error {
	for _, k := range c.pathKeys() {
		key, p := k.key, k.path
		name := key[strings.LastIndex(key, ".")+1:]
		if i := strings.IndexFunc(*p, unicode.IsControl); i >= 0 {
			return c.fail(key, name+" = 'in\\single\\quotes', or with / in place of \\",
				"%q holds the control character %q: a backslash in double quotes is an escape of TOML", *p, []rune((*p)[i:])[0])
		}
		first, _, _ := strings.Cut(filepath.ToSlash(*p), "/")
		switch {
		case strings.HasPrefix(first, "~") && len(first) > 1:
			return c.fail(key, name+" = the whole path", "%q: only ~/ is expanded, not another user's %s", *p, first)
		case strings.HasPrefix(first, "$"), len(first) > 2 && strings.HasPrefix(first, "%") && strings.HasSuffix(first, "%"):
			return c.fail(key, name+` = "~/…" or the whole path`, "%q: variables such as %s are not expanded in a run file", *p, first)
		case strings.HasPrefix(*p, "file://"), strings.HasPrefix(*p, "http://"), strings.HasPrefix(*p, "https://"),
			strings.HasPrefix(*p, "s3://"), strings.HasPrefix(*p, "hf://"):
			return c.fail(key, name+" = a path on this machine", "%q is a URL: nothing is downloaded; fetch it first", *p)
		}
	}
	return nil
}

// pathHint says why a path that was written on another system is not found here.
func pathHint(path string) string {
	if runtime.GOOS != "windows" && strings.Contains(path, `\`) {
		return `; \ is no separator on this system: write /, which works on every one`
	}
	return ""
}
