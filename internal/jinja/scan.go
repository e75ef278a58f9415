package jinja

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// tag is a run of text, or the text between a pair of delimiters.
type tag struct {
	kind   tagKind
	text   string  // of a textTag
	tokens []token // otherwise; ends with an end token
	line   int
}

type tagKind uint8

const (
	textTag tagKind = iota
	exprTag         // {{ … }}
	stmtTag         // {% … %}
)

// scanner cuts a template into tags.
type scanner struct {
	src  string
	pos  int
	line int
	tags []tag
}

// scan reads a template with trim_blocks and lstrip_blocks.
func scan(src string) []tag {
	src = strings.ReplaceAll(strings.ReplaceAll(src, "\r\n", "\n"), "\r", "\n")
	s := &scanner{src: strings.TrimSuffix(src, "\n"), line: 1}
	for s.pos < len(s.src) {
		open := s.nextOpen()
		s.addText(open)
		if open == len(s.src) {
			break
		}
		s.pos = open
		switch s.src[open+1] {
		case '#':
			s.comment()
		case '%':
			if !s.raw() {
				s.delimited(stmtTag, "%}")
			}
		default:
			s.delimited(exprTag, "}}")
		}
	}
	return s.tags
}

// nextOpen is the place of the next opening delimiter, or the end.
func (s *scanner) nextOpen() int {
	for i := s.pos; i+1 < len(s.src); i++ {
		if s.src[i] == '{' && (s.src[i+1] == '{' || s.src[i+1] == '%' || s.src[i+1] == '#') {
			return i
		}
	}
	return len(s.src)
}

// addText adds the text before the delimiter at open, stripped as the delimiter
// asks.
func (s *scanner) addText(open int) {
	text := s.src[s.pos:open]
	if open < len(s.src) {
		sign := byte(0)
		if open+2 < len(s.src) {
			sign = s.src[open+2]
		}
		switch {
		case sign == '-':
			text = strings.TrimRightFunc(text, isSpace)
		case sign != '+' && s.src[open+1] != '{':
			// lstrip_blocks: white space from the beginning of the line.
			start := strings.LastIndexByte(text, '\n') + 1
			atLine := start > 0 || s.pos == 0 || s.src[s.pos-1] == '\n'
			if atLine && strings.TrimFunc(text[start:], isSpace) == "" {
				text = text[:start]
			}
		}
	}
	if text != "" {
		s.tags = append(s.tags, tag{kind: textTag, text: text, line: s.line})
	}
	s.advance(open)
}

// advance moves to pos, counting lines.
func (s *scanner) advance(pos int) {
	s.line += strings.Count(s.src[s.pos:pos], "\n")
	s.pos = pos
}

// closed moves behind the closing delimiter that ends at end: white space follows
// it if sign is '-', a newline is dropped after a block.
func (s *scanner) closed(end int, sign byte, block bool) {
	switch {
	case sign == '-':
		end = len(s.src) - len(strings.TrimLeftFunc(s.src[end:], isSpace))
	case block && sign != '+' && end < len(s.src) && s.src[end] == '\n':
		end++
	}
	s.advance(end)
}

// comment skips {# … #}.
func (s *scanner) comment() {
	n := strings.Index(s.src[s.pos+2:], "#}")
	if n < 0 {
		fail(s.line, "a comment {# is not closed")
	}
	end := s.pos + 2 + n + 2
	s.closed(end, s.src[end-3], true)
}

// raw reads {% raw %} … {% endraw %}, and reports whether there was one.
func (s *scanner) raw() bool {
	inside, rest, ok := strings.Cut(s.src[s.pos+2:], "%}")
	if !ok || strings.Trim(inside, "-+ \t\n") != "raw" {
		return false
	}
	start := len(s.src) - len(rest)
	s.closed(start, inside[len(inside)-1], true)
	for i := s.pos; ; i++ {
		n := strings.Index(s.src[i:], "{%")
		if n < 0 {
			fail(s.line, "raw is not closed by {%% endraw %%}")
		}
		i += n
		inside, rest, ok := strings.Cut(s.src[i+2:], "%}")
		if ok && strings.Trim(inside, "-+ \t\n") == "endraw" {
			s.addText(i)
			s.closed(len(s.src)-len(rest), inside[len(inside)-1], true)
			return true
		}
	}
}

// delimited reads the tokens up to the closing delimiter.
func (s *scanner) delimited(kind tagKind, end string) {
	t := tag{kind: kind, line: s.line}
	pos := s.pos + 2
	if pos < len(s.src) && (s.src[pos] == '-' || s.src[pos] == '+') {
		pos++
	}
	s.advance(pos)
	depth := 0
	for {
		s.advance(len(s.src) - len(strings.TrimLeftFunc(s.src[s.pos:], isSpace)))
		rest := s.src[s.pos:]
		if rest == "" {
			fail(t.line, "a tag is not closed by %s", end)
		}
		if depth == 0 && strings.HasPrefix(rest, end) {
			s.closed(s.pos+2, 0, kind == stmtTag)
			break
		}
		if depth == 0 && (rest[0] == '-' || rest[0] == '+' && kind == stmtTag) && strings.HasPrefix(rest[1:], end) {
			s.closed(s.pos+3, rest[0], kind == stmtTag)
			break
		}
		k := s.token()
		switch k.text {
		case "(", "[", "{":
			depth += map[bool]int{true: 1}[k.kind == opToken]
		case ")", "]", "}":
			depth -= map[bool]int{true: 1}[k.kind == opToken]
		}
		t.tokens = append(t.tokens, k)
	}
	t.tokens = append(t.tokens, token{kind: endToken, text: "the end of the tag", line: s.line})
	s.tags = append(s.tags, t)
}

// token is a word of the expression language.
type token struct {
	kind tokenKind
	text string // a string's value, unquoted
	line int
}

type tokenKind uint8

const (
	endToken tokenKind = iota
	nameToken
	intToken
	floatToken
	stringToken
	opToken
)

// operators, longest first.
var operators = []string{"**", "//", "==", "!=", "<=", ">=",
	"{", "}", "(", ")", "[", "]", ",", ".", ":", "|", "~", "+", "-", "*", "/", "%", "<", ">", "="}

// token reads the next token; the position is at something other than space.
func (s *scanner) token() token {
	rest, line := s.src[s.pos:], s.line
	r, _ := utf8.DecodeRuneInString(rest)
	switch {
	case r == '_' || unicode.IsLetter(r):
		n := strings.IndexFunc(rest, func(r rune) bool { return r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r) })
		if n < 0 {
			n = len(rest)
		}
		s.pos += n
		return token{nameToken, rest[:n], line}
	case r >= '0' && r <= '9':
		return s.number(rest)
	case r == '\'' || r == '"':
		return s.quoted(rest)
	}
	for _, op := range operators {
		if strings.HasPrefix(rest, op) {
			s.pos += len(op)
			return token{opToken, op, line}
		}
	}
	fail(line, "%q is not expected here", r)
	return token{}
}

// number reads an integer or a float.
func (s *scanner) number(rest string) token {
	digits := func(i int) int {
		for i < len(rest) && (rest[i] >= '0' && rest[i] <= '9' || rest[i] == '_') {
			i++
		}
		return i
	}
	kind, n := intToken, digits(0)
	if n+1 < len(rest) && rest[n] == '.' && digits(n+1) > n+1 {
		kind, n = floatToken, digits(n+1)
	}
	if n < len(rest) && rest[n]|0x20 == 'e' {
		i := n + 1
		if i < len(rest) && (rest[i] == '-' || rest[i] == '+') {
			i++
		}
		if end := digits(i); end > i {
			kind, n = floatToken, end
		}
	}
	s.pos += n
	return token{kind, strings.ReplaceAll(rest[:n], "_", ""), s.line}
}

// escapes are the one-letter escapes of a string.
var escapes = map[byte]string{'n': "\n", 't': "\t", 'r': "\r", '\\': "\\", '\'': "'", '"': "\"",
	'a': "\a", 'b': "\b", 'f': "\f", 'v': "\v", '0': "\x00", '\n': ""}

// quoted reads a string.
func (s *scanner) quoted(rest string) token {
	var out strings.Builder
	line := s.line
	for i := 1; i < len(rest); i++ {
		switch c := rest[i]; {
		case c == rest[0]:
			s.advance(s.pos + i + 1)
			return token{stringToken, out.String(), line}
		case c != '\\':
			out.WriteByte(c)
		case i+1 < len(rest):
			i++
			if with, ok := escapes[rest[i]]; ok {
				out.WriteString(with)
				continue
			}
			n := map[byte]int{'x': 2, 'u': 4, 'U': 8}[rest[i]]
			if n == 0 { // Python keeps what is no escape
				out.WriteByte('\\')
				out.WriteByte(rest[i])
				continue
			}
			out.WriteRune(hexRune(rest, i+1, n, line))
			i += n
		}
	}
	fail(line, "a string is not closed")
	return token{}
}

// hexRune reads the n hexadecimal digits of an escape.
func hexRune(s string, at, n, line int) rune {
	if at+n > len(s) {
		fail(line, "an escape in a string is cut short")
	}
	r := rune(0)
	for _, c := range []byte(s[at : at+n]) {
		digit := strings.IndexByte("0123456789abcdef", c|0x20)
		if c < 'A' {
			digit = strings.IndexByte("0123456789", c)
		}
		if digit < 0 || r > utf8.MaxRune {
			fail(line, "\\%c is followed by %q, want %d hexadecimal digits of a character", s[at-1], s[at:at+n], n)
		}
		r = r<<4 | rune(digit)
	}
	if !utf8.ValidRune(r) {
		fail(line, "%q is not a character", s[at:at+n])
	}
	return r
}
