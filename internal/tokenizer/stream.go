package tokenizer

import (
	"strings"
	"unicode/utf8"
)

// Stream decodes tokens one by one, for showing text while it is generated. It
// gives out whole characters only: bytes of an unfinished one wait for the
// next token. The pieces joined, Flush included, are the text that Decode gives for all
// ids at once, except that a decoder which looks across tokens may have judged
// an early byte differently. Not safe for concurrent use.
type Stream struct {
	t           *Tokenizer
	skipSpecial bool
	window      []uint32 // the last ids given out, and those that wait
	shown       string   // the part of the window's text that was given out
	keep        int      // ids of the window that were given out
}

// NewStream begins a stream that continues prompt (may be nil): its text is not
// given out, but decides for example whether a first space is kept.
func (t *Tokenizer) NewStream(prompt []uint32, skipSpecial bool) *Stream {
	s := &Stream{t: t, skipSpecial: skipSpecial, window: append([]uint32(nil), prompt...), keep: len(prompt)}
	s.shown = strings.TrimRight(t.Decode(prompt, skipSpecial), "\uFFFD") // an unfinished character is given out whole
	return s
}

// maxWait is how many ids may wait for a character to be completed (it takes
// four bytes at most) before they are given out as they are.
const maxWait = 8

// Next takes the next token and returns the text that is complete by now, ""
// if there is none.
func (s *Stream) Next(id uint32) string {
	if _, ok := s.t.spell(id, s.skipSpecial); !ok {
		return "" // leaves no trace: must not push real context out of the window
	}
	s.window = append(s.window, id)
	text := s.t.Decode(s.window, s.skipSpecial)
	if strings.HasSuffix(text, "\uFFFD") && len(s.window)-s.keep < maxWait {
		return ""
	}
	out := after(text, s.shown)
	// The next call needs one step of context only.
	s.window = append([]uint32(nil), s.window[s.keep:]...)
	s.keep = len(s.window)
	s.shown = s.t.Decode(s.window, s.skipSpecial)
	return out
}

// Flush returns the bytes that still wait, with U+FFFD for bytes that are not UTF-8. The
// stream may go on afterwards.
func (s *Stream) Flush() string {
	text := s.t.Decode(s.window, s.skipSpecial)
	out := after(text, s.shown)
	s.keep, s.shown = len(s.window), text
	return out
}

// after returns text without shown at its front. If the front has changed (a
// run of byte tokens turned out not to be text), as many characters are dropped.
func after(text, shown string) string {
	if rest, ok := strings.CutPrefix(text, shown); ok {
		return rest
	}
	for range shown {
		_, w := utf8.DecodeRuneInString(text)
		text = text[w:]
	}
	return text
}
