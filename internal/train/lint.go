package train

import (
	"fmt"
	"strings"

	"concord/internal/config"
	"concord/internal/data"
	"concord/internal/lint"
)

// LintData looks for faults of a run file's data, and for unusual things about the
// run that it makes.
func LintData(cfg *config.Config, opt lint.Options) ([]lint.Finding, *lint.Linter, error) {
	c, err := openCorpus(cfg)
	if err != nil {
		return nil, nil, err
	}
	var sources []data.Source
	for _, s := range cfg.Data.Source {
		sources = append(sources, Source(cfg, s))
	}
	each := func(yield func(*data.Inspected) error) error {
		return data.Inspect(sources, c.tokenizer, c.dataOptions(cfg), yield)
	}
	found, l, err := lintDocuments(each, opt)
	if err != nil {
		return nil, nil, err
	}
	warnings := c.warnings(cfg, c.dataRecords(cfg.Data.Overlong))
	if _, ok := c.tokenizer.EOS(); !ok && !c.onlyChats() {
		warnings = append(warnings, "no file of the model names an end-of-text token: answers have no end, and the model does not "+
			"learn to stop\nfix: eos_token in its tokenizer_config.json")
	}
	for _, w := range warnings {
		text, fix, _ := strings.Cut(w, "\nfix: ")
		found = append(found, lint.Finding{Kind: lint.Run, Text: text, Fix: fix})
	}
	return found, l, nil
}

// LintSources looks at data for which there is no model yet.
func LintSources(sources []data.Source, opt lint.Options) ([]lint.Finding, *lint.Linter, error) {
	return lintDocuments(func(yield func(*data.Inspected) error) error {
		return data.Inspect(sources, nil, data.Options{}, yield)
	}, opt)
}

func lintDocuments(each func(func(*data.Inspected) error) error, opt lint.Options) ([]lint.Finding, *lint.Linter, error) {
	l := lint.New(opt)
	err := each(func(d *data.Inspected) error { l.Add(d); return nil })
	if err == nil && l.Documents() == 0 {
		err = fmt.Errorf("no document in the data")
	}
	if err != nil {
		return nil, nil, DataError(err)
	}
	found, err := l.Finish(each)
	return found, l, DataError(err)
}
