package gguf

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"concord/internal/gguf/gguftest"
	"concord/internal/tokenizer"
)

func filesOf(t *testing.T, meta map[string]any) (map[string][]byte, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "t.gguf")
	gguftest.Write(t, path, meta, nil)
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	return f.TokenizerFiles()
}

func tokenizerOf(t *testing.T, files map[string][]byte) *tokenizer.Tokenizer {
	t.Helper()
	tok, err := tokenizer.Parse(files["tokenizer.json"])
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func encode(t *testing.T, tok *tokenizer.Tokenizer, text string) []uint32 {
	t.Helper()
	ids, err := tok.Encode(text, false)
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

// A byte-level tokenizer comes back from its tokens and merges, for every way of
// splitting words that is known.
func TestByteLevel(t *testing.T) {
	texts := []string{"the cat sat on the mat, 12345 times", "the hat that the cat sat on", "naïve café 日本語 the\n\n  the"}
	for pre, pattern := range map[string]string{"gpt-2": tokenizer.PatternGPT2, "llama-bpe": tokenizer.PatternLlama3,
		"qwen2":  tokenizer.PatternQwen2,
		"qwen35": tokenizer.PatternQwen35} {
		want, err := tokenizer.Train(slices.Values(texts),
			tokenizer.TrainOptions{VocabSize: 275, Specials: []string{"<bos>", "<eos>"}, Pattern: pattern})
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "tokenizer.json")
		if err := want.Save(path); err != nil {
			t.Fatal(err)
		}
		meta := ggufOf(t, path, pre)
		files, err := filesOf(t, meta)
		if err != nil {
			t.Errorf("%s: %v", pre, err)
			continue
		}
		got := tokenizerOf(t, files)
		for _, text := range append(texts, "<bos>the cat<eos>", "unseen words: zebra 987") {
			if a, b := fmt.Sprint(encode(t, got, text)), fmt.Sprint(encode(t, want, text)); a != b {
				t.Errorf("%s: %q gives %v, want %v", pre, text, a, b)
			}
		}
		for name, part := range map[string]string{"tokenizer_config.json": `"chat_template": "{{ messages }}"`,
			"generation_config.json": `"eos_token_id": [`} {
			if !strings.Contains(string(files[name]), part) {
				t.Errorf("%s is %s", name, files[name])
			}
		}
	}
}

// ggufOf is what a file says of the tokenizer at path.
func ggufOf(t *testing.T, path, pre string) map[string]any {
	t.Helper()
	var file struct {
		Model struct {
			Vocab  map[string]int
			Merges []json.RawMessage
		}
		Added []struct {
			ID      int
			Content string
		} `json:"added_tokens"`
	}
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, &file)
	}
	if err != nil {
		t.Fatal(err)
	}
	size := 0
	for _, id := range file.Model.Vocab {
		size = max(size, id+1)
	}
	for _, a := range file.Added {
		size = max(size, a.ID+1)
	}
	tokens, types := make([]string, size+1), make([]int32, size+1)
	for token, id := range file.Model.Vocab {
		tokens[id], types[id] = token, 1
	}
	for _, a := range file.Added {
		tokens[a.ID], types[a.ID] = a.Content, tokenControl
	}
	tokens[size], types[size] = "[PAD]", tokenUnused
	var merges []string
	for _, raw := range file.Model.Merges {
		var pair []string
		var text string
		if json.Unmarshal(raw, &pair) == nil {
			text = strings.Join(pair, " ")
		} else if err := json.Unmarshal(raw, &text); err != nil {
			t.Fatal(err)
		}
		merges = append(merges, text)
	}
	return map[string]any{"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": pre, "tokenizer.ggml.tokens": tokens,
		"tokenizer.ggml.token_type": types,
		"tokenizer.ggml.merges":     merges, "tokenizer.ggml.eos_token_id": uint32(size - 1), "tokenizer.chat_template": "{{ messages }}"}
}

// SentencePiece's scores become merges: the best pair is merged first, bytes stand
// for what is not in the vocabulary, BOS and the space before a text are as said.
func TestSentencePiece(t *testing.T) {
	tokens, types, scores := []string{"<unk>", "<s>", "</s>"}, []int32{2, 3, 3}, []float32{0, 0, 0}
	for b := range 256 {
		tokens, types, scores = append(tokens, fmt.Sprintf("<0x%02X>", b)), append(types, 6), append(scores, 0)
	}
	for i, token := range []string{"ab", "bc", "▁ab", "abc", "▁", "a", "b", "c"} {
		tokens, types, scores = append(tokens, token), append(types, 1), append(scores, float32(-i-1))
	}
	meta := map[string]any{"tokenizer.ggml.model": "llama", "tokenizer.ggml.tokens": tokens, "tokenizer.ggml.token_type": types,
		"tokenizer.ggml.scores":       scores,
		"tokenizer.ggml.bos_token_id": uint32(1), "tokenizer.ggml.eos_token_id": uint32(2)}
	const ab, bc, spaceAB, abc, space, a = 259, 260, 261, 262, 263, 264
	for _, c := range []struct {
		prefix bool
		text   string
		want   []uint32
	}{
		{true, "ab", []uint32{spaceAB}},
		{false, "ab", []uint32{ab}},
		{false, "a bc", []uint32{a, space, bc}},
		{false, "abc", []uint32{abc}},
		{false, "aé", []uint32{a, 3 + 0xc3, 3 + 0xa9}},
	} {
		meta["tokenizer.ggml.add_space_prefix"] = c.prefix
		files, err := filesOf(t, meta)
		if err != nil {
			t.Fatal(err)
		}
		if got := encode(t, tokenizerOf(t, files), c.text); !slices.Equal(got, c.want) {
			t.Errorf("prefix %v: %q gives %v, want %v", c.prefix, c.text, got, c.want)
		}
		if !strings.Contains(string(files["tokenizer.json"]), "TemplateProcessing") {
			t.Error("no BOS is put first")
		}
	}
}

func TestTokenizerRefuses(t *testing.T) {
	base := func() map[string]any {
		return map[string]any{"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "gpt-2",
			"tokenizer.ggml.tokens": []string{"a", "b"}, "tokenizer.ggml.merges": []string{}}
	}
	for _, c := range []struct {
		key   string
		value any
		want  string
	}{
		{"tokenizer.ggml.model", "t5", `"t5" is not supported`},
		{"tokenizer.ggml.tokens", []string{"a", strings.Repeat("b", maxToken+1)}, "token 1 has 8193 bytes"},
		{"tokenizer.ggml.pre", "tekken", `"tekken" is not supported`},
		{"tokenizer.ggml.eos_token_id", uint32(9), "9 of 2 tokens"},
		{"tokenizer.ggml.token_type", []int32{1}, "1 types"},
		{"tokenizer.ggml.merges", []string{"a z"}, "the tokenizer of its metadata"},
		{"tokenizer.ggml.model", "llama", "no tokenizer.ggml.scores"},
	} {
		meta := base()
		meta[c.key] = c.value
		if _, err := filesOf(t, meta); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %v: error %v, want %q", c.key, c.value, err, c.want)
		}
	}
}
