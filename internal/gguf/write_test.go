package gguf

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"concord/internal/tokenizer"
)

// Every type that is written has the bytes of the gguf package.
func TestQuantize(t *testing.T) {
	f, err := Open("testdata/quantized.gguf") // by testdata/generate.py
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	x, _ := f.Tensor("values")
	values, err := f.Read(x)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range Writable() {
		kind, err := ParseType(name)
		if err != nil {
			t.Fatal(err)
		}
		y, ok := f.Tensor(kind.String())
		if !ok {
			t.Fatalf("no vectors of %v", kind)
		}
		want := make([]byte, y.bytes)
		if _, err := f.r.ReadAt(want, f.data+y.offset); err != nil {
			t.Fatal(err)
		}
		got, err := Quantize(nil, values, kind)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%v: the bytes differ", kind)
		}
	}
	if _, err := ParseType("q4_k"); err == nil || !strings.Contains(err.Error(), "f32, f16, q4_0, q8_0, bf16") {
		t.Errorf("q4_k: %v", err)
	}
	for kind, x := range map[Type][]float32{F16: {1e5}, BF16: {math.MaxFloat32}, Q4_0: append(make([]float32, 31), 1e6),
		Q8_0: append(make([]float32, 31), 1e7)} {
		if _, err := Quantize(nil, x, kind); err == nil || !strings.Contains(err.Error(), "beyond the range") {
			t.Errorf("%v of %v: %v", kind, x[len(x)-1], err)
		}
	}
}

// A file comes back as it was written, and is the same bytes twice.
func TestEncode(t *testing.T) {
	meta := []KV{{"a", "text"}, {"b", true}, {"c", uint32(7)}, {"d", int32(-7)}, {"e", float32(0.5)}, {"f", []string{"x", ""}},
		{"g", []int32{1, -2}}, {"h", []float32{1.5}}}
	values := make([]float32, 96)
	for i := range values {
		values[i] = float32(i%13) - 6
	}
	entries := []Entry{{"one", []int{3, 32}, F32, func() ([]float32, error) { return values, nil }},
		{"two", []int{5}, F16, func() ([]float32, error) { return values[:5], nil }},
		{"three", []int{2, 32}, Q8_0, func() ([]float32, error) { return values[:64], nil }}}
	var b, again bytes.Buffer
	if err := Encode(&b, meta, entries); err != nil {
		t.Fatal(err)
	}
	if err := Encode(&again, meta, entries); err != nil || !bytes.Equal(b.Bytes(), again.Bytes()) {
		t.Errorf("a second time (%v) the bytes differ", err)
	}
	f, err := parse(bytes.NewReader(b.Bytes()), int64(b.Len()))
	if err != nil {
		t.Fatal(err)
	}
	for _, kv := range meta {
		if got := f.meta[kv.Key]; !reflect.DeepEqual(got, kv.Value) {
			t.Errorf("%s is %v, want %v", kv.Key, got, kv.Value)
		}
	}
	for i, e := range entries {
		x, _ := f.Tensor(e.Name)
		got, err := f.Read(x)
		if err != nil {
			t.Fatal(err)
		}
		want, _ := e.Data()
		if !slices.Equal(x.Shape, e.Shape) || x.Type != e.Type || i < 2 && !slices.Equal(got, want) {
			t.Errorf("%s: %+v with %v", e.Name, x, got)
		}
	}
	for n := range b.Bytes() { // cut short at every byte
		if _, err := parse(bytes.NewReader(b.Bytes()[:n]), int64(n)); err == nil && n < b.Len()-alignment {
			t.Fatalf("%d of %d bytes are accepted", n, b.Len())
		}
	}
	if err := Encode(&b, nil, []Entry{{"odd", []int{2, 40}, Q4_0, nil}}); err == nil || !strings.Contains(err.Error(), "rows of 40 values") {
		t.Errorf("odd rows: %v", err)
	}
}

// golden is a tokenizer of the golden files.
func golden(t *testing.T, name string) *tokenizer.Tokenizer {
	t.Helper()
	text, err := os.ReadFile("../tokenizer/testdata/golden/" + name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	tok, err := tokenizer.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// Tokenizers come back from their metadata with the same ids, or are refused.
func TestMetadata(t *testing.T) {
	var texts []string
	raw, err := os.ReadFile("../tokenizer/testdata/golden/texts.json")
	if err == nil {
		err = json.Unmarshal(raw, &texts)
	}
	if err != nil {
		t.Fatal(err)
	}
	for name, refused := range map[string]string{"gpt2": "", "llama3": "", "qwen2": "", "smollm2": "",
		"gpt2_prefix": "has no name in GGUF files", "other_regex": "has no name in GGUF files",
		"qwen35": "", "llama2": "not those of a score", "metaspace_first": "not those of a score"} {
		tok := golden(t, name)
		bos, ok := tok.BOS()
		v := Vocabulary{Tokenizer: tok, Rows: tok.VocabSize() + 3, BOS: -1, EOS: -1, EOT: -1, PAD: -1, ChatTemplate: "{{ messages }}"}
		if ok {
			v.BOS = int(bos)
		}
		meta, notes, err := v.Metadata()
		if refused != "" {
			if err == nil || !strings.Contains(err.Error(), refused) {
				t.Errorf("%s: error %v, want %q", name, err, refused)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got := tokenizerOf(t, rewritten(t, meta))
		for _, text := range texts {
			if strings.Contains(text, "Caf") && len(notes) > 0 { // what the note is about
				continue
			}
			for _, special := range []bool{false, true} {
				a, errA := got.Encode(text, special)
				b, errB := tok.Encode(text, special)
				if fmt.Sprint(a, errA) != fmt.Sprint(b, errB) {
					t.Errorf("%s: %q gives %v (%v), want %v (%v)", name, text, a, errA, b, errB)
				}
			}
		}
	}
	tok := golden(t, "gpt2")
	if _, _, err := (Vocabulary{Tokenizer: tok, Rows: 9, BOS: -1, EOS: -1, EOT: -1, PAD: -1}).Metadata(); err == nil ||
		!strings.Contains(err.Error(), "the embedding has 9 rows") {
		t.Errorf("fewer rows than tokens: %v", err)
	}
}

// rewritten are the tokenizer's files of metadata that were written and read.
func rewritten(t *testing.T, meta []KV) map[string][]byte {
	t.Helper()
	var b bytes.Buffer
	if err := Encode(&b, meta, nil); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "t.gguf")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	files, err := f.TokenizerFiles()
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// SentencePiece: the metadata of a file make a folder that makes the same metadata.
func TestMetadataOfScores(t *testing.T) {
	tokens, types, scores := []string{"<unk>", "<s>", "</s>"}, []int32{2, 3, 3}, []float32{0, 0, 0}
	for b := range 256 {
		tokens, types, scores = append(tokens, fmt.Sprintf("<0x%02X>", b)), append(types, 6), append(scores, 0)
	}
	for i, token := range []string{"ab", "bc", "▁ab", "abc", "abab", "▁", "a", "b", "c"} {
		tokens, types, scores = append(tokens, token), append(types, 1), append(scores, float32(-i-1))
	}
	tokens, types, scores = append(tokens, "<turn>"), append(types, 4), append(scores, -1000)
	for _, ends := range []struct{ prefix, eos bool }{{false, false}, {true, true}} {
		given := []KV{{"tokenizer.ggml.model", "llama"}, {"tokenizer.ggml.tokens", tokens}, {"tokenizer.ggml.scores", scores},
			{"tokenizer.ggml.token_type", types},
			{"tokenizer.ggml.add_space_prefix", ends.prefix}, {"tokenizer.ggml.bos_token_id", uint32(1)},
			{"tokenizer.ggml.eos_token_id", uint32(2)}, {"tokenizer.ggml.add_eos_token", ends.eos}}
		files := rewritten(t, given)
		tok := tokenizerOf(t, files)
		meta, notes, err := Vocabulary{Tokenizer: tok, Rows: len(tokens), BOS: 1, EOS: 2, EOT: -1, PAD: -1}.Metadata()
		if err != nil || len(notes) > 0 {
			t.Fatal(err, notes)
		}
		got := map[string]any{}
		for _, kv := range meta {
			got[kv.Key] = kv.Value
		}
		for _, kv := range given {
			if kv.Key != "tokenizer.ggml.scores" && !reflect.DeepEqual(got[kv.Key], kv.Value) {
				t.Errorf("%s is %v, want %v", kv.Key, got[kv.Key], kv.Value)
			}
		}
		again := rewritten(t, meta)
		if !bytes.Equal(again["tokenizer.json"], files["tokenizer.json"]) {
			t.Error("the second tokenizer.json is another one")
		}
		if ids, _ := tok.Encode("ab", true); len(ids) < 2 || ids[0] != 1 || (ids[len(ids)-1] == 2) != ends.eos {
			t.Errorf("ends %+v: %v", ends, ids)
		}
	}
}
