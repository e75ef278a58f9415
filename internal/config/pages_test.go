package config

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// tomlBlock is a piece of a run file in a page.
var tomlBlock = regexp.MustCompile("(?ms)^```toml\n(.*?)^```")

// bareKey is a key of a source: a piece without a table begins with one.
var bareKey = regexp.MustCompile(`(?m)\A(?:#[^\n]*\n|\n)*[a-z_]+ *=`)

// TestRunFilesOfThePages holds that every piece of a run file in the pages is read: its keys are
// there, and its values go together. The rest of the run file is put around it.
func TestRunFilesOfThePages(t *testing.T) {
	n := 0
	for _, page := range pages(t) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range tomlBlock.FindAllSubmatch(text, -1) {
			n++
			piece := whole(string(m[1]))
			file := filepath.Join(t.TempDir(), "project", "run.toml")
			for _, path := range filePath.FindAllStringSubmatch(piece, -1) {
				if err := makeFile(filepath.Join(filepath.Dir(file), path[1])); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := Parse(file, piece, nil); err != nil {
				t.Errorf("%s: %v\n%s", page, err, m[1])
			}
		}
	}
	if n < 12 {
		t.Errorf("only %d pieces of run files were found", n)
	}
}

// filePath is a file, or a model's folder, that a piece names.
var filePath = regexp.MustCompile(`(?m)^(?:path|heldout) *= *"([^"]+)"`)

// makeFile makes a file, or, of a name without an ending, a model's folder of empty ones.
func makeFile(path string) error {
	names := []string{path}
	if ext := filepath.Ext(path); ext != ".jsonl" && ext != ".gguf" {
		names = []string{filepath.Join(path, "config.json"), filepath.Join(path, "tokenizer.json"), filepath.Join(path, "model.safetensors")}
	}
	for _, name := range names {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(name, []byte("GGUF"), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// whole is a run file with the piece in it.
func whole(piece string) string {
	if bareKey.MatchString(piece) {
		piece = "[[data.source]]\nlang = \"sw\"\npath = \"sw.jsonl\"\n" + piece
	}
	if !strings.Contains(piece, "[model]") {
		piece += "\n[model]\npath = \"model\"\n"
	}
	if !strings.Contains(piece, "[[data.source]]") {
		piece += "\n[[data.source]]\nlang = \"sw\"\npath = \"sw.jsonl\"\n"
	}
	if !strings.Contains(piece, "[schedule]") {
		piece += "\n[schedule]\nsteps = 200\n"
	}
	return piece
}

// pages are those of the module.
func pages(t *testing.T) (out []string) {
	t.Helper()
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && filepath.Ext(path) == ".md" {
			out = append(out, path)
		}
		return err
	})
	if err != nil || len(out) < 20 {
		t.Fatal(len(out), err)
	}
	return out
}

// dottedKey and tableKey are the two ways in which pages name a setting.
var (
	dottedKey = regexp.MustCompile("`([a-z]+(?:\\.[a-z_]+)+)(?: *=[^`]*)?`")
	tableKey  = regexp.MustCompile("`\\[([a-z]+)\\] ([a-z_]+)")
)

// TestKeysOfThePages holds that the settings that the pages name are there.
func TestKeysOfThePages(t *testing.T) {
	known, tables := map[string]bool{}, map[string]bool{}
	for _, k := range Keys() {
		known[k.Name] = true
		for name := k.Name; strings.Contains(name, "."); {
			name = name[:strings.LastIndex(name, ".")]
			known[name] = true
		}
		tables[strings.Split(k.Name, ".")[0]] = true
	}
	n := 0
	for _, page := range pages(t) {
		if strings.Contains(page, "adr") || strings.HasSuffix(page, "CHANGELOG.md") { // of their own time
			continue
		}
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		var named []string
		for _, m := range dottedKey.FindAllStringSubmatch(string(text), -1) {
			named = append(named, m[1])
		}
		for _, m := range tableKey.FindAllStringSubmatch(string(text), -1) {
			named = append(named, m[1]+"."+m[2])
		}
		for _, key := range named {
			if ext := filepath.Ext(key); !tables[strings.Split(key, ".")[0]] || ext == ".toml" || ext == ".safetensors" || ext == ".jsonl" {
				continue
			}
			if n++; !known[key] {
				t.Errorf("%s names the setting %s, which is not there", page, key)
			}
		}
	}
	if n < 100 {
		t.Errorf("only %d settings were found in the pages", n)
	}
}
