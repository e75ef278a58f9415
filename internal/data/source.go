package data

import (
	"fmt"
	"math"
	"slices"

	"concord/internal/chat"
	"concord/internal/records"
)

// Source is one language's files, or files of several languages.
type Source struct {
	Lang    string
	Paths   []string // none if there is nothing to train on
	Format  string   // "" by extension, or one of records.Formats
	Heldout []string // files of held-out documents, in the same format
	// Holdout, instead, is the part to hold out of Paths: below 1 a share of the
	// documents, from 1 on a number of them. At least so many are, and those with
	// one prompt, or one text, together; which ones follows from their texts.
	Holdout float64
	Train   bool   // false: everything in Paths is held out too (an unseen language)
	TrainOn string // "" or "completion": the answer where there is a prompt; "all": prompt too

	Columns    map[string]string // our name of a column → the files'
	Roles      map[string]string // our name of a message's role → the files'
	LangColumn string            // the column that names a document's language, in the place of Lang
	Langs      []string          // with LangColumn: the languages that are read; none: all
	Key        string            // the column that names each example: translations share it; or KeyLine; "": none
	Aligned    bool              // Keys of the training examples are wanted, each once in a language
}

// KeyLine, as a Source's Key, is the number of the line: line n of one language's file is
// the translation of line n of another's.
const KeyLine = "\x00line"

// Truncate, as Options.Overlong, cuts documents to the longest length, with and without a
// prompt.
const Truncate = "truncate"

// Options are how documents become examples. The zero value puts no bound
// on length, begins with BOS if the tokenizer itself puts it before a text, and ends
// with EOS if the tokenizer names one.
type Options struct {
	MaxLen   int    // positions of an example; 0 = no bound
	Overlong string // "" or "auto": split text, drop documents with a prompt; "drop", "truncate", "split", "error"
	NoBOS    bool   // do not begin with BOS
	NoEOS    bool   // do not end with EOS
	// Progress, if not nil, is told every few seconds how many documents of a file are
	// read, while text is being tokenised.
	Progress func(path string, documents int) `json:"-"`
	// Template renders conversations; without one they are refused.
	Template *chat.Template `json:"-"`
	Cache    string         `json:"-"` // folder where the tokens of large files are kept for the next run; "": they are not kept
}

// Stats counts the documents of one language and split by their treatment.
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
	Straddling  int // tokens across the border between given and learnt text: not learnt
	OwnMarks    int // BOS and EOS that the documents carried themselves: not added again
	Chats       int // conversations that the chat template rendered
	ByMarks     int // those whose template marks the learnt parts, by {% generation %}
	ByPrefix    int // those whose turns were found turn by turn; the others have turns of a known format
	NoTools     int // those with tools that the template leaves out
	Duplicates  int // documents equal to an earlier one of the language: kept
	Shared      int // held-out documents that are also trained on, in any language: kept, and worth a warning
}

// counts are the counters of single documents, in the order of a token file.
func (s *Stats) counts() []*int {
	return []*int{&s.Docs, &s.Examples, &s.Tokens, &s.Supervised, &s.Bytes, &s.TooLong, &s.Pieces, &s.Empty, &s.FullyMasked, &s.Straddling,
		&s.OwnMarks, &s.Chats, &s.ByMarks, &s.ByPrefix, &s.NoTools}
}

// add accumulates the counters of o into s.
func (s *Stats) add(o *Stats) {
	from := o.counts()
	for i, n := range s.counts() {
		*n += *from[i]
	}
}

// Set is one language's examples.
type Set struct {
	Lang                     string
	Train, Heldout           Examples
	Documents                int      // that gave Train an example or more
	Keys                     []uint64 // of the examples to train on, hashes; nil where the source is not Aligned
	TrainStats, HeldoutStats Stats
	Notes                    []string // sentences that the user should see, with the line that helps
}

// check refuses a source that makes no sense.
func (s *Source) check() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("data: source %q: %w", s.Lang, fmt.Errorf(format, args...))
	}
	switch {
	case s.Lang == "" && s.LangColumn == "":
		return fmt.Errorf("data: source %v has no language: give it lang = \"…\"", s.Paths)
	case s.Lang != "" && s.LangColumn != "":
		return bad("both lang and lang_column: remove one")
	case len(s.Langs) > 0 && s.LangColumn == "":
		return bad("langs without lang_column: name the column of the language")
	case s.Train && len(s.Paths) == 0:
		return bad("nothing to train on: give it a path, or train = false")
	case len(s.Paths) == 0 && len(s.Heldout) == 0:
		return bad("neither a path nor a held-out file: give it one")
	case len(s.Heldout) > 0 && s.Holdout != 0:
		return bad("both a held-out file and a number to hold out: remove one")
	case math.IsNaN(s.Holdout) || s.Holdout < 0 || s.Holdout >= 1 && s.Holdout != math.Trunc(s.Holdout) || s.Holdout > 1e12:
		return bad("holdout %v is neither a share in [0, 1) nor a number of documents", s.Holdout)
	case s.Format != "" && !slices.Contains(records.Formats(), s.Format):
		return bad("format %q is not known: use %s", s.Format, quoted(records.Formats()))
	case s.TrainOn != "" && s.TrainOn != "completion" && s.TrainOn != "all":
		return bad("train_on %q is not known: use \"completion\" or \"all\"", s.TrainOn)
	}
	for ours := range s.Columns {
		if !slices.Contains(Columns(), ours) {
			return bad("columns: %q is none of %s: write ours = \"theirs\"", ours, quoted(Columns()))
		}
	}
	for ours := range s.Roles {
		if !slices.Contains(knownRoles, ours) {
			return bad("roles: %q is none of %s: write ours = \"theirs\"", ours, quoted(knownRoles))
		}
	}
	return nil
}

// files is the set of some of the source's files; held: all of it is held out.
func (s *Source) files(paths []string, held bool) *fileSet {
	return &fileSet{paths: paths, format: s.Format, recogniser: recogniser{columns: s.Columns, roles: reversed(s.Roles),
		lang: s.LangColumn, langs: s.Langs, key: s.Key, keyOptional: held || !s.Train}}
}

// name is the source's name in messages.
func (s *Source) name() string {
	if s.LangColumn != "" {
		return "with lang_column " + s.LangColumn
	}
	return fmt.Sprintf("%q", s.Lang)
}
