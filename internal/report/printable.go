package report

import (
	"strings"
	"unicode"
)

// Printable is text of one or several lines without anything that a terminal might
// obey: parts of messages come from other machines and from files.
func Printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, s)
}
