package special

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestToken(t *testing.T) {
	for text, want := range map[string]Token{
		`"<s>"`: {"<s>", true}, `""`: {"", true}, `null`: {}, `{"content": "<s>", "lstrip": false}`: {"<s>", true}, `{"content": null}`: {}, `{}`: {},
	} {
		got := Token{"before", true}
		if err := json.Unmarshal([]byte(text), &got); err != nil || got != want {
			t.Errorf("%s: %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"true", "1", "[]", `{"content": 1}`} {
		var got Token
		if err := json.Unmarshal([]byte(text), &got); err == nil ||
			!strings.Contains(err.Error(), "want a string or an object with content") || got != (Token{}) {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
}

func TestReadJSON(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.json")
	v := map[string]int{"a": 1}
	if err := ReadJSON(path, &v); err != nil || v["a"] != 1 {
		t.Errorf("a file that is not there: %v, %v", v, err)
	}
	for text, ok := range map[string]bool{`{"a": 2}`: true, `{"a"`: false} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := ReadJSON(path, &v); (err == nil) != ok || v["a"] != 2 && ok || !ok && !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, %v", text, v, err)
		}
	}
}
