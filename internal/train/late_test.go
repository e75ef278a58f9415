package train

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"concord/bucket"
	"concord/gpu"
	"concord/internal/config"
	"concord/internal/train/traintest"
)

// positionsConfig is a GPT-2 that has as many positions as tokens, and whose embedding
// is large beside the rest.
var positionsConfig = strings.NewReplacer(`"n_embd": 128`, `"n_embd": 16`, `"n_positions": 64`, `"n_positions": 258`).Replace(
	familyConfigs["gpt2"])

// picked are the trained parameters that pick says yes to.
func picked(tr *Trainer, pick func(bucket.Param) bool) (names []string) {
	for _, b := range tr.Store.Layout.Buckets {
		for _, p := range b.Params {
			if pick != nil && pick(p.Param) {
				names = append(names, p.Name)
			}
		}
	}
	return names
}

// tables is how many of a model's parameters have a row for each token of the vocabulary.
func tables(tr *Trainer) int {
	if tr.Arch.TieWordEmbeddings {
		return 1
	}
	return 2
}

// eachTable tests the settings "layer" with every kind of embedding and head, and all
// others with those of Llama.
func eachTable(t *testing.T, settings map[string][]string, test func(t *testing.T, name, file string, overrides []string)) {
	for model, file := range map[string]string{"tied": traintest.Run(t, nil), "untied": traintest.UntiedRun(t, nil),
		"gpt2": traintest.FamilyRun(t, positionsConfig, nil), "gemma3": traintest.FamilyRun(t, familyConfigs["gemma3"], nil)} {
		for name, overrides := range settings {
			if name == "layer" || model == "tied" || model == "untied" {
				t.Run(model+" "+name, func(t *testing.T) { test(t, name, file, overrides) })
			}
		}
	}
}

// Rows of embedding and head that are written at the end of the backward pass, in what
// is free then, make the gradients of rows that have memory of their own from the start:
// tied and untied, in every scope, in halves, in the optimizer's metric, and in runs in
// which some steps or some parameters have known weights. Twice the same bits.
func TestLateRows(t *testing.T) {
	traintest.RequireAdapter(t)
	settings := map[string][]string{
		"layer":  nil,
		"tensor": {"objective.scope=tensor"},
		"global": {"objective.scope=global"},
		"1MB":    {"objective.scope=1MB", "objective.in_flight=2"},
		"halves": {"objective.noise.halves=true", "objective.noise.debias=true"},
		"adam":   {"objective.metric=adam"},
		"every":  {"objective.every=2", "objective.warmup=1"},
		"chunks": {"batch.logits_chunk=32"},
	}
	eachTable(t, settings, func(t *testing.T, name, file string, overrides []string) {
		run := func(gram string) (weights []float32) {
			tr := open(t, load(t, file, append(slices.Clone(overrides), "objective.gram="+gram)...))
			if late := picked(tr, tr.ResolverOptions().Late); len(late) != tables(tr) && gram == "auto" || late != nil && gram != "auto" {
				t.Fatalf("gram = %q: late %v", gram, late)
			}
			steps(t, tr, 3)
			return values(t, tr, bucket.Weight)
		}
		want, got := run("rows"), run("auto")
		if e := traintest.NMSE(got, want); e > 1e-8 { // three updates of AdamW, which divides by the root of what is near 0
			t.Errorf("the weights differ: NMSE %.3g", e)
		}
		if name == "layer" && !slices.Equal(got, run("auto")) {
			t.Error("the same run twice gave other bits")
		}
	})
}

// With a tied head the resolution of up to 32 languages adds at most 5 % to the peak of the demo
// under "mean", that of 64 at most 10 %.
func TestPriceOfLanguages(t *testing.T) {
	for languages, most := range map[int]float64{8: 1.05, 16: 1.05, 32: 1.05, 64: 1.10} {
		cfg := load(t, "../../examples/names8/run.toml", "probe.every=0")
		trained := slices.DeleteFunc(cfg.Data.Source, func(s config.Source) bool { return !s.Train })
		for i := range languages {
			if i >= len(trained) {
				trained = append(trained, trained[i%8])
			}
			trained[i].Lang = fmt.Sprint("language ", i)
		}
		cfg.Data.Source = trained
		cfg.Batch.Rows = max(cfg.Batch.Rows, languages)
		peak := map[string]int64{}
		for _, method := range []string{"mean", "pcgrad"} {
			p, err := NewPlanner(withMethod(t, cfg, method))
			if err != nil {
				t.Fatal(err)
			}
			m, err := p.try(Card{Name: "card", Type: gpu.CPU, Memory: unbounded}, cfg.Batch.Rows)
			if err != nil {
				t.Fatal(err)
			}
			peak[method] = m.Peak
		}
		t.Logf("%d languages: %d bytes, %d with mean: %.3f", languages, peak["pcgrad"], peak["mean"],
			float64(peak["pcgrad"])/float64(peak["mean"]))
		if float64(peak["pcgrad"]) > most*float64(peak["mean"]) {
			t.Errorf("%d languages: %d bytes, %d with mean", languages, peak["pcgrad"], peak["mean"])
		}
	}
}
