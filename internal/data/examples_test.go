package data

import (
	"path/filepath"
	"strings"
	"testing"

	"concord/internal/tokenizer"
)

// TestShippedExamplesLoad: with the base model's tokenizer nothing of names8 is
// dropped, nothing trained on is measured, and rows waste little.
func TestShippedExamplesLoad(t *testing.T) {
	root := filepath.Join("..", "..", "examples")
	tok, err := tokenizer.Load(filepath.Join(root, "base", "tokenizer.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		task, seen string
		held       int
	}{{"names8", "es de ru hi ar sw zh tr", 207}, {"udhr8", "en es de ru hi ar sw zh", 6}} {
		t.Run(c.task, func(t *testing.T) {
			var sources []Source
			for _, lang := range strings.Fields(c.seen) {
				sources = append(sources, Source{Lang: lang, Train: true,
					Paths:   []string{filepath.Join(root, c.task, "data", lang+".train.jsonl")},
					Heldout: []string{filepath.Join(root, c.task, "data", lang+".heldout.jsonl")}})
			}
			for _, lang := range strings.Fields("pt nl uk mr fa zu ja am") {
				sources = append(sources, Source{Lang: lang, Heldout: []string{filepath.Join(root, c.task, "data", lang+".heldout.jsonl")}})
			}
			sets, err := LoadAll(sources, tok, Options{MaxLen: 128})
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range sets {
				if s.HeldoutStats.Docs != c.held || s.HeldoutStats.Shared+s.TrainStats.Duplicates+s.TrainStats.Empty+s.HeldoutStats.FullyMasked != 0 {
					t.Errorf("%s: train %+v held out %+v", s.Lang, s.TrainStats, s.HeldoutStats)
				}
				if c.task == "names8" && (s.TrainStats.TooLong != 0 || s.HeldoutStats.TooLong != 0) {
					t.Errorf("%s: names longer than 128 tokens: %+v", s.Lang, s.TrainStats)
				}
			}
			s, err := NewSampler(sets, SamplerOptions{Rows: 16, SeqLen: 128, Temperature: 1})
			if err != nil {
				t.Fatal(err)
			}
			for m, fill := range s.Fill() {
				if fill < 0.94 {
					t.Errorf("%s: rows are %.3f full", s.Languages()[m], fill)
				}
			}
			for step := range 20 {
				for m, n := range s.Batch(step).Supervised {
					if n == 0 {
						t.Errorf("step %d has no target in %s", step, s.Languages()[m])
					}
				}
			}
		})
	}
}
