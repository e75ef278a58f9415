package chat

import (
	"os"
	"path/filepath"
	"testing"
)

// Whatever the files of a model's folder say, their template is found or refused, and it renders
// or says why not: learnt spans lie in the text.
func FuzzFind(f *testing.F) {
	names := append([]string{tokenizer}, Files...)
	for i, text := range []string{`{"chat_template": "{{ messages[0].content }}", "bos_token": {"content": "<s>"}}`, im,
		`{"chat_template": [{"name": "default", "template": "x"}]}`,
		`{"eos_token": "</s>", "additional_special_tokens": ["a"]}`, chatML, lastDiffers} {
		f.Add([]byte(text), uint8(i))
	}
	f.Add([]byte(`{"chat_template": {"default": "{{ bos_token }}", "tool_use": "{{ tools }}"}}`), uint8(0))
	f.Fuzz(func(t *testing.T, text []byte, which uint8) {
		dir := t.TempDir()
		path := filepath.Join(dir, names[int(which)%len(names)])
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		tm, err := Find(dir)
		if err != nil || tm == nil {
			return
		}
		tm.EndOfTurn()
		r, err := tm.Train(talk("user", "a", "assistant", "b"))
		if err != nil {
			return
		}
		for _, s := range r.Spans {
			if s.Start < 0 || s.Start > s.End || s.End > len(r.Text) {
				t.Fatalf("span %v of %d bytes", s, len(r.Text))
			}
		}
	})
}
