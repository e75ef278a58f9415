package data

import (
	"strings"

	"concord/internal/tokenizer"
)

// Inspected is a document as a search for faults sees it.
type Inspected struct {
	File          string
	Line          int
	Lang          string
	Held          bool     // measured, not trained on
	Content       uint64   // equal for documents with equal text
	Given, Learnt string   // the text that is given, and that is learnt
	Roles         []string // of a conversation's turns
	BlankAnswer   bool     // one of the assistant's turns says nothing

	TooLong bool // longer than Options.MaxLen
	Masked  bool // nothing of it is learnt
}

// Inspect gives every document of the sources to yield, in order: the texts as they
// stand, and whether training holds each out and reads it whole. tok nil: that is not
// known, and only held-out files are held out.
func Inspect(sources []Source, tok *tokenizer.Tokenizer, opt Options, yield func(*Inspected) error) error {
	for i := range sources {
		src := &sources[i]
		if err := src.check(); err != nil {
			return err
		}
		for _, part := range []struct {
			paths []string
			held  bool
		}{{src.Paths, false}, {src.Heldout, true}} {
			if len(part.paths) == 0 {
				continue
			}
			fates, err := src.fates(part.paths, part.held, tok, opt)
			if err == nil {
				err = src.inspect(part.paths, part.held, fates, yield)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// fate is the treatment of a document.
type fate struct{ held, tooLong, masked bool }

// fates are those of all documents of some of the source's files; nil without tok.
func (s *Source) fates(paths []string, held bool, tok *tokenizer.Tokenizer, opt Options) ([]fate, error) {
	if tok == nil {
		return nil, nil
	}
	enc, err := newEncoder(tok, s.TrainOn, opt)
	if err != nil {
		return nil, err
	}
	t, err := s.tokens(paths, held, enc, opt.Cache)
	if err != nil {
		return nil, err
	}
	out := make([]map[fingerprint]bool, len(t.sum.Langs))
	if s.Train && !held {
		if out, err = heldOf(t, s); err != nil {
			return nil, err
		}
	}
	all := make([]fate, 0, t.sum.Docs)
	err = t.each(func(d *tokenised, _ int64) error {
		all = append(all, fate{held || !s.Train || out[d.lang][d.group], d.stats.TooLong > 0, d.stats.FullyMasked > 0})
		return nil
	})
	return all, err
}

func (s *Source) inspect(paths []string, held bool, fates []fate, yield func(*Inspected) error) error {
	f, n := s.files(paths, held), 0
	for _, path := range paths {
		err := f.documents(path, func(string, ...any) {}, func(d document) error {
			x := &Inspected{File: path, Line: d.line, Lang: langOf(s, d.lang), Held: held || !s.Train, Content: uint64(d.content())}
			if n < len(fates) {
				x.Held, x.TooLong, x.Masked = fates[n].held, fates[n].tooLong, fates[n].masked
			}
			n++
			x.read(&d)
			return yield(x)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// read takes the document's text.
func (x *Inspected) read(d *document) {
	var given, learnt strings.Builder
	for _, p := range d.parts {
		if p.learn {
			learnt.WriteString(p.text)
		} else {
			given.WriteString(p.text)
		}
	}
	for _, m := range d.messages() {
		x.Roles = append(x.Roles, m.Role)
		to := &given
		if m.Role == "assistant" {
			to = &learnt
			x.BlankAnswer = x.BlankAnswer || m.Blank()
		}
		if to.Len() > 0 {
			to.WriteString("\n")
		}
		to.WriteString(m.Content)
	}
	x.Given, x.Learnt = given.String(), learnt.String()
}
