package train

import (
	"bytes"
	"strings"
	"testing"

	"concord/bucket"
	"concord/internal/config"
	"concord/internal/device"
	"concord/internal/train/traintest"
)

// familyConfigs are models other than the fixture's Llama: with biases; with norms
// by head that are wider than the model; with norms after layers and a window; with
// learned positions, fewer than the model is wide, and no gate.
var familyConfigs = map[string]string{
	"qwen2": `{"model_type": "qwen2", "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2,
		"num_key_value_heads": 1, "vocab_size": 258, "max_position_embeddings": 64, "tie_word_embeddings": true}`,
	"qwen3": `{"model_type": "qwen3", "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4,
		"num_key_value_heads": 2, "head_dim": 16, "vocab_size": 258, "max_position_embeddings": 64, "tie_word_embeddings": false}`,
	"gemma3": `{"model_type": "gemma3_text", "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2,
		"num_key_value_heads": 1, "head_dim": 16, "vocab_size": 258, "max_position_embeddings": 64, "sliding_window": 5, "sliding_window_pattern": 2, "query_pre_attn_scalar": 16}`,
	"phi3": `{"model_type": "phi3", "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2,
		"num_key_value_heads": 1, "vocab_size": 258, "max_position_embeddings": 64}`,
	"gpt2": `{"model_type": "gpt2", "n_embd": 128, "n_layer": 2, "n_head": 2, "vocab_size": 258, "n_positions": 64, "resid_pdrop": 0.1}`,
}

// Rows in lent memory, rows in memory of their own, the ghost Gram and weights
// known before the step see every parameter of every family.
func TestFamilies(t *testing.T) {
	traintest.RequireAdapter(t)
	for name, text := range familyConfigs {
		t.Run(name, func(t *testing.T) {
			cfg := load(t, traintest.FamilyRun(t, text, nil), "objective.method=pcgrad", "objective.gram=rows")
			lent := gradientsOf(t, cfg, 1)
			sameGradients(t, "rows of their own", ownRows(t, cfg), lent, all)
			ghost := *cfg
			ghost.Objective.Gram = "ghost"
			sameGradients(t, "ghost", gradientsOf(t, &ghost, 1), lent, all)

			plain := *withMethod(t, cfg, "mean")
			known := *cfg
			known.Objective.Override = []config.Override{{Match: "*", Method: "mean"}}
			// The keys' bias of GPT-2 has the gradient 0, a shift of all scores: what is there is rounding.
			moves := func(param string) bool { return !strings.HasSuffix(param, ".attn.k.bias") }
			sameGradients(t, "known weights", gradientsOf(t, &known, 1), gradientsOf(t, &plain, 1), moves)
		})
	}
}

// ownRows is gradientsOf a trainer that lends no memory.
func ownRows(t *testing.T, cfg *config.Config) map[string][]float32 {
	t.Helper()
	var warnings bytes.Buffer
	tr, err := OpenOwnRows(cfg, &warnings)
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	steps(t, tr, 1)
	if gpt2 := tr.corpus.Model.ModelType == "gpt2"; gpt2 != strings.Contains(warnings.String(), "resid_pdrop 0.1 has no effect") {
		t.Errorf("on the screen stands %q", warnings.String())
	}
	out := map[string][]float32{}
	for _, p := range device.Params(tr.corpus.Model) {
		if out[p.Name], err = tr.Store.Read(bucket.Gradient, p.Name); err != nil {
			t.Fatal(err)
		}
	}
	return out
}
