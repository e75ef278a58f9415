package train

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"concord/gpu"
	"concord/internal/train/traintest"
)

// wideVocabulary writes a run whose tied embedding is the larger part of the model.
func wideVocabulary(t *testing.T) string {
	t.Helper()
	path := traintest.Run(t, nil)
	base := filepath.Join(filepath.Dir(path), "base")
	b, err := os.ReadFile(filepath.Join(base, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	var c map[string]any
	if err := json.Unmarshal(b, &c); err != nil {
		t.Fatal(err)
	}
	maps.Copy(c, map[string]any{"vocab_size": 16384, "hidden_size": 256, "intermediate_size": 768, "num_hidden_layers": 6,
		"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 64, "tie_word_embeddings": true})
	if b, err = json.Marshal(c); err != nil {
		t.Fatal(err)
	}
	traintest.WriteFile(t, filepath.Join(base, "config.json"), string(b))
	return path
}

// Resolution adds at most 5 % to the peak of method "mean", with a tied head and rows that are
// short, in full and low-memory training.
func TestResolutionAddsLittle(t *testing.T) {
	path := wideVocabulary(t)
	low := []string{"model.dtype=bf16", "optim.moments=int8", "optim.in_backward=true"}
	for name, settings := range map[string][]string{"full": nil, "low memory": low, "lora": {"adapter.kind=lora"},
		"checkpointing": append([]string{"memory.checkpointing=true"}, low...)} {
		var peak [2]int64
		for i, method := range []string{"mean", "pcgrad"} {
			p, err := NewPlanner(load(t, path, append(settings, "objective.method="+method,
				"batch.logits_chunk=16", "probe.every=0", "model.init=random")...))
			if err != nil {
				t.Fatal(err)
			}
			m, err := p.measure(Card{Name: "card", Type: gpu.Discrete, Memory: 4 << 30}, p.cfg.Batch.Rows)
			if err != nil {
				t.Fatal(err)
			}
			if peak[i] = m.Peak; (m.host > 0) != (p.cfg.Optim.InBackward) {
				t.Errorf("%s: %d bytes of host memory", name, m.host)
			}
		}
		if float64(peak[1]) > 1.05*float64(peak[0]) {
			t.Errorf("%s: pcgrad takes %d bytes, mean %d: %.3fx", name, peak[1], peak[0], float64(peak[1])/float64(peak[0]))
		}
	}
}
