package tokenizer

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// vectors is what testdata/make_golden.py writes per tokenizer.
type vectors struct {
	Prefix, Suffix   []uint32
	IDs              [][]uint32
	Decoded, Skipped map[string]string
}

func readGolden(t testing.TB, name string, v any) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "golden", name))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, v); err != nil {
		t.Fatal(err)
	}
}

// goldenNames lists the tokenizers under testdata/golden.
func goldenNames(t testing.TB) []string {
	paths, err := filepath.Glob(filepath.Join("testdata", "golden", "*.vectors.json"))
	if err != nil || len(paths) < 10 {
		t.Fatalf("%d golden tokenizers, %v: run testdata/make_golden.py", len(paths), err)
	}
	for i, p := range paths {
		paths[i] = strings.TrimSuffix(filepath.Base(p), ".vectors.json")
	}
	return paths
}

func loadGolden(t testing.TB, name string) *Tokenizer {
	t.Helper()
	tok, err := Load(filepath.Join("testdata", "golden", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// Every tokenizer kind, several hundred texts: ids, template and both decodings
// equal the reference implementation's, also when decoded as a stream.
func TestGolden(t *testing.T) {
	var texts []string
	readGolden(t, "texts.json", &texts)
	for _, name := range goldenNames(t) {
		t.Run(name, func(t *testing.T) {
			tok := loadGolden(t, name)
			var v vectors
			readGolden(t, name+".vectors.json", &v)
			if len(v.IDs) != len(texts) {
				t.Fatalf("%d vectors for %d texts", len(v.IDs), len(texts))
			}
			for i, text := range texts {
				for range 2 { // the second time from the cache
					ids, err := tok.Encode(text, false)
					if err != nil {
						t.Fatalf("%q: %v", text, err)
					}
					if !slices.Equal(ids, v.IDs[i]) {
						t.Fatalf("%q: ids %v, want %v", text, ids, v.IDs[i])
					}
				}
				ids, err := tok.Encode(text, true)
				if want := slices.Concat(v.Prefix, v.IDs[i], v.Suffix); err != nil || !slices.Equal(ids, want) {
					t.Errorf("%q with special tokens: ids %v, %v, want %v", text, ids, err, want)
				}
				decoded, changed := v.Decoded[strconv.Itoa(i)]
				if !changed {
					decoded = text
				}
				skipped, changed := v.Skipped[strconv.Itoa(i)]
				if !changed {
					skipped = decoded
				}
				if got := tok.Decode(v.IDs[i], false); got != decoded {
					t.Errorf("decode %v: %q, want %q", v.IDs[i], got, decoded)
				}
				if got := tok.Decode(v.IDs[i], true); got != skipped {
					t.Errorf("decode without special tokens %v: %q, want %q", v.IDs[i], got, skipped)
				}
			}
		})
	}
}
