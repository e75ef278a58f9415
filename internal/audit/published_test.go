package audit

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestPublished makes the tables of the audits in docs/results/README.md again from the committed runs, of which the
// first line is the lock of the audit's folder.
func TestPublished(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "results", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for name, langs := range map[string]string{"names8": "es de ru hi ar sw zh tr", "udhr8": "en es de ru hi ar sw zh"} {
		a := readPublished(t, name, strings.Fields(langs))
		gain := 0.0
		for _, f := range a.interference("") {
			row := fmt.Sprintf("| %s | %.3f | %.4f | %.4f | %v | %v |", f.Lang, float64(f.Base), float64(f.Alone.Mean), float64(f.Mixture.Mean),
				f.Effect, f.Longer)
			if name == "udhr8" {
				row += fmt.Sprintf(" %s |", f.Verdict)
			} else if f.Verdict != Hurt {
				t.Errorf("%s: %s is %s", name, f.Lang, f.Verdict)
			}
			row += fmt.Sprintf(" %.4f |", float64(f.Effect.Detectable))
			if t.Log(row); !strings.Contains(string(page), row+"\n") {
				t.Errorf("%s: the page has not the row %s", name, row)
			}
			if f.Effect.N != 6 || f.Longer.N != 3 {
				t.Errorf("%s: %s has %d and %d seeds", name, f.Lang, f.Effect.N, f.Longer.N)
			}
			gain += float64(f.Effect.Mean) / float64(len(a.langs))
		}
		t.Logf("%s: %d runs; mean of mixture − alone %.4f", name, len(a.results), gain)
		for _, c := range a.controlFindings() {
			t.Logf("%s: %s: %s", name, c.Name, c.Text)
			if c.Pass == nil || !*c.Pass {
				t.Errorf("%s: the %s did not pass", name, c.Name)
			}
		}
	}
}

// readPublished is an audit of committed runs.
func readPublished(t *testing.T, name string, langs []string) *audit {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "docs", "results", name+"-audit.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	a := &audit{o: Options{Margin: defaultMargin, Seeds: 6}, results: map[string]*Result{}, seed: 1, langs: langs, lr: 2e-3,
		controls: map[string]*control{}}
	for i, line := range strings.Split(strings.TrimSpace(string(b)), "\n") {
		r := &Result{}
		if i == 0 {
			if err := json.Unmarshal([]byte(line), &a.plan); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := json.Unmarshal([]byte(line), r); err != nil {
			t.Fatal(err)
		}
		a.results[r.Slug()] = r
		if r.Data != "" && r.Arm == armMixture && a.controls[r.Data] == nil {
			a.controls[r.Data] = &control{langs: r.Langs}
		}
	}
	return a
}
