package tokenizer

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// splitter cuts a piece into smaller pieces, none of them empty, and hands them
// on in order. first: v begins at the beginning of the input. It returns the
// first error, its own or that of next.
type splitter interface {
	split(v view, first bool, next func(view) error) error
}

// oneSplitter reads a pre-tokenizer other than a Sequence.
func oneSplitter(kind string, o *object) (splitter, bool) {
	switch kind {
	case "ByteLevel":
		b := byteLevel{addPrefixSpace: true, useRegex: true}
		o.get("add_prefix_space", &b.addPrefixSpace, true)
		o.get("use_regex", &b.useRegex, false)
		o.ignore("trim_offsets") // spans are never trimmed
		return b, true
	case "Split":
		return parseSplit(o), true
	case "Digits":
		var individual bool
		o.get("individual_digits", &individual, true)
		behavior := "Contiguous"
		if individual {
			behavior = "Isolated"
		}
		return cutter{find: findDigits, behavior: behavior}, true
	case "Metaspace":
		return parseMetaspace(o), true
	}
	return nil, false
}

// checkSplitters refuses combinations whose effect depends on bookkeeping that
// we do not have, and reports whether the pieces are byte-level.
func checkSplitters(steps []splitter, normalized bool) (isByteLevel bool, err error) {
	for i, s := range steps {
		switch s := s.(type) {
		case byteLevel:
			if i < len(steps)-1 {
				return false, fmt.Errorf("tokenizer: pre_tokenizer: type \"ByteLevel\" is implemented as the last step only")
			}
			isByteLevel = true
		case metaspace:
			if s.scheme == "first" && (i > 0 || normalized) {
				return false, fmt.Errorf("tokenizer: pre_tokenizer: type \"Metaspace\" with prepend_scheme \"first\" is " +
					"implemented as the first step without a normalizer only")
			}
		}
	}
	return isByteLevel, nil
}

// span is a stretch of a text that does or does not match a pattern.
type span struct {
	start, end int
	match      bool
}

// finder tiles a text that is not empty with spans.
type finder func(s string) ([]span, error)

// cutter is Split and Digits: find, then cut as behavior says.
type cutter struct {
	find     finder
	behavior string // Isolated, Removed, Contiguous, MergedWithPrevious, MergedWithNext
	invert   bool   // matches are the texts between the pattern's matches
}

func parseSplit(o *object) splitter {
	var c cutter
	text, regex := o.parsePattern()
	c.behavior = o.oneOf("behavior", "Isolated", "Removed", "Contiguous", "MergedWithPrevious", "MergedWithNext")
	o.get("invert", &c.invert, true)
	if o.err != nil {
		return c
	}
	if !regex {
		c.find = findLiteral(text)
		return c
	}
	if scan := scannerFor(text); scan != nil {
		if c.behavior == "Isolated" && !c.invert {
			return scan
		}
		c.find = findScan(scan)
		return c
	}
	var err error
	if c.find, err = findRegex(text); err != nil {
		o.fail(".pattern.Regex: %v", err)
	}
	return c
}

func (c cutter) split(v view, _ bool, next func(view) error) error {
	spans, err := c.find(v.text)
	if err != nil {
		return err
	}
	if c.invert {
		for i := range spans {
			spans[i].match = !spans[i].match
		}
	}
	return cut(v, spans, c.behavior, next)
}

// split hands on the matches, which tile v.
func (scan scanner) split(v view, _ bool, next func(view) error) error {
	for i := 0; i < len(v.text); {
		end := scan(v.text, i)
		if err := next(v.cut(i, end)); err != nil {
			return err
		}
		i = end
	}
	return nil
}

// cut hands on the pieces of v that spans and behavior give.
func cut(v view, spans []span, behavior string, next func(view) error) error {
	kept := spans[:0]
	previous := false // whether the span before was a match
	for i, sp := range spans {
		last := len(kept) - 1
		switch {
		case behavior == "Removed" && sp.match:
		case last >= 0 && (behavior == "Contiguous" && sp.match == previous ||
			behavior == "MergedWithPrevious" && sp.match && !previous ||
			behavior == "MergedWithNext" && !sp.match && previous):
			kept[last].end = sp.end
		default:
			kept = append(kept, spans[i])
		}
		previous = sp.match
	}
	for _, sp := range kept {
		if err := next(v.cut(sp.start, sp.end)); err != nil {
			return err
		}
	}
	return nil
}

// findScan tiles with a hand-written scanner: everything matches.
func findScan(scan scanner) finder {
	return func(s string) ([]span, error) {
		spans := make([]span, 0, len(s)/4+1)
		for i := 0; i < len(s); {
			end := scan(s, i)
			spans = append(spans, span{i, end, true})
			i = end
		}
		return spans, nil
	}
}

// findLiteral matches the occurrences of text, left to right.
func findLiteral(text string) finder {
	return func(s string) ([]span, error) {
		var spans []span
		for done := 0; done < len(s); {
			i := strings.Index(s[done:], text)
			if i < 0 {
				return append(spans, span{done, len(s), false}), nil
			}
			if i > 0 {
				spans = append(spans, span{done, done + i, false})
			}
			spans = append(spans, span{done + i, done + i + len(text), true})
			done += i + len(text)
		}
		return spans, nil
	}
}

// findDigits matches every single numeric rune (Nd, Nl, No).
func findDigits(s string) ([]span, error) {
	var spans []span
	for i := 0; i < len(s); {
		r, w := utf8.DecodeRuneInString(s[i:])
		match := unicode.IsNumber(r)
		if n := len(spans); n > 0 && !match && !spans[n-1].match {
			spans[n-1].end += w
		} else {
			spans = append(spans, span{i, i + w, match})
		}
		i += w
	}
	return spans, nil
}

// byteLevel is GPT-2's pre-tokenizer. The spelling of bytes as runes is left
// to the model, which takes raw bytes.
type byteLevel struct{ addPrefixSpace, useRegex bool }

func (b byteLevel) split(v view, first bool, next func(view) error) error {
	if b.addPrefixSpace && v.text[0] != ' ' {
		e := editor{src: v}
		e.insert(" ")
		v = e.view()
	}
	if !b.useRegex {
		return next(v)
	}
	return scanner(scanGPT2).split(v, first, next)
}

// metaspace is sentencepiece's: spaces become replacement, one is put before
// the text by scheme, and words begin with it. Also a decoder.
type metaspace struct {
	replacement string
	scheme      string // first, never, always
	words       bool
}

func parseMetaspace(o *object) metaspace {
	m := metaspace{scheme: "always", words: true}
	o.get("replacement", &m.replacement, true)
	if o.err == nil && utf8.RuneCountInString(m.replacement) != 1 {
		o.fail(".replacement: %q is not one character", m.replacement)
	}
	if _, ok := o.keys["prepend_scheme"]; ok {
		m.scheme = o.oneOf("prepend_scheme", "first", "never", "always")
	}
	prefix := true
	o.get("add_prefix_space", &prefix, false)
	if !prefix && m.scheme != "never" {
		o.fail(".add_prefix_space: false contradicts prepend_scheme %q", m.scheme)
	}
	o.get("split", &m.words, false)
	o.ignore("str_rep") // the reference implementation ignores it too
	return m
}

func (m metaspace) split(v view, first bool, next func(view) error) error {
	e := editor{src: v}
	begins := strings.HasPrefix(v.text, m.replacement) || strings.HasPrefix(v.text, " ")
	if !begins && (m.scheme == "always" || m.scheme == "first" && first) {
		e.insert(m.replacement)
	}
	replaceAll(&e, " ", m.replacement)
	v = e.view()
	if !m.words {
		return next(v)
	}
	spans, err := findLiteral(m.replacement)(v.text)
	if err != nil {
		return err
	}
	return cut(v, spans, "MergedWithNext", next)
}
