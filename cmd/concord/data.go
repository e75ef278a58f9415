package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"golang.org/x/term"

	"concord/internal/config"
	"concord/internal/corpus"
	"concord/internal/data"
	"concord/internal/report"
	"concord/internal/train"
)

type dataCmd struct {
	Stats   dataStatsCmd   `cmd:"" help:"A run file's data by language: documents, tokens, lengths, what is learnt, duplicates, leaks."`
	Lint    dataLintCmd    `cmd:"" help:"${data_lint}"`
	Mask    dataMaskCmd    `cmd:"" help:"Show which text of the first examples is trained."`
	Peek    dataPeekCmd    `cmd:"" help:"How a file is read: its first documents, as concord sees them."`
	Convert dataConvertCmd `cmd:"" help:"Write a file's documents as JSON lines in concord's own form."`
}

type dataStatsCmd struct {
	RunFile string `arg:"" help:"Run file (TOML)."`
	overrides
	JSON bool `help:"As JSON."`
}

func (c *dataStatsCmd) Run() error {
	cfg, err := config.Load(c.RunFile, c.Override)
	if err != nil {
		return err
	}
	files, err := train.OpenCorpus(cfg)
	if err != nil {
		return err
	}
	stats := files.Stats()
	if c.JSON {
		return printJSON(stats)
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "LANG\tDOCUMENTS\tTOKENS\tBYTES/TOKEN\tTRAINED\tTOO LONG\tTOKENS P50\tP95\tMAX\tHELD OUT\tALSO TRAINED ON\tDUPLICATES")
	for _, s := range stats {
		fmt.Fprintf(w, "%s\t%d\t%s\t%.2f\t%.0f%%\t%.1f%%\t%d\t%d\t%d\t%d\t%d\t%d\n", s.Lang, s.Documents, report.Count(int64(s.Tokens)),
			s.BytesToken, 100*s.Supervised, 100*s.TooLong,
			s.LengthP50, s.LengthP95, s.LengthMax, s.Heldout, s.AlsoTrained, s.Duplicates)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, s := range stats {
		for _, note := range s.Notes {
			fmt.Printf("! %s: %s\n", s.Lang, note)
		}
	}
	return nil
}

type dataMaskCmd struct {
	RunFile string `arg:"" help:"Run file (TOML)."`
	overrides
	Lang string `help:"Language; by default all." placeholder:"LANG"`
	N    int    `short:"n" default:"2" help:"Examples of each language."`
	JSON bool   `help:"As JSON."`
}

func (c *dataMaskCmd) Run() error {
	cfg, err := config.Load(c.RunFile, c.Override)
	if err != nil {
		return err
	}
	if c.N < 1 {
		return usagef("-n must be 1 or more")
	}
	files, err := train.OpenCorpus(cfg)
	if err != nil {
		return err
	}
	examples, err := files.Masked(c.Lang, c.N)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(examples)
	}
	printMasked(os.Stdout, examples, term.IsTerminal(int(os.Stdout.Fd())) && os.Getenv("NO_COLOR") == "")
	return nil
}

// printMasked marks the tokens that are trained: green on a terminal, else by «».
func printMasked(w io.Writer, examples []corpus.MaskedExample, color bool) {
	open, shut := "«", "»"
	if color {
		open, shut = "\x1b[32m", "\x1b[0m"
	}
	for _, x := range examples {
		trained, all := 0, 0
		var text strings.Builder
		for _, p := range x.Parts {
			if all += p.Tokens; p.Trained {
				trained += p.Tokens
				text.WriteString(open + p.Text + shut)
				continue
			}
			text.WriteString(p.Text)
		}
		fmt.Fprintf(w, "── %s: %d of %d tokens are trained\n%s\n", x.Lang, trained, all, text.String())
	}
}

// fileFlags say how a file is read, as a source of a run file does.
type fileFlags struct {
	File    string            `arg:"" type:"existingfile" help:"Data file: .jsonl, .json, .csv, .tsv, .parquet or .txt, also .gz and .zst."`
	Format  string            `help:"Form of the file, if its extension does not tell." placeholder:"FORMAT"`
	Columns map[string]string `help:"${fileflags_columns}" placeholder:"OURS=THEIRS"`
	Roles   map[string]string `help:"Our names of roles and the file's, e.g. --roles assistant=bot." placeholder:"OURS=THEIRS"`
}

// convert writes at most n of the file's documents, or all if n is 0.
func (f *fileFlags) convert(w io.Writer, n int) (int, error) {
	src := data.Source{Lang: "file", Paths: []string{f.File}, Train: true, Format: f.Format, Columns: f.Columns, Roles: f.Roles}
	docs, err := data.Convert(src, w, n, func(format string, args ...any) { fmt.Fprintf(os.Stderr, "! "+format+"\n", args...) })
	if err != nil {
		return docs, train.DataError(err)
	}
	return docs, nil
}

type dataPeekCmd struct {
	fileFlags
	N int `short:"n" default:"3" help:"Documents."`
}

func (c *dataPeekCmd) Run() error {
	if c.N < 1 {
		return usagef("-n must be 1 or more")
	}
	n, err := c.convert(os.Stdout, c.N)
	if err == nil && n == 0 {
		return train.DataError(fmt.Errorf("%s holds no document", c.File))
	}
	return err
}

type dataConvertCmd struct {
	fileFlags
	Out string `short:"o" help:"File to write; by default the screen. It must not exist." placeholder:"FILE"`
}

func (c *dataConvertCmd) Run() error {
	if c.Out == "" {
		_, err := c.convert(os.Stdout, 0)
		return err
	}
	f, err := os.OpenFile(c.Out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return usagef("--out: %v", err)
	}
	n, err := c.convert(f, 0)
	if shut := f.Close(); err == nil {
		err = shut
	}
	if err != nil {
		os.Remove(c.Out)
		return err
	}
	fmt.Printf("%d documents in %s\n", n, c.Out)
	return nil
}
