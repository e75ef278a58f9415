package tokenizer

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// decoder turns tokens into text, step by step; the last result is joined.
type decoder interface {
	decode(tokens []string) []string
}

// oneDecoder reads a decoder other than a Sequence.
func oneDecoder(kind string, o *object) (decoder, bool) {
	switch kind {
	case "ByteLevel":
		o.ignore("add_prefix_space", "trim_offsets", "use_regex") // for encoding
		return bytesDecoder{}, true
	case "Replace":
		return parseReplace(o), true
	case "ByteFallback":
		return fallbackDecoder{}, true
	case "Fuse":
		return fuse{}, true
	case "Strip":
		var s strip
		o.get("content", &s.char, true)
		o.get("start", &s.start, true)
		o.get("stop", &s.stop, true)
		if o.err == nil && utf8.RuneCountInString(s.char) != 1 {
			o.fail(".content: %q is not one character", s.char)
		}
		return s, true
	case "Metaspace":
		return parseMetaspace(o), true
	}
	return nil, false
}

// Decode returns the text of ids. With skipSpecial, special added tokens leave
// no trace. Unknown ids are left out; bytes that are not UTF-8 become U+FFFD.
func (t *Tokenizer) Decode(ids []uint32, skipSpecial bool) string {
	tokens := make([]string, 0, len(ids))
	for _, id := range ids {
		if token, ok := t.spell(id, skipSpecial); ok {
			tokens = append(tokens, token)
		}
	}
	if t.decoders == nil {
		return strings.Join(tokens, " ")
	}
	for _, d := range t.decoders {
		tokens = d.decode(tokens)
	}
	return strings.Join(tokens, "")
}

// spell returns the text of a token that the decoders see, or false for one that leaves
// no trace: unknown, or special and skipped.
func (t *Tokenizer) spell(id uint32, skipSpecial bool) (string, bool) {
	token, ok := t.IDToToken(id)
	if !ok {
		return "", false
	}
	if s, changed := t.added.spelling[id]; changed {
		token = s
	}
	return token, !skipSpecial || !t.added.specials[token]
}

// bytesDecoder undoes the byte-level spelling; a token that holds any other
// rune (an added one) stands for itself.
type bytesDecoder struct{}

func (bytesDecoder) decode(tokens []string) []string {
	var out []byte
	for _, t := range tokens {
		if raw, ok := bytesOf(t); ok {
			out = append(out, raw...)
		} else {
			out = append(out, t...)
		}
	}
	return []string{replaceInvalid(out)}
}

// replaceInvalid puts U+FFFD for each maximal invalid subsequence, as the
// Unicode standard recommends and Rust does (strings.ToValidUTF8 puts one for
// a whole run).
func replaceInvalid(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	var out strings.Builder
	for len(b) > 0 {
		r, w := utf8.DecodeRune(b)
		if r == utf8.RuneError && w == 1 {
			w = invalidPrefix(b)
			out.WriteRune(utf8.RuneError)
		} else {
			out.Write(b[:w])
		}
		b = b[w:]
	}
	return out.String()
}

// invalidPrefix returns the length of the longest prefix of b that could have
// begun a character, at least 1, given that b does not begin with a whole one.
func invalidPrefix(b []byte) int {
	low, high, more := byte(0x80), byte(0xBF), 0
	switch c := b[0]; {
	case c >= 0xC2 && c <= 0xDF:
		more = 1
	case c >= 0xE0 && c <= 0xEF:
		more = 2
	case c >= 0xF0 && c <= 0xF4:
		more = 3
	}
	switch b[0] {
	case 0xE0:
		low = 0xA0
	case 0xED:
		high = 0x9F
	case 0xF0:
		low = 0x90
	case 0xF4:
		high = 0x8F
	}
	n := 1
	for ; n <= more && n < len(b) && b[n] >= low && b[n] <= high; n++ {
		low, high = 0x80, 0xBF
	}
	return n
}

// fallbackDecoder joins runs of byte tokens <0xHH> to text; a run that is not
// UTF-8 becomes one U+FFFD per byte.
type fallbackDecoder struct{}

func (fallbackDecoder) decode(tokens []string) []string {
	out := make([]string, 0, len(tokens))
	var run []byte
	flush := func() {
		switch {
		case len(run) == 0:
		case utf8.Valid(run):
			out = append(out, string(run))
		default:
			for range run {
				out = append(out, "\uFFFD")
			}
		}
		run = run[:0]
	}
	for _, t := range tokens {
		if b, ok := byteToken(t); ok {
			run = append(run, b)
			continue
		}
		flush()
		out = append(out, t)
	}
	flush()
	return out
}

// byteToken parses <0xHH>.
func byteToken(t string) (byte, bool) {
	if len(t) != 6 || t[:3] != "<0x" || t[5] != '>' {
		return 0, false
	}
	b, err := strconv.ParseUint(t[3:5], 16, 8)
	return byte(b), err == nil
}

// fuse joins all tokens to one.
type fuse struct{}

func (fuse) decode(tokens []string) []string { return []string{strings.Join(tokens, "")} }

// strip removes up to start leading and stop trailing chars of each token.
type strip struct {
	char        string
	start, stop uint
}

func (s strip) decode(tokens []string) []string {
	out := make([]string, len(tokens))
	for i, t := range tokens {
		for n := uint(0); n < s.start && strings.HasPrefix(t, s.char); n++ {
			t = t[len(s.char):]
		}
		for n := uint(0); n < s.stop && strings.HasSuffix(t, s.char); n++ {
			t = t[:len(t)-len(s.char)]
		}
		out[i] = t
	}
	return out
}

func (r replace) decode(tokens []string) []string {
	out := make([]string, len(tokens))
	for i, t := range tokens {
		out[i] = strings.ReplaceAll(t, r.old, r.new)
	}
	return out
}

// decode puts spaces back; those of the first token go if one was prepended.
func (m metaspace) decode(tokens []string) []string {
	out := make([]string, len(tokens))
	for i, t := range tokens {
		with := " "
		if i == 0 && m.scheme != "never" {
			with = ""
		}
		out[i] = strings.ReplaceAll(t, m.replacement, with)
	}
	return out
}
