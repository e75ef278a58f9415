package data

import (
	"compress/gzip"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/text/unicode/norm"

	"concord/internal/tokenizer"
)

// golden is a tokenizer of internal/tokenizer's tests, and the reference
// implementation's ids and character spans of every text.
type golden struct {
	tok   *tokenizer.Tokenizer
	ids   [][]uint32
	spans [][]int // start, end, start, end …
}

func readGolden(t *testing.T) (texts []string, all map[string]golden) {
	t.Helper()
	dir := filepath.Join("..", "tokenizer", "testdata", "golden")
	read := func(name string, v any) {
		raw, err := os.ReadFile(filepath.Join(dir, name))
		if err == nil {
			err = json.Unmarshal(raw, v)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	read("texts.json", &texts)
	f, err := os.Open(filepath.Join(dir, "spans.json.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var spans map[string][][]int
	if err := json.NewDecoder(z).Decode(&spans); err != nil {
		t.Fatal(err)
	}
	all = map[string]golden{}
	for name, s := range spans {
		var v struct{ IDs [][]uint32 }
		read(name+".vectors.json", &v)
		tok, err := tokenizer.Load(filepath.Join(dir, name+".json"))
		if err != nil {
			t.Fatal(err)
		}
		all[name] = golden{tok, v.IDs, s}
	}
	return texts, all
}

// Prompt and completion, for every way to cut every text in two: the ids are the
// reference implementation's of the joined text, and those tokens are learnt
// whose first character is in the completion.
func TestPairsAreOneText(t *testing.T) {
	texts, all := readGolden(t)
	if len(all) < 8 {
		t.Fatalf("%d tokenizers", len(all))
	}
	for name, g := range all {
		enc, err := newEncoder(g.tok, "", Options{NoBOS: true, NoEOS: true})
		if err != nil {
			t.Fatal(err)
		}
		pairs := 0
		for i, text := range texts {
			char := -1
			for at := range text {
				if char++; char > 0 && !norm.NFC.PropertiesString(text[at:]).BoundaryBefore() {
					continue // NFC may compose across the border
				}
				pairs++
				var n Stats
				x, err := enc.example(&document{parts: []part{{text: text[:at]}, {text: text[at:], learn: true}}}, &n)
				if err != nil {
					t.Fatal(err)
				}
				want, straddling := make([]bool, len(g.ids[i])), 0
				for j := range want {
					start, end := g.spans[i][2*j], g.spans[i][2*j+1]
					want[j] = start >= char && j > 0
					if start < char && end > char {
						straddling++
					}
				}
				if !slices.Equal(x.IDs, g.ids[i]) || !slices.Equal(x.Mask, want) || n.Straddling != straddling {
					t.Fatalf("%s: %q + %q: ids %v learnt %v, %d across, want %v %v, %d", name, text[:at], text[at:], x.IDs, x.Mask, n.Straddling,
						g.ids[i], want, straddling)
				}
			}
		}
		if pairs < 1000 {
			t.Errorf("%s: only %d pairs", name, pairs)
		}
	}
}

// A stretch of several parts is one text too, and bytes are those of the learnt
// tokens.
func TestLabels(t *testing.T) {
	_, all := readGolden(t)
	llama, gpt := all["llama2"].tok, all["gpt2"].tok
	cases := []struct {
		name      string
		tok       *tokenizer.Tokenizer
		parts     []part
		trained   []string
		bytes, on int
	}{
		{"no space is put before an answer", llama, []part{{text: "2+2="}, {text: "4", learn: true}}, []string{"4"}, 1, 0},
		{"each turn", llama, []part{{text: "a:"}, {text: " a", learn: true}, {text: "\na:"}, {text: " a", learn: true}}, []string{"▁", "a", "▁", "a"}, 4, 0},
		{"a token across the border", gpt, []part{{text: "free and eq"}, {text: "ual", learn: true}}, []string{"al"}, 2, 1},
		{"parts that are both learnt have no border", gpt, []part{{text: "x"}, {text: " an", learn: true}, {text: "d", learn: true}}, []string{"Ġand"}, 4, 0},
		{"a byte of a character", llama, []part{{text: "x"}, {text: "é", learn: true}}, []string{"<0xC3>", "<0xA9>"}, 2, 0},
	}
	for _, c := range cases {
		enc, err := newEncoder(c.tok, "", Options{})
		if err != nil {
			t.Fatal(err)
		}
		enc.useBOS, enc.useEOS = false, false
		var n Stats
		x, err := enc.example(&document{parts: c.parts}, &n)
		if err != nil {
			t.Fatal(err)
		}
		var trained []string
		for i, id := range x.IDs {
			if x.Mask[i] {
				s, _ := c.tok.IDToToken(id)
				trained = append(trained, s)
			}
		}
		if !slices.Equal(trained, c.trained) || x.Bytes != c.bytes || n.Straddling != c.on {
			t.Errorf("%s: trained %q, %d bytes, %d across, want %q, %d, %d (ids %v)", c.name, trained, x.Bytes, n.Straddling, c.trained,
				c.bytes, c.on, x.IDs)
		}
	}
}

// BOS and EOS that a text carries are not added again, and are no bytes of text.
func TestOwnMarks(t *testing.T) {
	tok := withBOS(t)
	for _, c := range []struct {
		line, want string
		own, bytes int
	}{
		{`{"text":"ab"}`, "^[ab$]", 0, 2},
		{`{"text":"<|bos|>ab<|eos|>"}`, "^[ab$]", 2, 2},
		{`{"text":"<|bos|>ab"}`, "^[ab$]", 1, 2},
		{`{"text":"ab<|eos|>"}`, "^[ab$]", 1, 2},
		{`{"prompt":"<|bos|>a","completion":"b<|eos|>"}`, "^a[b$]", 2, 1},
		{`{"prompt":"","completion":"b"}`, "^[b$]", 0, 1},
		{`{"text":"a<|bos|>b<|eos|>c"}`, "^[a^b$c$]", 0, 3},
	} {
		set, err := Load(Source{Lang: "x", Paths: []string{write(t, "d.jsonl", c.line)}, Train: true}, tok, Options{})
		if err != nil {
			t.Fatal(err)
		}
		n := set.TrainStats
		if got := show(t, tok, at(t, set.Train, 0)); got != c.want || n.OwnMarks != c.own || n.Bytes != c.bytes {
			t.Errorf("%s: %s with %d own marks and %d bytes, want %s with %d and %d", c.line, got, n.OwnMarks, n.Bytes, c.want, c.own, c.bytes)
		}
	}
}
