package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"concord/internal/train/traintest"
)

// A run file's data and a folder's are looked through; findings are exit code 3 but for
// kinds that are allowed.
func TestDataLint(t *testing.T) {
	dir := t.TempDir()
	traintest.Base(t, filepath.Join(dir, "base"), nil)
	good := traintest.Examples(0, 0, 30)
	copied := strings.SplitAfter(good, "\n")[3]
	file(t, dir, "data/aa.jsonl", good+copied+`{"prompt": "Zz:", "completion": " "}`+"\n")
	file(t, dir, "data/aa.heldout.jsonl", traintest.Examples(0, 30, 55)+copied)
	for _, path := range []string{"data", "run.toml"} {
		if path == "run.toml" {
			file(t, dir, "run.toml", "[model]\npath = \"base\"\n[batch]\nseq_len = 32\n[schedule]\nsteps = "+
				"2\n[[data.source]]\nlang = \"aa\"\npath = \"data/aa.jsonl\"\nheldout = \"data/aa.heldout.jsonl\"\n")
		}
		code, out, errs := concord(t, "", "data", "lint", filepath.Join(dir, path), "--json")
		var r lintReport
		if err := json.Unmarshal([]byte(out), &r); err != nil || code != exitData || !strings.Contains(errs, "findings in 58 documents") {
			t.Fatalf("%s: %d, %v\n%s%s", path, code, err, out, errs)
		}
		kinds := map[string]int{}
		for _, f := range r.Findings {
			kinds[f.Kind] += f.Count
		}
		if kinds["leak"] != 1 || kinds["duplicate"] != 1 || kinds["empty"] != 1 || len(kinds) != 3 {
			t.Errorf("%s: %v\n%s", path, kinds, out)
		}
		code, out, errs = concord(t, "", "data", "lint", filepath.Join(dir, path), "--allow", "leak,duplicate,empty")
		if code != 0 || !strings.Contains(out, "aa.heldout.jsonl:26 = ") || !strings.Contains(out, "aa.jsonl:32") ||
			!strings.Contains(out, "fix: ") {
			t.Errorf("%s, all allowed: %d\n%s%s", path, code, out, errs)
		}
	}
	if code, _, errs := concord(t, "", "data", "lint", filepath.Join(dir, "data"), "--allow", "leek"); code != exitUsage ||
		!strings.Contains(errs, "leak") {
		t.Errorf("an unknown kind: %d, %s", code, errs)
	}
}
