package modeldir

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

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
