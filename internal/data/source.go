package data

import (
	"fmt"
	"math"

	"concord/internal/tokenizer"
)

// Source is one language's files.
type Source struct {
	Lang        string
	Path        string  // "" if there is nothing to train on
	Format      string  // "" by extension, "text" or "jsonl"
	HeldoutPath string  // a file of held-out documents, in the same format
	Holdout     float64 // or: this fraction of Path's documents, chosen by a hash of the text
	Train       bool    // false: everything in Path is held out too (an unseen language)
	TrainOn     string  // "" or "completion": the answer where there is a prompt; "all": prompt too
}

// Options are how documents become examples. The zero value puts no bound
// on length, begins with BOS if the tokenizer itself puts it before a text, and ends
// with EOS if the tokenizer names one.
type Options struct {
	MaxLen   int    // positions of an example; 0 = no bound
	Overlong string // "" or "auto": split text, drop what has a prompt; "drop", "truncate", "split", "error"
	NoBOS    bool   // do not begin with BOS
	NoEOS    bool   // do not end with EOS
}

// Example is one document, or a piece of a long one, as tokens.
type Example struct {
	IDs  []uint32
	Mask []bool // Mask[i]: token i is a target (carries loss); Mask[0] is false
	// Bytes of the text whose tokens are targets, EOS not counted. The pieces of
	// a split document share its bytes in proportion to their targets, exact in
	// the sum.
	Bytes int
}

// Positions is the number of places that the example takes in a row.
func (e *Example) Positions() int { return len(e.IDs) - 1 }

// Targets is the number of supervised tokens.
func (e *Example) Targets() int {
	n := 0
	for _, m := range e.Mask {
		if m {
			n++
		}
	}
	return n
}

// Stats counts what became of the documents of one language and split.
type Stats struct {
	Docs        int // documents read
	Examples    int // examples made
	Tokens      int // positions of the examples
	Supervised  int // targets among them
	Bytes       int // of supervised text
	TooLong     int // documents longer than MaxLen: dropped, truncated or split, as asked
	Pieces      int // examples made from split documents (part of Examples)
	Empty       int // documents without text: left out
	FullyMasked int // documents without a target: left out
	Duplicates  int // documents equal to an earlier one: kept
	Shared      int // held-out documents that are also trained on: kept, and worth a warning
	Straddling  int // tokens across the border between given and learnt text: not learnt
	OwnMarks    int // BOS and EOS that the documents carried themselves: not added again
}

// add accumulates o into s.
func (s *Stats) add(o Stats) {
	s.Docs += o.Docs
	s.Examples += o.Examples
	s.Tokens += o.Tokens
	s.Supervised += o.Supervised
	s.Bytes += o.Bytes
	s.TooLong += o.TooLong
	s.Pieces += o.Pieces
	s.Empty += o.Empty
	s.FullyMasked += o.FullyMasked
	s.Duplicates += o.Duplicates
	s.Shared += o.Shared
	s.Straddling += o.Straddling
	s.OwnMarks += o.OwnMarks
}

// Set is one language's examples.
type Set struct {
	Lang                     string
	Train, Heldout           []Example
	TrainStats, HeldoutStats Stats
}

// Load reads a source. Errors are *Error where a place in a file can be named.
// A source that leaves no example where one is needed (nothing to train on in
// a training source, nothing to measure in the others) is an error that gives
// the counts.
func Load(src Source, tok *tokenizer.Tokenizer, opt Options) (*Set, error) {
	if err := src.check(); err != nil {
		return nil, err
	}
	enc, err := newEncoder(tok, src.TrainOn, opt)
	if err != nil {
		return nil, err
	}
	set := &Set{Lang: src.Lang}
	train, held, err := src.documents()
	if err != nil {
		return nil, err
	}
	seen := map[digest]bool{}
	if set.Train, err = enc.examples(train, &set.TrainStats, seen, nil); err != nil {
		return nil, err
	}
	if set.Heldout, err = enc.examples(held, &set.HeldoutStats, map[digest]bool{}, seen); err != nil {
		return nil, err
	}
	if src.Train && len(set.Train) == 0 {
		return nil, emptyError(src, src.Path, set.TrainStats)
	}
	if !src.Train && len(set.Heldout) == 0 {
		return nil, emptyError(src, src.HeldoutPath+src.Path, set.HeldoutStats)
	}
	return set, nil
}

// LoadAll loads sources in order and joins those of one language, so that a
// language may have several files. The sets are in the order of first mention.
func LoadAll(sources []Source, tok *tokenizer.Tokenizer, opt Options) ([]*Set, error) {
	var sets []*Set
	byLang := map[string]*Set{}
	for _, src := range sources {
		s, err := Load(src, tok, opt)
		if err != nil {
			return nil, err
		}
		have := byLang[s.Lang]
		if have == nil {
			byLang[s.Lang] = s
			sets = append(sets, s)
			continue
		}
		have.Train = append(have.Train, s.Train...)
		have.Heldout = append(have.Heldout, s.Heldout...)
		have.TrainStats.add(s.TrainStats)
		have.HeldoutStats.add(s.HeldoutStats)
	}
	return sets, nil
}

// check refuses a source that makes no sense.
func (s *Source) check() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("data: source %q: %w", s.Lang, fmt.Errorf(format, args...))
	}
	switch {
	case s.Lang == "":
		return fmt.Errorf("data: source %s has no language: give it lang = \"…\"", s.Path)
	case s.Train && s.Path == "":
		return bad("nothing to train on: give it a path, or train = false")
	case s.Path == "" && s.HeldoutPath == "":
		return bad("neither a path nor a held-out file: give it one")
	case s.HeldoutPath != "" && s.Holdout != 0:
		return bad("both a held-out file and a fraction to hold out: remove one")
	case math.IsNaN(s.Holdout) || s.Holdout < 0 || s.Holdout >= 1:
		return bad("holdout %v is not a fraction in [0, 1)", s.Holdout)
	case s.Format != "" && s.Format != formatText && s.Format != formatJSONL:
		return bad("format %q is not known: use \"jsonl\" or \"text\"", s.Format)
	case s.TrainOn != "" && s.TrainOn != "completion" && s.TrainOn != "all":
		return bad("train_on %q is not known: use \"completion\" or \"all\"", s.TrainOn)
	}
	return nil
}

// documents reads the source's files and divides them.
func (s *Source) documents() (train, held []document, err error) {
	if s.Path != "" {
		docs, err := readFile(s.Path, s.Format)
		if err != nil {
			return nil, nil, err
		}
		for _, d := range docs {
			if !s.Train || d.heldOut(s.Holdout) {
				held = append(held, d)
			} else {
				train = append(train, d)
			}
		}
	}
	if s.HeldoutPath != "" {
		docs, err := readFile(s.HeldoutPath, s.Format)
		if err != nil {
			return nil, nil, err
		}
		held = append(held, docs...)
	}
	return train, held, nil
}

// emptyError explains why a source left nothing.
func emptyError(s Source, path string, n Stats) error {
	return fmt.Errorf("data: source %q: no example left of %s: %d documents, %d too long (max_len), %d empty, %d without a target",
		s.Lang, path, n.Docs, n.TooLong, n.Empty, n.FullyMasked)
}
