package tokenizer

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// normalizer rewrites text before it is split.
type normalizer interface {
	normalize(s string) string
}

// oneNormalizer reads a normalizer other than a Sequence.
func oneNormalizer(kind string, o *object) (normalizer, bool) {
	switch kind {
	case "NFC":
		return nfc{}, true
	case "Prepend":
		var p prepend
		o.get("prepend", &p.text, true)
		return p, true
	case "Replace":
		return parseReplace(o), true
	}
	return nil, false
}

// nfc composes characters canonically (Unicode NFC) as the reference
// implementation does: with the tables of Unicode 9, to which marks that were
// added later are ordinary characters that nothing moves past.
type nfc struct{}

// newMarks are the marks of Unicode 10 to 15 that Unicode's NFC reorders or
// composes and the reference implementation does not.
var newMarks = &unicode.RangeTable{
	R16: []unicode.Range16{
		{0x07FD, 0x07FD, 1}, {0x0898, 0x089F, 1}, {0x08CA, 0x08D3, 1}, {0x09FE, 0x09FE, 1},
		{0x0C3C, 0x0C3C, 1}, {0x0D3B, 0x0D3C, 1}, {0x0EBA, 0x0EBA, 1}, {0x1715, 0x1715, 1},
		{0x1ABF, 0x1ACE, 1}, {0x1DF6, 0x1DFA, 1}, {0xA82C, 0xA82C, 1},
	},
	R32: []unicode.Range32{
		{0x10D24, 0x10D27, 1}, {0x10EAB, 0x10EAC, 1}, {0x10EFD, 0x10EFF, 1}, {0x10F46, 0x10F50, 1},
		{0x10F82, 0x10F85, 1}, {0x11070, 0x11070, 1}, {0x1133B, 0x1133B, 1}, {0x1145E, 0x1145E, 1},
		{0x11839, 0x1183A, 1}, {0x11930, 0x11930, 1}, {0x1193D, 0x1193E, 1}, {0x11943, 0x11943, 1},
		{0x119E0, 0x119E0, 1}, {0x11A34, 0x11A34, 1}, {0x11A47, 0x11A47, 1}, {0x11A99, 0x11A99, 1},
		{0x11D42, 0x11D42, 1}, {0x11D44, 0x11D45, 1}, {0x11D97, 0x11D97, 1}, {0x11F41, 0x11F42, 1},
		{0x16FF0, 0x16FF1, 1}, {0x1E08F, 0x1E08F, 1}, {0x1E130, 0x1E136, 1}, {0x1E2AE, 0x1E2AE, 1},
		{0x1E2EC, 0x1E2EF, 1}, {0x1E4EC, 0x1E4EF, 1},
	},
}

// firstNewMark lets most text pass without a look at the tables.
const firstNewMark = 0x07FD

func (nfc) normalize(s string) string {
	var out strings.Builder
	done := 0
	for i, r := range s {
		if r < firstNewMark || !standsAlone(s[i:], r) {
			continue
		}
		w := utf8.RuneLen(r)
		out.WriteString(norm.NFC.String(s[done:i]))
		out.WriteString(s[i : i+w])
		done = i + w
	}
	if done == 0 {
		return norm.NFC.String(s)
	}
	out.WriteString(norm.NFC.String(s[done:]))
	return out.String()
}

// standsAlone reports whether the rune r at the beginning of s neither composes
// with nor moves past its neighbours. Beyond the newer marks these are nearly
// all characters above U+FFFF: x/text looks pairs up by their low 16 bits and
// would compose U+20041 U+0301 as if it were A and an acute. The Indic blocks
// that do compose (Kaithi to Siddham) have no such twins.
func standsAlone(s string, r rune) bool {
	if unicode.Is(newMarks, r) {
		return true
	}
	if r < 0x10000 || r >= 0x11080 && r < 0x11600 {
		return false
	}
	p := norm.NFC.PropertiesString(s)
	return p.CCC() == 0 && p.Decomposition() == nil
}

// prepend puts text before any text that is not empty.
type prepend struct{ text string }

func (p prepend) normalize(s string) string {
	if s == "" {
		return ""
	}
	return p.text + s
}

// replace puts new for every old; both a normalizer and a decoder.
type replace struct{ old, new string }

func parseReplace(o *object) replace {
	var r replace
	var regex bool
	if r.old, regex = o.parsePattern(); regex {
		o.fail(".pattern.Regex: a Replace by regular expression is not implemented")
	}
	if _, ok := o.keys["content"]; !ok {
		o.fail(".content: missing")
	}
	o.get("content", &r.new, false)
	return r
}

func (r replace) normalize(s string) string { return strings.ReplaceAll(s, r.old, r.new) }
