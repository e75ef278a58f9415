package tokenizer

import (
	"fmt"
	"strings"
	"time"

	"github.com/dlclark/regexp2/v2"
)

// regexDeadline bounds one match of a file's regular expression: the engine
// backtracks, and patterns come from strangers.
const regexDeadline = 5 * time.Second

// findRegex compiles a pattern without a hand-written scanner. The reference
// implementation runs Oniguruma with Ruby's syntax, we run regexp2 with .NET's;
// constructs that mean different things in the two are refused.
func findRegex(pattern string) (finder, error) {
	if what := dialect(pattern); what != "" {
		return nil, fmt.Errorf("%s in %q is not implemented: it means different things in different regex dialects", what, pattern)
	}
	re, err := regexp2.Compile(pattern)
	if err != nil {
		return nil, fmt.Errorf("pattern %q is not implemented: %w", pattern, err)
	}
	re.MatchTimeout = regexDeadline
	return func(s string) ([]span, error) {
		matches, err := re.FindAllStringIndex(s, -1)
		if err != nil {
			return nil, fmt.Errorf("pre_tokenizer pattern %q: %w", pattern, err)
		}
		spans := make([]span, 0, len(matches))
		done := 0
		for _, m := range matches {
			if m[0] == m[1] {
				return nil, fmt.Errorf("pre_tokenizer pattern %q matches the empty string at byte %d, which is not implemented", pattern, m[0])
			}
			if done < m[0] {
				spans = append(spans, span{done, m[0], false})
			}
			spans = append(spans, span{m[0], m[1], true})
			done = m[1]
		}
		if done < len(s) {
			spans = append(spans, span{done, len(s), false})
		}
		return spans, nil
	}, nil
}

// sharedEscapes are the escapes of a letter or digit that mean the same in
// Oniguruma and regexp2 (\w, \b and \h do not).
const sharedEscapes = "sSdDpPrntfv"

// dialect returns the first construct of a pattern that Oniguruma and regexp2
// read differently, or "".
func dialect(p string) string {
	class := false
	for i := 0; i < len(p); i++ {
		rest := p[i:]
		switch c := p[i]; {
		case c == '\\':
			i++
			if i == len(p) {
				return "a trailing backslash"
			}
			if e := p[i]; isAlnum(e) && !strings.ContainsRune(sharedEscapes, rune(e)) {
				return rest[:2]
			}
		case class && c == '[', class && strings.HasPrefix(rest, "&&"):
			return "a class inside a class"
		case class && c == ']':
			class = false
		case class:
		case c == '[':
			class = true
			if strings.HasPrefix(rest, "[]") || strings.HasPrefix(rest, "[^]") {
				return "a class that begins with ]"
			}
		case c == '^' || c == '$':
			return string(c)
		case strings.HasPrefix(rest, "{,"):
			return "{,"
		case strings.HasPrefix(rest, "(?") && !sharedGroup(rest[2:]):
			return "a (? group"
		case i > 0 && c == '+' && strings.ContainsRune("*+?", rune(p[i-1])) && !escaped(p, i-1):
			return "a possessive quantifier"
		}
	}
	return ""
}

func isAlnum(c byte) bool { return c-'0' < 10 || c|0x20 >= 'a' && c|0x20 <= 'z' }

// sharedGroup reports whether a group's opening, after "(?", means the same in
// both dialects: plain, case-insensitive, or a look-around.
func sharedGroup(s string) bool {
	for _, open := range []string{":", "i:", "i)", "=", "!", "<=", "<!"} {
		if strings.HasPrefix(s, open) {
			return true
		}
	}
	return false
}

// escaped reports whether the byte at i is preceded by an odd number of
// backslashes.
func escaped(p string, i int) bool {
	n := 0
	for i-n-1 >= 0 && p[i-n-1] == '\\' {
		n++
	}
	return n%2 == 1
}
