package tokenizer

import (
	"testing"
	"unicode/utf8"
)

// FuzzEncodeSpans: whatever the text, spans lie in it and begin in order (an
// unknown token may wait for those after it), and nothing panics.
func FuzzEncodeSpans(f *testing.F) {
	var texts []string
	readGolden(f, "texts.json", &texts)
	for _, s := range texts {
		f.Add(s)
	}
	var toks []*Tokenizer
	for _, name := range goldenNames(f) {
		toks = append(toks, loadGolden(f, name))
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, tok := range toks {
			ids, spans, err := tok.EncodeSpans(text)
			if err == nil && !utf8.ValidString(text) {
				t.Fatal("text that is not UTF-8 is encoded")
			}
			at := 0
			for i, s := range spans {
				if s.Start < at || s.End < s.Start || s.End > len(text) {
					t.Fatalf("%q: token %d of %v spans %v after %d", text, i, ids, s, at)
				}
				at = s.Start
			}
		}
	})
}
