package tokenizer

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// The pre-tokenizer regular expressions with a hand-written scanner. A file's
// pattern selects one by exact string equality; anything else goes to a real
// regex engine, because patterns that look alike cut text differently.
const (
	// PatternGPT2 is GPT-2's, also the one inside ByteLevel(use_regex).
	PatternGPT2 = `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
	// PatternLlama3 is Llama 3's: digits in groups of at most three.
	PatternLlama3 = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	// PatternQwen2 is that of Qwen2, 2.5 and 3: digits one by one.
	PatternQwen2 = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	// PatternQwen35 is Qwen3.5's: combining marks belong to words.
	PatternQwen35 = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|` +
		`\s*[\r\n]+|\s+(?!\S)|\s+`
)

// scanner returns the end of the match that starts at s[i]. Every known pattern
// matches at every position of every string, so matches tile the text.
type scanner func(s string, i int) int

// scannerFor returns the hand-written scanner of a pattern, or nil.
func scannerFor(pattern string) scanner {
	switch pattern {
	case PatternGPT2:
		return scanGPT2
	case PatternLlama3:
		return func(s string, i int) int { return scanWords(s, i, 3, false) }
	case PatternQwen2:
		return func(s string, i int) int { return scanWords(s, i, 1, false) }
	case PatternQwen35:
		return func(s string, i int) int { return scanWords(s, i, 1, true) }
	}
	return nil
}

// class is a kind of rune that the patterns distinguish.
type class uint8

const (
	other class = iota
	letter
	mark
	number
	space
)

// asciiClass is the class of the runes below 128.
var asciiClass = func() (t [128]class) {
	for i := range t {
		t[i] = unicodeClass(rune(i))
	}
	return t
}()

func unicodeClass(r rune) class {
	switch {
	case unicode.IsLetter(r):
		return letter
	case unicode.IsSpace(r):
		return space
	case unicode.IsNumber(r):
		return number
	case unicode.IsMark(r):
		return mark
	}
	return other
}

// classAt returns the class and the width of the rune at s[i]; width 0 at the end.
func classAt(s string, i int) (class, int) {
	if i >= len(s) {
		return other, 0
	}
	if s[i] < utf8.RuneSelf {
		return asciiClass[s[i]], 1
	}
	r, w := utf8.DecodeRuneInString(s[i:])
	return unicodeClass(r), w
}

// spanClass returns the end of the run of runes of class c, or of class also,
// that starts at s[i]; limit bounds the number of runes (0 = no bound).
func spanClass(s string, i int, c, also class, limit int) int {
	for n := 0; limit == 0 || n < limit; n++ {
		k, w := classAt(s, i)
		if w == 0 || k != c && k != also {
			break
		}
		i += w
	}
	return i
}

// contraction returns the end of 's 't 're 've 'm 'll 'd at s[i], or i.
// With fold, letters match in either case and ſ (U+017F) matches s.
func contraction(s string, i int, fold bool) int {
	if i >= len(s) || s[i] != '\'' {
		return i
	}
	rest := s[i+1:]
	if fold {
		if strings.HasPrefix(rest, "ſ") {
			return i + 1 + len("ſ")
		}
		rest = strings.ToLower(rest[:min(2, len(rest))])
	}
	for _, c := range [...]string{"s", "t", "re", "ve", "m", "ll", "d"} {
		if strings.HasPrefix(rest, c) {
			return i + 1 + len(c)
		}
	}
	return i
}

// scanSpaces matches \s+(?!\S)|\s+ at s[i]: all of a run at the end of the
// text, else all but its last rune, else that one rune.
func scanSpaces(s string, i int) int {
	last, end := i, i
	for {
		k, w := classAt(s, end)
		if w == 0 {
			return end
		}
		if k != space {
			break
		}
		last, end = end, end+w
	}
	if last > i {
		return last
	}
	return end
}

// scanGPT2 is PatternGPT2.
func scanGPT2(s string, i int) int {
	if e := contraction(s, i, false); e > i {
		return e
	}
	start := i
	if s[i] == ' ' {
		start++
	}
	k, w := classAt(s, start)
	switch {
	case w == 0 || k == space:
		return scanSpaces(s, i)
	case k == letter || k == number:
		return spanClass(s, start, k, k, 0)
	}
	return spanClass(s, start, other, mark, 0)
}

// scanWords is PatternLlama3 and its two relatives: digits is the longest
// number piece, marks says whether combining marks count as letters.
func scanWords(s string, i, digits int, marks bool) int {
	if e := contraction(s, i, true); e > i {
		return e
	}
	word, punct := letter, mark
	if marks {
		word, punct = mark, other
	}
	k, w := classAt(s, i)
	if k == letter || k == word {
		return spanClass(s, i, letter, word, 0)
	}
	next, nw := classAt(s, i+w)
	if nw > 0 && (next == letter || next == word) && k != number && s[i] != '\r' && s[i] != '\n' {
		return spanClass(s, i+w, letter, word, 0)
	}
	if k == number {
		return spanClass(s, i, number, number, digits)
	}
	start := i
	if s[i] == ' ' {
		start, k = i+w, next
		if nw == 0 {
			k = space
		}
	}
	if k == other || k == punct {
		return spanNewlines(s, spanClass(s, start, other, punct, 0))
	}
	if e := lastNewline(s, i); e > i {
		return e
	}
	return scanSpaces(s, i)
}

// spanNewlines returns the end of the run of \r and \n at s[i].
func spanNewlines(s string, i int) int {
	for i < len(s) && (s[i] == '\r' || s[i] == '\n') {
		i++
	}
	return i
}

// lastNewline matches \s*[\r\n]+ at s[i]: up to the last newline of the run of
// white space, or i when it holds none.
func lastNewline(s string, i int) int {
	end := i
	for j := i; ; {
		k, w := classAt(s, j)
		if w == 0 || k != space {
			return end
		}
		if s[j] == '\r' || s[j] == '\n' {
			end = j + 1
		}
		j += w
	}
}
