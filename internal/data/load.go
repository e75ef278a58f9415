package data

import (
	"fmt"
	"slices"
	"strings"

	"concord/internal/tokenizer"
)

// Load reads one source of one language. See LoadAll.
func Load(src Source, tok *tokenizer.Tokenizer, opt Options) (*Set, error) {
	sets, err := LoadAll([]Source{src}, tok, opt)
	if err != nil {
		return nil, err
	}
	return sets[0], nil
}

// LoadAll tokenises sources and joins those of one language, so that a language may
// have several. The sets are in the order of first mention; the languages of a
// column in that of their names. Errors are *Error where a place in a file can be
// named. A source that leaves no example where one is needed (nothing to train on in
// a training source, nothing to measure in the others) is an error that gives the
// counts.
func LoadAll(sources []Source, tok *tokenizer.Tokenizer, opt Options) ([]*Set, error) {
	l := loader{byLang: map[string]*loading{}, held: map[fingerprint]bool{}}
	for i := range sources {
		if err := sources[i].check(); err != nil {
			return nil, err
		}
	}
	for i := range sources {
		enc, err := newEncoder(tok, sources[i].TrainOn, opt)
		if err != nil {
			return nil, err
		}
		if err := l.source(&sources[i], enc, opt.Cache); err != nil {
			return nil, err
		}
	}
	return l.sets(), nil
}

// loader joins sources to sets.
type loader struct {
	all    []*loading
	byLang map[string]*loading
	held   map[fingerprint]bool // contents of held-out documents; true: also trained on
}

// loading is a set on its way.
type loading struct {
	set            Set
	train, heldout fileExamples
	trained        []fingerprint           // content of each training document
	keyAt          map[fingerprint]heldDoc // of training documents with keys: where each stands
	measured       []heldDoc
}

// heldDoc is a document and where it stands.
type heldDoc struct {
	content fingerprint
	file    string
	line    int
}

// lang is the set of a language.
func (l *loader) lang(name string) *loading {
	s := l.byLang[name]
	if s == nil {
		s = &loading{set: Set{Lang: name}}
		l.byLang[name], l.all = s, append(l.all, s)
	}
	return s
}

// source adds a source's documents.
func (l *loader) source(src *Source, enc *encoder, cache string) error {
	var train, held Stats
	if len(src.Paths) > 0 {
		t, err := src.tokens(src.Paths, false, enc, cache)
		if err != nil {
			return err
		}
		out := make([]map[fingerprint]bool, len(t.sum.Langs))
		if src.Train {
			if out, err = heldOf(t, src); err != nil {
				return err
			}
		}
		for _, lang := range src.Langs {
			if !slices.Contains(t.sum.Langs, lang) {
				return fmt.Errorf("data: langs names %q, which no document of %s has in its column %q: it has %s", lang,
					strings.Join(src.Paths, ", "), src.LangColumn, quoted(t.sum.Langs))
			}
		}
		err = l.add(src, t, &train, &held, func(d *tokenised) bool { return !src.Train || out[d.lang][d.group] })
		if err != nil {
			return err
		}
	}
	if len(src.Heldout) > 0 {
		t, err := src.tokens(src.Heldout, true, enc, cache)
		if err != nil {
			return err
		}
		if err := l.add(src, t, &train, &held, func(*tokenised) bool { return true }); err != nil {
			return err
		}
	}
	if src.Train && train.Examples == 0 {
		return emptyError(src, src.Paths, train)
	}
	if !src.Train && held.Examples == 0 {
		return emptyError(src, slices.Concat(src.Heldout, src.Paths), held)
	}
	return nil
}

// tokens are those of some of the source's files.
func (s *Source) tokens(paths []string, held bool, enc *encoder, cache string) (*tokenFile, error) {
	f := s.files(paths, held)
	f.progress = enc.opt.Progress
	return f.tokens(enc, cache)
}

// heldOf chooses the documents to hold out of a source, for each language.
func heldOf(t *tokenFile, src *Source) ([]map[fingerprint]bool, error) {
	defer lean()()
	out := make([]map[fingerprint]bool, len(t.sum.Langs))
	if src.Holdout == 0 {
		return out, nil
	}
	groups := make([][]fingerprint, len(t.sum.Langs))
	err := t.each(func(d *tokenised, _ int64) error {
		if d.stats.Examples > 0 {
			groups[d.lang] = append(groups[d.lang], d.group)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for i, g := range groups {
		if out[i], err = heldGroups(g, src.Holdout); err != nil {
			return nil, holdoutError(src, langOf(src, t.sum.Langs[i]), len(g), err)
		}
	}
	return out, nil
}

func langOf(src *Source, column string) string {
	if src.LangColumn != "" {
		return column
	}
	return src.Lang
}

// add divides a token file's documents among the languages, to train on or to
// measure.
func (l *loader) add(src *Source, t *tokenFile, train, held *Stats, isHeld func(*tokenised) bool) error {
	defer lean()()
	order := make([]int, len(t.sum.Langs))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return strings.Compare(t.sum.Langs[a], t.sum.Langs[b]) })
	into := make([]*loading, len(t.sum.Langs))
	for _, i := range order {
		into[i] = l.lang(langOf(src, t.sum.Langs[i]))
	}
	if len(into) == 0 && src.Lang != "" {
		l.lang(src.Lang)
	}
	if len(l.all) > 0 && len(t.sum.Notes) > 0 {
		first := l.all[len(l.all)-1]
		if len(into) > 0 {
			first = into[order[0]]
		}
		first.set.Notes = append(first.set.Notes, t.sum.notes()...)
	}
	if len(into) == 1 && src.Train && len(src.Heldout) == 0 { // most of one language: all at once, not by doubling
		into[0].train.grow(t.sum.Examples)
		into[0].trained = slices.Grow(into[0].trained, t.sum.Docs)
	}
	return t.each(func(d *tokenised, at int64) error {
		s := into[d.lang]
		if isHeld(d) {
			s.set.HeldoutStats.add(&d.stats)
			held.add(&d.stats)
			if d.stats.Examples > 0 {
				s.heldout.addNamed(t, at, d)
				s.measured = append(s.measured, heldDoc{d.content, t.sum.Files[d.file], int(d.line)})
				l.held[d.content] = false
			}
			return nil
		}
		s.set.TrainStats.add(&d.stats)
		train.add(&d.stats)
		if d.stats.Examples > 0 {
			s.train.add(t, at, d.lengths)
			s.trained = append(s.trained, d.content)
			if src.Aligned {
				return s.addKey(d, t.sum.Files[d.file])
			}
		}
		return nil
	})
}

// sets completes the sets: documents that are there twice, and those measured though they are
// trained on, in any source or language.
func (l *loader) sets() []*Set {
	defer lean()()
	for _, s := range l.all {
		for _, c := range s.trained {
			if _, ok := l.held[c]; ok {
				l.held[c] = true
			}
		}
	}
	var out []*Set
	for _, s := range l.all {
		s.set.Train, s.set.Heldout = &s.train, &s.heldout
		s.set.Documents, s.set.TrainStats.Duplicates = len(s.trained), repeated(s.trained)
		s.shared(l.held)
		s.trained = nil
		out = append(out, &s.set)
	}
	return out
}

// shared counts the set's held-out documents that are also trained on.
func (s *loading) shared(held map[fingerprint]bool) {
	contents := make([]fingerprint, len(s.measured))
	first := ""
	for i, d := range s.measured {
		contents[i] = d.content
		if !held[d.content] {
			continue
		}
		if s.set.HeldoutStats.Shared++; first == "" {
			first = fmt.Sprintf("%s:%d", d.file, d.line)
		}
	}
	s.set.HeldoutStats.Duplicates = repeated(contents)
	if n := s.set.HeldoutStats.Shared; n > 0 {
		const say = "%d of %d held-out examples are also trained on (the first: %s): their figures show memory; take them out of " +
			"the one or the other"
		s.set.Notes = append(s.set.Notes, fmt.Sprintf(say, n, len(s.measured), first))
	}
	s.measured = nil
}

// repeated is how many of the fingerprints are there before; it sorts them.
func repeated(all []fingerprint) (n int) {
	slices.Sort(all)
	for i := 1; i < len(all); i++ {
		if all[i] == all[i-1] {
			n++
		}
	}
	return n
}

// emptyError explains why a source left nothing.
func emptyError(s *Source, paths []string, n Stats) error {
	fix := "files with documents; concord data peek FILE shows how a file is read"
	switch most := max(n.TooLong, n.Empty, n.FullyMasked); {
	case most == 0:
	case most == n.TooLong:
		fix = `a larger seq_len in [batch], or overlong = "truncate" in [data]`
	case most == n.Empty:
		fix = "documents with text, and with an answer where they have a question; concord data peek FILE shows how they are read"
	default:
		fix = `train_on = "all" in this [[data.source]], if its prompts are to be learnt; or conversations with answers of the assistant`
	}
	return fmt.Errorf("data: source %s: no example left of %s: %d documents, %d too long (max_len), %d empty, %d without a target\n  fix: %s",
		s.name(), strings.Join(paths, ", "), n.Docs, n.TooLong, n.Empty, n.FullyMasked, fix)
}
