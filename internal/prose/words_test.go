package prose

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// replaced are words that the glossary has replaced, with those that stand for them.
var replaced = map[string]string{
	"keepApart": "saveLocalState", "takeApart": "restoreLocalState", "takePart": "assignLocalBatch", "memento": "snapshot",
	"standBy": "campaign", "takeOffice": "acquireTerm", "deposed": "lost leadership", "office": "term, coordinator",
	"prelude": "initialSync", "allAstray": "allNeedState", "scattered": "awaitMoments", "boxes": "inbox", "shelf": "cache",
	"residue": "error feedback", "pulse": "heartbeatInterval", "Lendable": "reusable activation memory",
	"taught": "supervisedTasks", "MayFix": "static weights", "MayLack": "allowMissing", "entrust": "hold",
	"settle": "await, gather, final", "settled": "final, complete", "sitting": "process", "lacking": "missing", "govern": "runAsLeader",
	"team": "distributed", "hope": "awaitCommittedState", "astray": "needs state", "relief": "bestMove", "lend": "reuse", "Lend": "reuse",
}

// TestWords holds that words which were replaced do not come back, in code or on pages.
func TestWords(t *testing.T) {
	var list []string
	for w := range replaced {
		list = append(list, w)
	}
	banned := regexp.MustCompile(`\b(` + strings.Join(list, "|") + `)\b`)
	files := 0
	eachText(t, func(path, text string) {
		files++
		for i, line := range strings.Split(text, "\n") {
			if w := banned.FindString(line); w != "" {
				t.Errorf("%s:%d: %q is called %s now (docs/glossary.md)", path, i+1, w, replaced[w])
			}
		}
	})
	if files < 500 {
		t.Errorf("only %d files seen", files)
	}
}

// replacedIn are words that are replaced in some packages only: elsewhere they have
// another meaning.
var replacedIn = map[string]map[string]string{
	"internal/cluster": {"unit": "group", "units": "groups", "site": "peer", "settle": "final, gather", "settled": "final, gathered",
		"remainder": "error feedback", "lackers": "missingAt"},
	"bucket":    {"unit": "group", "units": "groups", "settle": "final", "site": "use", "sites": "uses"},
	"transport": {"unit": "group", "units": "groups", "site": "peer"},
}

// TestWordsOfPackages is TestWords for words that are replaced in some packages only.
func TestWordsOfPackages(t *testing.T) {
	files := 0
	eachText(t, func(path, text string) {
		for dir, words := range replacedIn {
			if !strings.HasPrefix(filepath.ToSlash(path), root+"/"+dir+"/") {
				continue
			}
			files++
			for i, line := range strings.Split(text, "\n") {
				for _, w := range word.FindAllString(line, -1) {
					if by := words[strings.ToLower(w)]; by != "" {
						t.Errorf("%s:%d: %q is called %s here (docs/glossary.md)", path, i+1, w, by)
					}
				}
			}
		}
	})
	if files < 100 {
		t.Errorf("only %d files seen", files)
	}
}

var word = regexp.MustCompile(`\b[A-Za-z]+\b`)

// TestDecisions holds that decisions have numbers of their own, in their names and titles.
func TestDecisions(t *testing.T) {
	paths, err := filepath.Glob(root + "/docs/adr/*.md")
	if err != nil || len(paths) < 10 {
		t.Fatal(paths, err)
	}
	seen := map[string]string{}
	for _, p := range paths {
		number := strings.TrimLeft(filepath.Base(p)[:4], "0")
		if seen[number] != "" {
			t.Errorf("%s and %s have one number", seen[number], p)
		}
		seen[number] = p
		b, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(string(b), "# "+number+". ") {
			t.Errorf("%s begins with %.40q, not with its number", p, b)
		}
	}
}

// link is a Markdown link to a file.
var link = regexp.MustCompile(`\]\(([^)#\s]+?)(?:#[^)]*)?\)`)

// TestLinks holds that relative links of the pages lead to files.
func TestLinks(t *testing.T) {
	n := 0
	eachText(t, func(path, text string) {
		if filepath.Ext(path) != ".md" {
			return
		}
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			n++
			if _, err := os.Stat(filepath.Join(filepath.Dir(path), m[1])); err != nil {
				t.Errorf("%s links to %s, which is not there", path, m[1])
			}
		}
	})
	if n < 50 {
		t.Errorf("only %d links seen", n)
	}
}

// eachText calls f for every Go file and page of the module but those of this package.
func eachText(t *testing.T, f func(path, text string)) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() {
			if name == "testdata" || name == "prose" || name == "bin" || name == "runs" || strings.HasPrefix(name, ".") && path != root {
				return fs.SkipDir
			}
			return nil
		}
		if ext := filepath.Ext(name); ext != ".go" && ext != ".md" {
			return nil
		}
		b, err := os.ReadFile(path)
		if err == nil {
			f(path, string(b))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
