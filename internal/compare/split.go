package compare

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"concord/internal/data"
	"concord/internal/fault"
	"concord/internal/study"
	"concord/internal/train"
)

// TestSuffix marks, in a run's evaluation, the half of a language's held-out
// examples that is reported. The language's own row is the other half, by which
// choices are made.
const TestSuffix = ":test"

// Split divides the held-out examples of every source in two, as files in dir,
// and returns the run with these as its data: each language's held-out examples are
// the validation half, and a further evaluation-only source with TestSuffix has
// the test half (eval.rows bounds each half). The training documents stay the same,
// in the same order. warn is told of held-out documents that are also trained
// on.
func Split(run train.Varied, dir string, warn io.Writer) (train.Varied, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return run, train.DataError(err)
	}
	out := run
	out.Data.Sources = nil
	if run.Data.Align == train.AlignLine {
		out.Data.Align = train.AlignKey // the halves are in our own form, with the lines' numbers as keys
	}
	var tests []train.Source
	for i, s := range run.Data.Sources {
		langs, err := languagesOf(run, s)
		if err != nil {
			return run, err
		}
		for j, lang := range langs {
			if strings.HasSuffix(lang, TestSuffix) {
				return run, run.Located(&fault.Setting{Key: fmt.Sprintf("data.source.%d", i),
					Msg: fmt.Sprintf("%q: a comparison uses this ending itself", lang), Fix: "another name for the language"})
			}
			part, stem := s, fmt.Sprintf("%02d-%s", i+1, study.Slug(lang))
			if s.LangColumn != "" {
				part.Langs, stem = []string{lang}, fmt.Sprintf("%02d-%03d-%s", i+1, j+1, study.Slug(lang))
			}
			test, err := splitSource(run, &part, lang, filepath.Join(dir, stem), warn)
			if err != nil {
				return run, err
			}
			out.Data.Sources = append(out.Data.Sources, part)
			if test != nil {
				tests = append(tests, *test)
			}
		}
	}
	if len(tests) == 0 {
		return run, run.Located(&fault.Setting{Key: "data.source", Msg: "no source has held-out examples: there is nothing to compare by",
			Fix: `holdout = 0.1  # in [[data.source]]`})
	}
	out.Data.Sources = append(out.Data.Sources, tests...)
	return out, nil
}

// languagesOf are the languages of a source, which are read if a column names them.
func languagesOf(run train.Varied, s train.Source) ([]string, error) {
	src := run.Documents(s)
	langs, err := src.Languages()
	return langs, train.DataError(err)
}

// splitSource writes the halves of s, a source of one language (of its column: one that is
// named), to files that begin with stem, as JSON lines, makes of s the source of the
// validation half, a language's own, and returns that of the test half; nil if nothing of
// s is held out.
func splitSource(run train.Varied, s *train.Source, lang, stem string, warn io.Writer) (*train.Source, error) {
	if len(s.Heldout) == 0 && s.Holdout == 0 && s.Train && s.LangColumn == "" && run.Data.Align != train.AlignLine {
		s.Path = allAbsolute(run.Resolve(s.Path))
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
	h, err := data.Divide(run.Documents(*s), files[0], files[1], files[2])
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
	key := run.Data.Align == train.AlignLine || s.Key != ""
	*s = train.Source{Lang: lang, Train: s.Train && h.Train > 0, TrainOn: s.TrainOn} // the files are in our own form
	if s.Train {
		s.Path = []string{paths[0]}
	}
	if key && s.Train {
		s.Key = "key"
	}
	if h.Valid == 0 {
		return nil, nil
	}
	s.Heldout = []string{paths[1]}
	return &train.Source{Lang: lang + TestSuffix, TrainOn: s.TrainOn, Heldout: []string{paths[2]}}, nil
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
