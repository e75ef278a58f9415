package train

import (
	"io"
	"math"
	"os"
	"strings"
	"testing"

	"concord/bucket"
	"concord/gpu"
	"concord/internal/config"
	"concord/internal/train/traintest"
	"concord/tensor"
)

// wideConfig is a model of which the embedding is larger than any activation.
const wideConfig = `{
  "architectures": ["LlamaForCausalLM"], "model_type": "llama",
  "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
  "num_attention_heads": 2, "num_key_value_heads": 1, "vocab_size": 258,
  "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
  "hidden_act": "silu", "tie_word_embeddings": true, "bos_token_id": 256, "eos_token_id": 257
}`

// openLimited is open on a device that binds so many bytes; 0: as many as it does.
func openLimited(t *testing.T, cfg *config.Config, bytes int64) *Trainer {
	t.Helper()
	dev, err := gpu.Open(gpu.Options{Adapter: cfg.Device.Adapter, BindingLimit: bytes})
	if err != nil {
		t.Fatal(err)
	}
	c, err := OpenCorpus(cfg)
	if err != nil {
		t.Fatal(err)
	}
	tr, err := trainerOn(tensor.NewEngine(dev, tensor.Options{NoAutotune: true}), cfg, c, nil, os.Stderr, false)
	if err == nil {
		err = tr.loadBase()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tr.Close)
	return tr
}

// A model whose embedding and head are larger than one binding trains as one whose are
// not, in every mode that treats them differently, and a checkpoint of one is the other's.
func TestParametersLargerThanABinding(t *testing.T) {
	traintest.RequireAdapter(t)
	const limit = 17_000 // the embedding has 33 kB, half as many in bf16, and a chunk of logits 16.6 kB
	runs := map[string]string{"tied": traintest.FamilyRun(t, wideConfig, nil),
		"untied": traintest.FamilyRun(t, strings.Replace(wideConfig, "embeddings\": true", "embeddings\": false", 1), nil)}
	for model, file := range runs {
		for name, overrides := range map[string][]string{
			"mean":     {"objective.method=mean"},
			"rows":     {"objective.method=pcgrad", "objective.gram=rows"},
			"parts":    {"objective.method=pcgrad"},
			"turns":    {"objective.method=pcgrad", "objective.gram=ghost"}, // of rows of the vocabulary
			"metric":   {"objective.method=pcgrad", "objective.metric=adam"},
			"elements": {"objective.method=graddrop"},
			"applied":  {"objective.method=pcgrad", "optim.in_backward=true", "model.dtype=bf16", "optim.moments=int8"},
			"factored": {"objective.method=pcgrad", "optim.in_backward=true", "optim.name=adafactor"},
			"lora":     {"objective.method=pcgrad", "adapter.kind=lora", "adapter.rank=4", "adapter.save=embed_tokens", "model.base_type=int8"},
		} {
			t.Run(model+" "+name, func(t *testing.T) {
				cfg := load(t, file, append(overrides, "batch.rows=3", "batch.logits_chunk=16", "schedule.warmup=0")...)
				whole, cut := openLimited(t, cfg, 0), openLimited(t, cfg, limit)
				a, b := steps(t, whole, 2), steps(t, cut, 2)
				for i := range a {
					if math.Abs(a[i]-b[i]) > 1e-5*a[i] {
						t.Errorf("loss %d: %v, in pieces %v", i, a[i], b[i])
					}
				}
				want, got := values(t, whole, bucket.Weight), values(t, cut, bucket.Weight)
				if e := traintest.NMSE(got, want); !(e <= 1e-8) {
					t.Errorf("the weights differ: NMSE %.3g", e)
				}
				dir := t.TempDir()
				if err := cut.save(t.Context(), dir, state{Saved: cut.saved()}); err != nil {
					t.Fatal(err)
				}
				path, err := latest(dir, io.Discard)
				if err != nil {
					t.Fatal(err)
				}
				s, err := readState(path, cfg)
				if err == nil {
					err = whole.restore(path, s)
				}
				if err != nil {
					t.Fatal(err)
				}
				sameStates(t, "a checkpoint", rawStates(t, whole), rawStates(t, cut))
			})
		}
	}
}
