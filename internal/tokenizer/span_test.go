package tokenizer

import (
	"compress/gzip"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// readSpans reads the reference's spans by tokenizer and text, in bytes.
func readSpans(t *testing.T, texts []string) map[string][][]Span {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", "golden", "spans.json.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var chars map[string][][]int
	if err := json.NewDecoder(z).Decode(&chars); err != nil {
		t.Fatal(err)
	}
	out := map[string][][]Span{}
	for name, all := range chars {
		for i, flat := range all {
			var at []int // of each character
			for b := range texts[i] {
				at = append(at, b)
			}
			at = append(at, len(texts[i]))
			spans := []Span{}
			for pair := range slices.Chunk(flat, 2) {
				spans = append(spans, Span{at[pair[0]], at[pair[1]]})
			}
			out[name] = append(out[name], spans)
		}
	}
	return out
}

// widen is s extended to whole characters: the reference knows no parts.
func widen(text string, s Span) Span {
	if s.Start == s.End {
		return s
	}
	for s.Start > 0 && !utf8.RuneStart(text[s.Start]) {
		s.Start--
	}
	for s.End < len(text) && !utf8.RuneStart(text[s.End]) {
		s.End++
	}
	return s
}

// Spans are the reference implementation's for every tokenizer kind. Where NFC
// composes, the reference counts the composite to its first character alone;
// here it spans all that it was made from.
func TestSpans(t *testing.T) {
	var texts []string
	readGolden(t, "texts.json", &texts)
	reference := readSpans(t, texts)
	for _, name := range goldenNames(t) {
		tok := loadGolden(t, name)
		for i, text := range texts {
			ids, spans, err := tok.EncodeSpans(text)
			if err != nil || len(ids) != len(spans) {
				t.Fatalf("%s: %q: %d ids, %d spans, %v", name, text, len(ids), len(spans), err)
			}
			if plain, _ := tok.Encode(text, false); !slices.Equal(ids, plain) {
				t.Errorf("%s: %q: ids %v with spans, %v without", name, text, ids, plain)
			}
			for j, s := range spans {
				got, want := widen(text, s), reference[name][i][j]
				composed := len(tok.normalize) > 0 && tok.normalize[0] == normalizer(nfc{}) && !norm.NFC.IsNormalString(text)
				if composed && got.Start <= want.Start && want.End <= got.End {
					continue
				}
				if got != want {
					t.Errorf("%s: %q: token %d %q spans %v %q, want %v", name, text, j, tok.tokens[ids[j]], s, text[s.Start:s.End], want)
				}
			}
		}
	}
}
