package train

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"concord/internal/config"
	"concord/internal/train/traintest"
)

// Languages of a column are known when the data is read: a weight of another one is
// refused then.
func TestWeightsOfAColumnsLanguages(t *testing.T) {
	dir := t.TempDir()
	traintest.Base(t, filepath.Join(dir, "base"), nil)
	rows := ""
	for _, lang := range []string{"sw", "yo"} {
		rows += strings.ReplaceAll(traintest.Examples(0, 0, 20), "{", `{"lang": "`+lang+`", `)
	}
	traintest.WriteFile(t, filepath.Join(dir, "all.jsonl"), rows)
	for lang, ok := range map[string]bool{"yo": true, "fr": false} {
		path := filepath.Join(dir, "run.toml")
		text := "[model]\npath = \"base\"\n[batch]\nrows = 2\nseq_len = 32\n[schedule]\nsteps = 1\n[objective.preferences]\n" + lang +
			" = 2.0\n[[data.source]]\nlang_column = \"lang\"\npath = \"all.jsonl\"\n"
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		cfg, err := config.Load(path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Check(cfg); (err == nil) != ok || !ok && !strings.Contains(err.Error(), "sw, yo") {
			t.Errorf("%s: %v", lang, err)
		}
	}
}
