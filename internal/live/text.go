package live

import (
	"strings"
	"unicode"
)

// clean takes control characters, escape sequences among them, out of a text
// that comes from a file: no name may move the cursor.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' {
			return ' '
		}
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == unicode.ReplacementChar {
			return -1
		}
		return r
	}, s)
}

// width is the columns that s takes: 2 for East Asian wide characters and emoji,
// 0 for combining marks.
func width(s string) int {
	n := 0
	for _, r := range s {
		n += runeWidth(r)
	}
	return n
}

func runeWidth(r rune) int {
	switch {
	case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf):
		return 0
	case r >= 0x1100 && (r <= 0x115f || r >= 0x2e80 && r <= 0xa4cf || r >= 0xac00 && r <= 0xd7a3 || r >= 0xf900 && r <= 0xfaff ||
		r >= 0xfe30 && r <= 0xfe6f || r >= 0xff00 && r <= 0xff60 || r >= 0xffe0 && r <= 0xffe6 || r >= 0x1f300 && r <= 0x1f64f ||
		r >= 0x1f680 && r <= 0x1f6ff || r >= 0x1f900 && r <= 0x1f9ff || r >= 0x1fa70 && r <= 0x1faff || r >= 0x20000 && r <= 0x3fffd):
		return 2
	}
	return 1
}

// fit cuts s to w columns or fills it up with blanks.
func fit(s string, w int) string {
	s = clean(s)
	if n := width(s); n <= w {
		return s + strings.Repeat(" ", w-n)
	}
	var b strings.Builder
	n := 0
	for _, r := range s {
		if k := runeWidth(r); n+k > w-1 {
			break
		} else {
			n += k
		}
		b.WriteRune(r)
	}
	text := strings.TrimRight(b.String(), " …") // not "……"
	if n = width(text); w > 0 {
		text += "…"
		n++
	}
	return text + strings.Repeat(" ", max(0, w-n))
}

// The few colours that every terminal has.
const (
	reset = "\x1b[0m"
	bold  = "\x1b[1m"
	faint = "\x1b[2m"
	red   = "\x1b[31m"
)

// palette tells the languages apart; with more of them colours repeat.
var palette = []string{"\x1b[36m", "\x1b[33m", "\x1b[32m", "\x1b[35m", "\x1b[34m", "\x1b[31m", "\x1b[96m", "\x1b[93m", "\x1b[92m",
	"\x1b[95m", "\x1b[94m", "\x1b[91m"}

func colour(i int) string { return palette[i%len(palette)] }

// paint puts a colour around a text that is already clean and fitted.
func paint(code, s string) string { return code + s + reset }
