package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"concord/internal/config"
	"concord/internal/data"
	"concord/internal/report"
	"concord/internal/train"
)

type initCmd struct {
	Dir   string `arg:"" type:"existingdir" help:"${init_dir}"`
	Model string `required:"" help:"The base model's folder." placeholder:"FOLDER"`
	Out   string `short:"o" default:"run.toml" help:"Run file to write; it must not exist." placeholder:"FILE"`
}

// Run looks at the data and the model and writes a run file that has been checked.
func (c *initCmd) Run() error {
	if _, err := os.Stat(c.Out); err == nil {
		return usagef("%s is there already: give another name by -o", c.Out)
	}
	found, err := findLanguages(c.Dir)
	if err != nil {
		return err
	}
	if err := c.write(found, lengths{seqLen: maxSeqLen}); err != nil {
		return err
	}
	measured, err := c.measure()
	if err == nil {
		err = c.write(found, measured)
	}
	if err == nil {
		err = c.check()
	}
	if err != nil {
		os.Remove(c.Out)
		return err
	}
	fmt.Printf("%s is written and checked. Next:\n  concord data mask %s\n  concord train %s\n", c.Out, c.Out, c.Out)
	return nil
}

// langFiles are a language's files.
type langFiles struct {
	lang           string
	train, heldout []string // relative to the folder of data, with slashes
}

var (
	heldoutWord = regexp.MustCompile(`(?i)(^|[._-])(heldout|held-out|held_out|holdout|test|valid|validation|dev|eval)([._-]|$)`)
	trainWord   = regexp.MustCompile(`(?i)(^|[._-])(train|training|data)([._-]|$)`)
	extensions  = regexp.MustCompile(`(?i)\.(jsonl|ndjson|json|csv|tsv|tab|parquet|txt|text)(\.(gz|zst|zstd))?$`)
)

// findLanguages goes by the names of files, or of the folders that they lie in.
func findLanguages(dir string) ([]langFiles, error) {
	byLang := map[string]*langFiles{}
	var order []string
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() || strings.HasPrefix(e.Name(), ".") || !extensions.MatchString(e.Name()) {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		lang, held := languageOf(rel)
		f := byLang[lang]
		if f == nil {
			f = &langFiles{lang: lang}
			byLang[lang], order = f, append(order, lang)
		}
		if held {
			f.heldout = append(f.heldout, rel)
		} else {
			f.train = append(f.train, rel)
		}
		_, err = data.Convert(data.Source{Lang: lang, Paths: []string{path}}, io.Discard, 1, func(string, ...any) {})
		return err
	})
	if err != nil {
		return nil, train.DataError(err)
	}
	slices.Sort(order)
	var out []langFiles
	trained := false
	for _, lang := range order {
		trained = trained || len(byLang[lang].train) > 0
		out = append(out, *byLang[lang])
	}
	if !trained {
		return nil, train.DataError(fmt.Errorf("%s holds no data to train on: files of .jsonl, .json, .csv, .tsv, .parquet or "+
			".txt, also .gz and .zst", dir))
	}
	return out, nil
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

// lengths are the settings that follow from the data.
type lengths struct {
	seqLen  int
	prompts bool // it has prompts, and answers to them
}

// maxSeqLen is the longest row that is proposed.
const maxSeqLen = 1024

// measure is the row that holds 95 of 100 examples of every language, whole.
func (c *initCmd) measure() (lengths, error) {
	cfg, err := config.Load(c.Out, nil)
	if err != nil {
		return lengths{}, err
	}
	files, err := train.OpenCorpus(cfg)
	if err != nil {
		return lengths{}, err
	}
	longest, prompts := 0, false
	for _, s := range files.Stats() {
		longest, prompts = max(longest, s.LengthP95), prompts || s.Supervised < 0.95
	}
	return lengths{min(maxSeqLen, max(64, (longest+63)/64*64)), prompts}, nil
}

// check reads the run file as a run would, and shows the data.
func (c *initCmd) check() error {
	cfg, err := config.Load(c.Out, nil)
	if err != nil {
		return err
	}
	plan, err := train.Check(cfg)
	if err != nil {
		return err
	}
	report.DataTable(os.Stdout, plan.Data)
	return nil
}

// write writes the run file.
func (c *initCmd) write(found []langFiles, l lengths) error {
	here := filepath.Dir(c.Out)
	model, err1 := near(here, c.Model)
	folder, err2 := near(here, c.Dir)
	if err := errors.Join(err1, err2); err != nil {
		return usagef("%v", err)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "# Written by concord init. Every key: concord config explain KEY, or docs/config.md.\n\n[model]\npath = %q\n\n", model)
	fmt.Fprintf(&b, "[batch]\nrows = 8\nseq_len = %d # holds 95 of 100 examples of every language whole\n\n", l.seqLen)
	b.WriteString("[data]\ntemperature = 3.0 # smaller languages are drawn more often; 1.0: as the data is\n\n")
	b.WriteString("[objective]\nmethod = \"pcgrad\" # token-mean is plain fine-tuning; concord moo methods lists all\n" +
		"\n[optim]\nlr = 2e-5\n\n[schedule]\nepochs = 1.0\n\n[eval]\nevery = 100\n")
	if l.prompts {
		b.WriteString("samples = 3 # held-out prompts of each language that the model answers each time: they are in the report\n")
	}
	for _, f := range found {
		fmt.Fprintf(&b, "\n[[data.source]]\nlang = %q\n", f.lang)
		if len(f.train) > 0 {
			fmt.Fprintf(&b, "path = %s\n", pathList(folder, f.train))
		}
		switch {
		case len(f.heldout) > 0:
			fmt.Fprintf(&b, "heldout = %s\n", pathList(folder, f.heldout))
		default:
			b.WriteString("holdout = 0.05 # a twentieth is measured and not trained on\n")
		}
		if len(f.train) == 0 {
			b.WriteString("train = false # measured only\n")
		}
	}
	return os.WriteFile(c.Out, b.Bytes(), 0o644)
}

// near is a path as seen from a folder, with slashes.
func near(folder, path string) (string, error) {
	from, err1 := filepath.Abs(folder)
	to, err2 := filepath.Abs(path)
	if err := errors.Join(err1, err2); err != nil {
		return "", err
	}
	if rel, err := filepath.Rel(from, to); err == nil {
		return filepath.ToSlash(rel), nil
	}
	return filepath.ToSlash(to), nil // on another drive
}

// pathList is one path in quotes, or a list of them.
func pathList(folder string, names []string) string {
	var out []string
	for _, n := range names {
		out = append(out, fmt.Sprintf("%q", folder+"/"+n))
	}
	if len(out) == 1 {
		return out[0]
	}
	return "[" + strings.Join(out, ", ") + "]"
}
