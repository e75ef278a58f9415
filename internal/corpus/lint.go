package corpus

import (
	"fmt"
	"strings"

	"concord/internal/data"
	"concord/internal/fault"
	"concord/internal/lint"
)

// Lint looks for faults of the data, and for unusual things about the run that it makes.
func (c *Corpus) Lint(how Steps, opt lint.Options) ([]lint.Finding, *lint.Linter, error) {
	each := func(yield func(*data.Inspected) error) error {
		return data.Inspect(c.options.Sources, c.Tokenizer, c.dataOptions(), yield)
	}
	found, l, err := lintDocuments(each, opt)
	if err != nil {
		return nil, nil, err
	}
	warnings := c.Warnings(how, c.Records())
	if _, ok := c.Tokenizer.EOS(); !ok && !c.OnlyChats() {
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
		return nil, nil, fault.Data(err)
	}
	found, err := l.Finish(each)
	return found, l, fault.Data(err)
}
