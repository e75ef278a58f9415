package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"concord/internal/config"
	"concord/internal/corpus"
	"concord/internal/data"
	"concord/internal/lint"
	"concord/internal/report"
	"concord/internal/train"
)

type dataLintCmd struct {
	Path string `arg:"" help:"Run file (TOML), or a folder of data as for concord init."`
	overrides
	Near  float64  `default:"0.8" help:"${datalint_near}"`
	Most  int      `default:"2000000" help:"Documents that are compared for near duplicates: about 100 bytes of memory each."`
	Allow []string `help:"Kinds of findings that are shown and are no fault, e.g. --allow duplicate,near." placeholder:"KIND"`
	JSON  bool     `help:"As JSON."`
}

// lintReport is the output of --json.
type lintReport struct {
	Documents   int            `json:"documents"`
	Findings    []lint.Finding `json:"findings"`
	Faults      int            `json:"faults"`                 // findings that are not allowed
	NotCompared int            `json:"not_compared,omitempty"` // documents beyond --most
}

// Run exits with the code of a data fault if anything is found that is not allowed.
func (c *dataLintCmd) Run() error {
	if !(c.Near > 0 && c.Near <= 1) {
		return usagef("--near %v is outside 0 < share ≤ 1", c.Near)
	}
	if c.Most < 0 {
		return usagef("--most must be 0 or more")
	}
	for _, k := range c.Allow {
		if !slices.Contains(lint.Kinds(), k) {
			return usagef("--allow %s: the kinds are %s", k, strings.Join(lint.Kinds(), ", "))
		}
	}
	found, l, err := c.find(lint.Options{Near: c.Near, Room: c.Most})
	if err != nil {
		return err
	}
	r := lintReport{Documents: l.Documents(), Findings: found}
	for _, f := range found {
		if !slices.Contains(c.Allow, f.Kind) {
			r.Faults++
		}
	}
	var more bool
	if r.NotCompared, more = l.Left(); c.JSON {
		err = printJSON(r)
	} else {
		r.print(os.Stdout, c, more)
	}
	if err == nil && r.Faults > 0 {
		err = train.DataError(fmt.Errorf("%d findings in %d documents of %s\n  fix: as said with each; --allow KIND lets a kind pass",
			r.Faults, r.Documents, c.Path))
	}
	return err
}

// find reads a run file's data, or a folder's.
func (c *dataLintCmd) find(opt lint.Options) ([]lint.Finding, *lint.Linter, error) {
	if st, err := os.Stat(c.Path); err == nil && st.IsDir() {
		languages, _, err := (&initCmd{Dir: c.Path}).findLanguages()
		if err != nil {
			return nil, nil, err
		}
		return corpus.LintSources(sourcesIn(c.Path, languages), opt)
	}
	cfg, err := config.Load(c.Path, c.Override)
	if err != nil {
		return nil, nil, err
	}
	files, err := train.OpenCorpus(cfg)
	if err != nil {
		return nil, nil, err
	}
	return files.Lint(train.StepsOf(cfg), opt)
}

// sourcesIn are the sources that concord init would write for a folder, with nothing
// held out but files.
func sourcesIn(dir string, languages []langFiles) []data.Source {
	in := func(names []string) (out []string) {
		for _, n := range names {
			out = append(out, filepath.Join(dir, filepath.FromSlash(n)))
		}
		return out
	}
	var out []data.Source
	for _, f := range languages {
		s := data.Source{Lang: f.lang, LangColumn: f.column, Columns: f.columns, Roles: f.roles,
			Paths: in(f.train), Heldout: in(f.heldout), Train: len(f.train) > 0}
		if s.LangColumn != "" {
			s.Lang = ""
		}
		out = append(out, s)
	}
	return out
}

func (r *lintReport) print(w io.Writer, c *dataLintCmd, more bool) {
	for _, f := range r.Findings {
		mark, of := "!", ""
		if slices.Contains(c.Allow, f.Kind) {
			mark = " "
		}
		if f.Count > 0 {
			of = fmt.Sprintf("%d of %d documents: ", f.Count, f.Of)
		}
		fmt.Fprintf(w, " %s %-9s %-8s %s%s\n", mark, f.Kind, f.Lang, of, f.Text)
		for _, e := range f.Examples {
			fmt.Fprintf(w, "   %s\n", e)
		}
		if f.Fix != "" {
			fmt.Fprintf(w, "   fix: %s\n", f.Fix)
		}
	}
	if r.NotCompared > 0 {
		fmt.Fprintf(w, "   near duplicates were not looked for among the last %d documents: --most %d would\n", r.NotCompared, r.Documents)
	}
	if more {
		fmt.Fprintf(w, "   there are more near duplicates than were compared: this lists some of them\n")
	}
	if len(r.Findings) == 0 {
		fmt.Fprintf(w, " nothing found in %s\n", report.Plural(r.Documents, "document"))
	}
}
