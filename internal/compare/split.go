package compare

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"concord/internal/config"
	"concord/internal/data"
	"concord/internal/safetensors"
	"concord/internal/train"
)

// testSuffix marks, in a run's evaluation, the half of a language's held-out
// examples that is reported. The language's own row is the other half, by which
// choices are made.
const testSuffix = ":test"

// split divides the held-out examples of every source in two, as files in dir,
// and returns cfg with these as its data: each language's held-out examples are
// the validation half, and a further evaluation-only source with testSuffix has
// the test half (eval.rows bounds each half). What is trained on stays the same,
// in the same order. warn is told of held-out documents that are also trained
// on.
func split(cfg *config.Config, dir string, warn io.Writer) (*config.Config, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, train.DataError(err)
	}
	out := *cfg
	var tests []config.Source
	out.Data.Source = slices.Clone(cfg.Data.Source)
	for i := range out.Data.Source {
		s := &out.Data.Source[i]
		if strings.HasSuffix(s.Lang, testSuffix) {
			return nil, &config.Error{Where: cfg.Where(fmt.Sprintf("data.source.%d.lang", i)), Msg: fmt.Sprintf("%q: a comparison uses this ending itself", s.Lang), Fix: "another name for the language"}
		}
		test, err := splitSource(cfg, s, filepath.Join(dir, fmt.Sprintf("%02d-%s", i+1, slug(s.Lang))), warn)
		if err != nil {
			return nil, err
		}
		if test != nil {
			tests = append(tests, *test)
		}
	}
	if len(tests) == 0 {
		return nil, &config.Error{Where: cfg.Where("data.source"), Msg: "no source has held-out examples: there is nothing to compare by", Fix: `holdout = 0.1  # in [[data.source]]`}
	}
	out.Data.Source = append(out.Data.Source, tests...)
	return &out, nil
}

// splitSource writes the halves of s to files that begin with stem, points s to
// the validation half and returns the source of the test half; nil if nothing
// of s is held out.
func splitSource(cfg *config.Config, s *config.Source, stem string, warn io.Writer) (*config.Source, error) {
	h, err := data.Divide(data.Source{Lang: s.Lang, Path: cfg.Resolve(s.Path), Format: s.Format, HeldoutPath: cfg.Resolve(s.Heldout), Holdout: s.Holdout, Train: s.Train, TrainOn: s.TrainOn})
	if err != nil {
		return nil, train.DataError(err)
	}
	if h.Shared > 0 {
		fmt.Fprintf(warn, "concord: %s: %d held-out documents are also trained on\n", s.Lang, h.Shared)
	}
	if h.NumValid+h.NumTest == 0 {
		s.Path, s.Heldout, s.Holdout = absolute(cfg.Resolve(s.Path)), "", 0
		return nil, nil
	}
	if h.NumTest == 0 {
		return nil, train.DataError(fmt.Errorf("%s: its held-out documents all have one prompt: choosing by one half and reporting the other needs two; hold out more", s.Lang))
	}
	test := config.Source{Lang: s.Lang + testSuffix, Format: s.Format, TrainOn: s.TrainOn}
	path := absolute(cfg.Resolve(s.Path))
	if h.Train != nil {
		path = absolute(stem + ".train" + strings.ToLower(filepath.Ext(path)))
	}
	s.Heldout, s.Holdout, test.Heldout = absolute(stem+".valid"+h.Ext), 0, absolute(stem+".test"+h.Ext)
	if s.Path = path; !s.Train {
		s.Path = ""
	}
	for path, text := range map[string][]byte{s.Heldout: h.Valid, test.Heldout: h.Test} {
		if err := keep(path, text); err != nil {
			return nil, err
		}
	}
	if h.Train != nil {
		return &test, keep(s.Path, h.Train)
	}
	return &test, nil
}

// keep writes a file unless it is there as it should be.
func keep(path string, text []byte) error {
	if have, err := os.ReadFile(path); err == nil && bytes.Equal(have, text) {
		return nil
	}
	return train.DataError(safetensors.WriteFile(path, text))
}

func absolute(path string) string {
	if path == "" {
		return ""
	}
	if a, err := filepath.Abs(path); err == nil {
		return a
	}
	return path
}
