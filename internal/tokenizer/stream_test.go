package tokenizer

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// Streamed text is the same as decoding at once, and always whole characters.
func TestStream(t *testing.T) {
	var texts []string
	readGolden(t, "texts.json", &texts)
	for _, name := range goldenNames(t) {
		tok := loadGolden(t, name)
		for _, text := range texts {
			ids, err := tok.Encode(text, true)
			if err != nil {
				t.Fatal(err)
			}
			var b strings.Builder
			s := tok.NewStream(nil, true)
			for _, id := range ids {
				piece := s.Next(id)
				if !utf8.ValidString(piece) {
					t.Errorf("%s: %q: piece %q is not UTF-8", name, text, piece)
				}
				b.WriteString(piece)
			}
			b.WriteString(s.Flush())
			if want := tok.Decode(ids, true); b.String() != want {
				t.Errorf("%s: %q: streamed %q, want %q", name, text, b.String(), want)
			}
		}
	}
}

func TestStreamAfterPrompt(t *testing.T) {
	tok := loadGolden(t, "llama2")
	prompt, err := tok.Encode("hello", true)
	if err != nil {
		t.Fatal(err)
	}
	next, err := tok.Encode("world", false) // begins with ▁
	if err != nil {
		t.Fatal(err)
	}
	s := tok.NewStream(prompt, true)
	var b strings.Builder
	for _, id := range next {
		b.WriteString(s.Next(id))
	}
	if got := b.String() + s.Flush(); got != " world" {
		t.Errorf("continuation %q, want %q", got, " world")
	}
}

// Bytes that never become a character must not hold the stream up for ever.
func TestStreamInvalidBytes(t *testing.T) {
	tok := loadGolden(t, "gpt2")
	bad, ok := tok.TokenToID(string(byteRunes[0xff]))
	if !ok {
		t.Fatal("no token for byte ff")
	}
	s := tok.NewStream(nil, true)
	var b strings.Builder
	for range 20 {
		b.WriteString(s.Next(bad))
	}
	if b.Len() == 0 {
		t.Error("nothing came out")
	}
	b.WriteString(s.Flush())
	if got, want := b.String(), strings.Repeat("\uFFFD", 20); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
