package main

import (
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"concord/internal/data"
	"concord/internal/train"
)

// langFiles are a language's files.
type langFiles struct {
	lang           string
	column         string            // that names each document's language, in place of lang
	columns, roles map[string]string // our names and the files'
	train, heldout []string          // relative to the folder of data, with slashes
}

var (
	heldoutWord = regexp.MustCompile(`(?i)(^|[._-])(heldout|held-out|held_out|holdout|test|valid|validation|dev|eval)([._-]|$)`)
	trainWord   = regexp.MustCompile(`(?i)(^|[._-])(train|training|data)([._-]|$)`)
	noData      = regexp.MustCompile(`(?i)^(readme|licen[cs]e|copying|notice|changelog|requirements)([._-]|$)`)
	extensions  = regexp.MustCompile(`(?i)\.(jsonl|ndjson|json|csv|tsv|tab|parquet|txt|text)(\.(gz|zst|zstd))?$`)
)

// findLanguages goes by the names of files, or of the folders that they lie in, and by a column
// of languages. Files that are no data are skipped.
func (c *initCmd) findLanguages() (found []langFiles, skipped []string, err error) {
	byLang := map[string]*langFiles{}
	err = filepath.WalkDir(c.Dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() || strings.HasPrefix(e.Name(), ".") {
			return err
		}
		rel, err := filepath.Rel(c.Dir, path)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if !extensions.MatchString(e.Name()) || noData.MatchString(e.Name()) {
			skipped = append(skipped, rel)
			return nil
		}
		lang, held := languageOf(rel)
		how, err := c.look(lang, path)
		key := fmt.Sprint(lang, "\x00", how.column, how.columns, how.roles) // one source reads all of its files alike
		if byLang[key] == nil {
			byLang[key] = &how
		}
		byLang[key].add(rel, held)
		return err
	})
	if err != nil {
		return nil, nil, train.DataError(err)
	}
	for _, key := range slices.Sorted(maps.Keys(byLang)) {
		found = append(found, *byLang[key])
	}
	if !slices.ContainsFunc(found, func(f langFiles) bool { return len(f.train) > 0 }) {
		return nil, nil, train.DataError(fmt.Errorf("%s holds no data to train on: files of .jsonl, .json, .csv, .tsv, .parquet or "+
			".txt, also .gz and .zst", c.Dir))
	}
	return found, skipped, nil
}

// look reads the beginning of a file and says how it is read: as it is, else with --columns and
// --roles, else with columns that are guessed.
func (c *initCmd) look(lang, path string) (how langFiles, err error) {
	quiet := func(string, ...any) {}
	try := func(columns, roles map[string]string) bool {
		src := data.Source{Lang: lang, Paths: []string{path}, Columns: columns, Roles: roles}
		_, e := data.Convert(src, io.Discard, 1, quiet)
		if how = (langFiles{lang: lang, columns: columns, roles: roles}); err == nil {
			err = e // the first says what the file is
		}
		return e == nil
	}
	ok := try(nil, nil) || len(c.Columns)+len(c.Roles) > 0 && try(c.Columns, c.Roles)
	if guess := data.GuessColumns(path); !ok && guess != nil {
		ok = try(guess, nil)
	}
	if !ok {
		return how, err
	}
	how.column, err = data.LanguageColumn(path)
	return how, err
}

// tellFound says of the files that are skipped, and of those whose columns are named for them.
func tellFound(found []langFiles, skipped []string) {
	if len(skipped) > 0 {
		fmt.Printf(" skipped %s: no data by their names\n", strings.Join(skipped, ", "))
	}
	for _, f := range found {
		if len(f.columns) > 0 {
			fmt.Printf(" columns %s: read with %s", strings.Join(append(f.train, f.heldout...), ", "), mapping("columns", f.columns, ""))
		}
	}
}

// advise adds the flag by which init is told a fact that a run file would state in a source.
func (*initCmd) advise(err error) error {
	for _, said := range []struct{ key, flag string }{
		{"data.template = ", "--template chatml"},
		{"columns = {", "--columns 'prompt=…;completion=…'"},
		{"roles = {", "--roles 'assistant=…'"},
	} {
		if strings.Contains(err.Error(), said.key) {
			return fmt.Errorf("%w\n  fix: there is no run file yet: give it to init, as %s", err, said.flag)
		}
	}
	return err
}

// mapping is a line of the run file with our names and the files' and a comment, "" for none.
func mapping(key string, names map[string]string, comment string) string {
	var out []string
	for _, ours := range slices.Sorted(maps.Keys(names)) {
		out = append(out, fmt.Sprintf("%s = %q", ours, names[ours]))
	}
	if len(out) == 0 {
		return ""
	}
	return fmt.Sprintf("%s = {%s}%s\n", key, strings.Join(out, ", "), comment)
}

func (f *langFiles) add(name string, held bool) {
	if held {
		f.heldout = append(f.heldout, name)
	} else {
		f.train = append(f.train, name)
	}
}

// languageOf is the language of a file, and whether it is held out, by its name.
func languageOf(rel string) (lang string, held bool) {
	name := extensions.ReplaceAllString(rel[strings.LastIndex(rel, "/")+1:], "")
	lang = strings.Trim(trainWord.ReplaceAllString(heldoutWord.ReplaceAllString(name, "."), "."), "._-")
	if folder, _, ok := strings.Cut(rel, "/"); ok {
		lang = folder
	}
	if lang == "" {
		lang = "all"
	}
	return lang, heldoutWord.MatchString(name)
}
