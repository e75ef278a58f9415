package model

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"concord/internal/gguf"
)

// Whatever a file says, it is read or refused: no configuration, no tokenizer and no
// place of a parameter of it panics.
func FuzzReadGGUF(f *testing.F) {
	for _, name := range []string{"qwen2", "gemma3", "gpt2, tied=true"} {
		c := importable()[name]
		values := valuesOf(c)
		var b bytes.Buffer
		meta := []gguf.KV{{Key: "tokenizer.ggml.model", Value: "llama"}, {Key: "tokenizer.ggml.tokens", Value: []string{"<unk>", "a", "b", "ab"}},
			{Key: "tokenizer.ggml.scores", Value: []float32{0, -2, -3, -1}}, {Key: "tokenizer.ggml.token_type", Value: []int32{2, 1, 1, 1}}}
		if _, err := WriteGGUF(&b, c, gguf.F16, meta, func(name string) ([]float32, error) { return values[name], nil }); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes())
		f.Add(b.Bytes()[:b.Len()/2])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(t.TempDir(), "x.gguf")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		x, err := gguf.Open(path)
		if err != nil {
			return
		}
		defer x.Close()
		x.TokenizerFiles() // an error is fine
		g, err := ReadGGUF(x)
		if err != nil {
			return
		}
		for _, s := range ParamSpecs(g.Config) {
			if v, err := g.Values(s.Name); err != nil || len(v) != s.Size() {
				t.Fatalf("%s: %d values, want %d (%v)", s.Name, len(v), s.Size(), err)
			}
		}
	})
}
