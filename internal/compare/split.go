package compare

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"concord/internal/config"
	"concord/internal/data"
	"concord/internal/study"
	"concord/internal/train"
)

// TestSuffix marks, in a run's evaluation, the half of a language's held-out
// examples that is reported. The language's own row is the other half, by which
// choices are made.
const TestSuffix = ":test"

// Split divides the held-out examples of every source in two, as files in dir,
// and returns cfg with these as its data: each language's held-out examples are
// the validation half, and a further evaluation-only source with TestSuffix has
// the test half (eval.rows bounds each half). The training documents stay the same,
// in the same order. warn is told of held-out documents that are also trained
// on.
func Split(cfg *config.Config, dir string, warn io.Writer) (*config.Config, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, train.DataError(err)
	}
	out := *cfg
	out.Data.Source = nil
	if cfg.Data.Align == config.AlignLine {
		out.Data.Align = "key" // the halves are in our own form, with the lines' numbers as keys
	}
	var tests []config.Source
	for i, s := range cfg.Data.Source {
		langs, err := languagesOf(cfg, s)
		if err != nil {
			return nil, err
		}
		for j, lang := range langs {
			if strings.HasSuffix(lang, TestSuffix) {
				return nil, &config.Error{Where: cfg.Where(fmt.Sprintf("data.source.%d", i)),
					Msg: fmt.Sprintf("%q: a comparison uses this ending itself", lang), Fix: "another name for the language"}
			}
			part, stem := s, fmt.Sprintf("%02d-%s", i+1, study.Slug(lang))
			if s.LangColumn != "" {
				part.Langs, stem = []string{lang}, fmt.Sprintf("%02d-%03d-%s", i+1, j+1, study.Slug(lang))
			}
			test, err := splitSource(cfg, &part, lang, filepath.Join(dir, stem), warn)
			if err != nil {
				return nil, err
			}
			out.Data.Source = append(out.Data.Source, part)
			if test != nil {
				tests = append(tests, *test)
			}
		}
	}
	if len(tests) == 0 {
		return nil, &config.Error{Where: cfg.Where("data.source"), Msg: "no source has held-out examples: there is nothing to compare by",
			Fix: `holdout = 0.1  # in [[data.source]]`}
	}
	out.Data.Source = append(out.Data.Source, tests...)
	return &out, nil
}

// languagesOf are the languages of a source, which are read if a column names them.
func languagesOf(cfg *config.Config, s config.Source) ([]string, error) {
	src := train.Source(cfg, s)
	langs, err := src.Languages()
	return langs, train.DataError(err)
}

// splitSource writes the halves of s, a source of one language (of its column: one that is
// named), to files that begin with stem, as JSON lines, makes of s the source of the
// validation half, a language's own, and returns that of the test half; nil if nothing of
// s is held out.
func splitSource(cfg *config.Config, s *config.Source, lang, stem string, warn io.Writer) (*config.Source, error) {
	if len(s.Heldout) == 0 && s.Holdout == 0 && s.Train && s.LangColumn == "" && cfg.Data.Align != config.AlignLine {
		s.Path = allAbsolute(cfg.ResolveAll(s.Path))
		return nil, nil
	}
	paths := allAbsolute([]string{stem + ".train.jsonl", stem + ".valid.jsonl", stem + ".test.jsonl"})
	files := make([]*pending, len(paths))
	for i, path := range paths {
		f, err := create(path)
		if err != nil {
			return nil, train.DataError(err)
		}
		defer f.discard()
		files[i] = f
	}
	h, err := data.Divide(train.Source(cfg, *s), files[0], files[1], files[2])
	if err != nil {
		return nil, train.DataError(err)
	}
	if h.Shared > 0 {
		fmt.Fprintf(warn, "concord: %s: %d held-out documents are also trained on\n", lang, h.Shared)
	}
	if h.Test == 0 && h.Valid > 0 {
		return nil, train.DataError(fmt.Errorf("%s: its held-out documents all have one prompt: choosing by one half and reporting the other "+
			"needs two; hold out more", lang))
	}
	if !s.Train {
		files = files[1:]
	}
	for _, f := range files {
		if err := f.commit(); err != nil {
			return nil, train.DataError(err)
		}
	}
	key := cfg.Data.Align == config.AlignLine || s.Key != ""
	*s = config.Source{Lang: lang, Train: s.Train && h.Train > 0, TrainOn: s.TrainOn} // the files are in our own form
	if s.Train {
		s.Path = config.Paths{paths[0]}
	}
	if key && s.Train {
		s.Key = "key"
	}
	if h.Valid == 0 {
		return nil, nil
	}
	s.Heldout = config.Paths{paths[1]}
	return &config.Source{Lang: lang + TestSuffix, TrainOn: s.TrainOn, Heldout: config.Paths{paths[2]}}, nil
}

// pending is a file that takes its place when it is whole.
type pending struct {
	*os.File
	path string
}

func create(path string) (*pending, error) {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+"-*.tmp")
	return &pending{f, path}, err
}

// commit puts the file in its place.
func (p *pending) commit() error {
	if err := errors.Join(p.Sync(), p.Chmod(0o644), p.Close()); err != nil {
		return err // a full disk, say: a file that was cut short does not take the name
	}
	return os.Rename(p.Name(), p.path)
}

// discard removes a file that was not committed.
func (p *pending) discard() {
	p.Close()
	os.Remove(p.Name())
}

func allAbsolute(paths []string) []string {
	var out []string
	for _, p := range paths {
		out = append(out, absolute(p))
	}
	return out
}

func absolute(path string) string {
	if a, err := filepath.Abs(path); err == nil {
		return a
	}
	return path
}
