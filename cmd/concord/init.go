package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"concord/internal/config"
	"concord/internal/report"
	"concord/internal/train"
)

type initCmd struct {
	Dir      string            `arg:"" type:"existingdir" help:"${init_dir}"`
	Model    string            `required:"" help:"The base model's folder." placeholder:"FOLDER"`
	Columns  map[string]string `help:"${init_columns}" placeholder:"OURS=THEIRS"`
	Roles    map[string]string `help:"Our names of roles and the files', likewise, e.g. --roles assistant=bot." placeholder:"OURS=THEIRS"`
	Template string            `help:"${init_template}" placeholder:"NAME"`
	Card     string            `help:"${init_card}" placeholder:"SIZE"`
	Out      string            `short:"o" default:"run.toml" help:"Run file to write; it must not exist." placeholder:"FILE"`
}

// Run looks at the data and the model and writes a run file that has been checked.
func (c *initCmd) Run() error {
	if _, err := os.Stat(c.Out); err == nil {
		return usagef("%s is there already: give another name by -o", c.Out)
	}
	found, skipped, err := c.findLanguages()
	if err != nil {
		return c.advise(err)
	}
	tellFound(found, skipped)
	if err := c.write(found, lengths{seqLen: maxSeqLen, rows: usualRows}); err != nil {
		return err
	}
	measured, err := c.measure()
	if err == nil {
		err = c.write(found, measured)
	}
	if err == nil {
		err = c.fit(&measured)
	}
	if err == nil {
		err = c.write(found, measured)
	}
	if err == nil {
		err = c.check()
	}
	if err != nil {
		os.Remove(c.Out)
		return c.advise(err)
	}
	if measured.languages > usualRows {
		fmt.Printf(" batch   %d rows, at least one for each language\n", measured.rows)
	}
	measured.device.tell()
	fmt.Printf("%s is written and checked. Next:\n  %s\n  %s\n", c.Out, report.Command("data", "mask", c.Out), report.Command("train", c.Out))
	return nil
}

// lengths are the settings that follow from the data, and from the device.
type lengths struct {
	seqLen    int
	rows      int  // of a step
	languages int  // to train on
	prompts   bool // it has prompts, and answers to them
	many      bool // a language has so many held-out documents that a part of them will do

	documents map[string]int // by language
	device    fitted
}

// usualRows are the rows of a step of long rows, unless there are more languages. A step of
// shorter ones has more, up to stepTokens, but no more than leave leastSteps to an epoch.
const (
	usualRows  = 8
	stepTokens = 4096
	leastSteps = 50
)

// rowsOf is the rows of a step; they hold every language that is trained on.
func rowsOf(seqLen, languages int, tokens float64) int {
	rows := min(stepTokens/seqLen, int(tokens)/seqLen/leastSteps) / usualRows * usualRows
	return max(usualRows, languages, rows)
}

// fewHeldout is how many documents are held out where a twentieth of the language would be fewer,
// and manyHeldout from how many on a part of them is measured.
const (
	fewHeldout  = 20
	manyHeldout = 1000
)

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
	l, longest := lengths{documents: map[string]int{}}, 0
	for _, s := range files.Stats() {
		l.documents[s.Lang] += s.Documents
		longest, l.prompts = max(longest, s.LengthP95), l.prompts || s.Supervised < 0.95
		l.many = l.many || s.Heldout > manyHeldout
		if s.Trained {
			l.languages++
		}
	}
	l.seqLen = min(maxSeqLen, max(64, (longest+63)/64*64))
	l.rows = rowsOf(l.seqLen, l.languages, files.Sampler.TokensIn(files.Steps))
	return l, nil
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
	report.Warn(os.Stdout, plan.Warnings)
	return nil
}

// write writes the run file.
func (c *initCmd) write(found []langFiles, l lengths) error {
	here := filepath.Dir(c.Out)
	model, err1 := near(here, c.Model)
	folder, err2 := near(here, c.Dir)
	template, err3 := c.Template, error(nil)
	if template != "" && template != "chatml" {
		template, err3 = near(here, c.Template)
	}
	if err := errors.Join(err1, err2, err3); err != nil {
		return usagef("%v", err)
	}
	var b bytes.Buffer
	b.WriteString(l.settings(model, template))
	for _, f := range found {
		b.WriteString(f.source(folder, l.documents[f.lang]))
	}
	return os.WriteFile(c.Out, b.Bytes(), 0o644)
}

// source is the [[data.source]] of a language with so many documents, 0 if that is not known.
func (f *langFiles) source(folder string, documents int) string {
	var b strings.Builder
	b.WriteString("\n[[data.source]]\n")
	if f.column == "" {
		fmt.Fprintf(&b, "lang = %q # the language's name in all tables; here the file's, or its folder's\n", f.lang)
	} else {
		fmt.Fprintf(&b, "lang_column = %q # names each document's language\n", f.column)
	}
	b.WriteString(mapping("columns", f.columns, " # our names of columns = the files'") +
		mapping("roles", f.roles, " # our names of roles = the files'"))
	if len(f.train) > 0 {
		fmt.Fprintf(&b, "path = %s # trained on\n", pathList(folder, f.train))
	}
	switch few := min(fewHeldout, documents/5); {
	case len(f.heldout) > 0:
		fmt.Fprintf(&b, "heldout = %s # measured and not trained on\n", pathList(folder, f.heldout))
	case few > 0 && documents < 20*fewHeldout:
		fmt.Fprintf(&b, "holdout = %d # documents: measured and not trained on\n", few)
	default:
		b.WriteString("holdout = 0.05 # a twentieth is measured and not trained on\n")
	}
	if len(f.train) == 0 {
		b.WriteString("train = false # measured only\n")
	}
	return b.String()
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
