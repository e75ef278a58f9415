package train

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"concord/internal/config"
	"concord/internal/train/traintest"
)

// pairLosses are cuts of the tokenizers' golden texts, [text, characters of
// the prompt], and the answers' losses by transformers: see testdata/pairs.py.
type pairLosses struct {
	Pairs  [][2]int
	Losses map[string][]*float64 // by tokenizer, nats
}

func readJSON(t *testing.T, path string, v any) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	d := json.NewDecoder(f)
	if filepath.Ext(path) == ".gz" {
		z, err := gzip.NewReader(f)
		if err != nil {
			t.Fatal(err)
		}
		d = json.NewDecoder(z)
	}
	if err := d.Decode(v); err != nil {
		t.Fatal(err)
	}
}

// pairRun is a run that measures those prompts and answers that have a loss, with the tokenizer.
func pairRun(t *testing.T, tokenizer string, texts []string, cuts [][2]int, losses []*float64) (cfg *config.Config, want []float64) {
	t.Helper()
	dir := t.TempDir()
	from := func(path string) string {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	for _, name := range []string{"config.json", "model.safetensors"} {
		traintest.WriteFile(t, filepath.Join(dir, "base", name), from(filepath.Join("testdata", "pairs", name)))
	}
	traintest.WriteFile(t, filepath.Join(dir, "base", "tokenizer.json"), from(filepath.Join(goldenDir, tokenizer+".json")))
	var lines strings.Builder
	e := json.NewEncoder(&lines)
	for i, cut := range cuts {
		if losses[i] == nil {
			continue
		}
		want = append(want, *losses[i])
		text := []rune(texts[cut[0]])
		if err := e.Encode(map[string]string{"prompt": string(text[:cut[1]]), "completion": string(text[cut[1]:])}); err != nil {
			t.Fatal(err)
		}
	}
	for _, lang := range traintest.Langs {
		traintest.WriteFile(t, filepath.Join(dir, lang+".jsonl"), traintest.Examples(0, 0, 1))
		traintest.WriteFile(t, filepath.Join(dir, lang+".heldout.jsonl"), traintest.Examples(1, 0, 1))
	}
	traintest.WriteFile(t, filepath.Join(dir, traintest.Unseen+".heldout.jsonl"), lines.String())
	run := traintest.RunFile(t, dir, map[string]string{"batch": "rows = 16\nseq_len = 256"})
	return load(t, run), want
}

var goldenDir = filepath.Join("..", "tokenizer", "testdata", "golden")

// The losses of at least 1,000 answers are the reference implementation's on the joined
// text, for every tokenizer kind.
func TestLossesOfPairs(t *testing.T) {
	traintest.RequireAdapter(t)
	var v pairLosses
	readJSON(t, filepath.Join("testdata", "pairs", "losses.json.gz"), &v)
	var texts []string
	readJSON(t, filepath.Join(goldenDir, "texts.json"), &texts)
	if len(v.Losses) < 8 {
		t.Fatalf("%d tokenizers", len(v.Losses))
	}
	for name, losses := range v.Losses {
		cfg, want := pairRun(t, name, texts, v.Pairs, losses)
		e, err := Evaluate(context.Background(), cfg, "", UI{})
		if err != nil {
			t.Fatal(name, err)
		}
		got := e.Rows[len(e.Rows)-1].Docs
		if len(got) != len(want) || len(want) < 1000 {
			t.Fatalf("%s: %d answers, want %d, and 1,000 or more", name, len(got), len(want))
		}
		for i := range want {
			if math.Abs(got[i].NLL-want[i]) > 1e-4*(1+want[i]) {
				t.Errorf("%s: pair %d: %v nats, by the reference %v", name, i, got[i].NLL, want[i])
				break
			}
		}
	}
}
