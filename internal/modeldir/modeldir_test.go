package modeldir

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"concord/internal/chat"
	"concord/internal/fault"
	"concord/internal/train/traintest"
)

// A tokenizer with more ids than the embedding has rows belongs to another model.
func TestOpen(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "base")
	traintest.Base(t, dir, nil)
	if c, tok, err := Open(dir); err != nil || c.Vocab != traintest.Vocab || tok.VocabSize() != traintest.Vocab {
		t.Fatalf("%+v, %v", c, err)
	}
	path := filepath.Join(dir, "config.json")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	small := strings.NewReplacer(`"vocab_size": 258`, `"vocab_size": 257`, `"eos_token_id": 257`, `"eos_token_id": 256`)
	if err := os.WriteFile(path, []byte(small.Replace(string(text))), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Open(dir); !errors.Is(err, fault.ErrData) || !strings.Contains(err.Error(), "do not belong together") {
		t.Errorf("a tokenizer of another model: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "tokenizer.json"), []byte(`{"model": {"type": "Unigram"}}`), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Open(dir); !errors.Is(err, fault.ErrData) || !strings.Contains(err.Error(), "only BPE, that of Llama") ||
		!strings.Contains(err.Error(), "\n  fix: ") {
		t.Errorf("a tokenizer of another kind: %v", err)
	}
}

func TestWithToken(t *testing.T) {
	given := []uint32{3, 9}
	if got := WithToken(given, 5); !slices.Equal(got, []uint32{3, 5, 9}) || !slices.Equal(given, []uint32{3, 9}) {
		t.Errorf("%v of %v", got, given)
	}
	if got := WithToken(given, 9); !slices.Equal(got, given) {
		t.Errorf("a token that is there: %v", got)
	}
}

// Each stop names all of the files that say so: those of a folder, of two, and the template.
func TestStops(t *testing.T) {
	dir, other := filepath.Join(t.TempDir(), "base"), t.TempDir()
	traintest.Base(t, dir, nil)
	traintest.WriteFile(t, filepath.Join(dir, GenerationFile), `{"eos_token_id": [256, 257]}`)
	traintest.WriteFile(t, filepath.Join(other, GenerationFile), `{"eos_token_id": 65}`)
	tok, err := Tokenizer(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		end  string
		want []string
	}{
		{"<|bos|>", []string{`b (65: generation_config.json)`, `<|bos|> (256: generation_config.json, the chat template)`,
			`<|eos|> (257: config.json, generation_config.json, tokenizer_config.json)`}},
		{"</s>", []string{`b (65: generation_config.json)`, `<|bos|> (256: generation_config.json)`,
			`<|eos|> (257: config.json, generation_config.json, tokenizer_config.json)`, `the text "</s>" (the chat template)`}},
	} {
		file := filepath.Join(t.TempDir(), "t.jinja")
		traintest.WriteFile(t, file, `{% for m in messages %}{{ m.content + '`+c.end+`' }}{% endfor %}`)
		template, err := chat.Open(file, dir)
		if err != nil {
			t.Fatal(err)
		}
		s, err := FindStops(tok, template, dir, other)
		if err != nil || !slices.Equal(s.List(), c.want) || !slices.Equal(s.IDs(), []uint32{65, 256, 257}) {
			t.Errorf("turns end with %s: %q, %v, %v", c.end, s.List(), s.IDs(), err)
		}
	}
}
