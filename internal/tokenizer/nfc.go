package tokenizer

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// nfc composes characters canonically (Unicode NFC) as the reference
// implementation does: with the tables of Unicode 9, to which marks that were
// added later are ordinary characters that nothing moves past, and with any
// number of marks after a character.
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

func (nfc) normalize(v view) view {
	e := editor{src: v}
	for at := 0; at < len(v.text); {
		if at += norm.NFC.QuickSpanString(v.text[at:]); at == len(v.text) {
			break
		}
		end := at + nextBoundary(v.text[at:])
		if was, is := v.text[at:end], composeSegment(v.text[at:end]); is != was {
			e.copy(at)
			e.put(end, is)
		}
		at = end
	}
	return e.view()
}

// nextBoundary returns the end of the stretch at the beginning of s within which
// characters may compose or change places.
func nextBoundary(s string) int {
	for i := range s {
		if i > 0 && norm.NFC.PropertiesString(s[i:]).BoundaryBefore() {
			return i
		}
	}
	return len(s)
}

// composeSegment is NFC of s between the characters that stand alone.
func composeSegment(s string) string {
	var out strings.Builder
	done := 0
	for i, r := range s {
		if r < firstNewMark || !standsAlone(s[i:], r) {
			continue
		}
		w := utf8.RuneLen(r)
		out.WriteString(compose(s[done:i]))
		out.WriteString(s[i : i+w])
		done = i + w
	}
	if done == 0 {
		return compose(s)
	}
	out.WriteString(compose(s[done:]))
	return out.String()
}

// fewRunes is a length at which x/text cannot meet more than 30 marks in a row:
// beyond them it breaks the text by a joiner (Unicode's Stream-Safe Format),
// which the reference implementation does not. No character has more than
// three marks in its decomposition.
const fewRunes = 10

// compose is NFC of s.
func compose(s string) string {
	if utf8.RuneCountInString(s) <= fewRunes {
		return norm.NFC.String(s)
	}
	var runes []rune
	for _, r := range s {
		runes = append(runes, []rune(norm.NFD.String(string(r)))...)
	}
	sortMarks(runes)
	return string(composeRunes(runes))
}

// combiningClass is the canonical combining class of r; 0 for a starter.
func combiningClass(r rune) uint8 { return norm.NFC.PropertiesString(string(r)).CCC() }

// sortMarks orders each run of marks by combining class, equals as they stand
// (the Canonical Ordering Algorithm of the Unicode standard, section 3.11).
func sortMarks(runes []rune) {
	for i := 0; i < len(runes); i++ {
		j := i
		for j < len(runes) && combiningClass(runes[j]) != 0 {
			j++
		}
		slices.SortStableFunc(runes[i:j], func(a, b rune) int { return int(combiningClass(a)) - int(combiningClass(b)) })
		i = j
	}
}

// composeRunes joins each character to the last starter where nothing between
// blocks it and the two have a composite (the Canonical Composition Algorithm).
func composeRunes(runes []rune) []rune {
	out := make([]rune, 0, len(runes))
	starter := -1
	last := uint8(0) // class of the rune before, if it was not composed
	for _, r := range runes {
		class := combiningClass(r)
		if starter >= 0 && (last < class || last == 0 && starter == len(out)-1) {
			if pair := []rune(norm.NFC.String(string(out[starter]) + string(r))); len(pair) == 1 {
				out[starter] = pair[0]
				continue
			}
		}
		if class == 0 {
			starter = len(out)
		}
		last = class
		out = append(out, r)
	}
	return out
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
