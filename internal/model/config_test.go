package model

import (
	"encoding/json"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"concord/internal/safetensors"
	"concord/tensor"
)

const llama32 = `{"architectures": ["LlamaForCausalLM"], "attention_bias": false, "attention_dropout": 0.0,
 "bos_token_id": 128000, "eos_token_id": [128001, 128008, 128009], "head_dim": 64, "hidden_act": "silu",
 "hidden_size": 2048, "initializer_range": 0.02, "intermediate_size": 8192, "max_position_embeddings": 131072,
 "mlp_bias": false, "model_type": "llama", "num_attention_heads": 32, "num_hidden_layers": 16,
 "num_key_value_heads": 8, "pretraining_tp": 1, "rms_norm_eps": 1e-05,
 "rope_scaling": {"factor": 32.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
  "original_max_position_embeddings": 8192, "rope_type": "llama3"},
 "rope_theta": 500000.0, "tie_word_embeddings": true, "torch_dtype": "bfloat16", "vocab_size": 128256}`

func TestParseConfig(t *testing.T) {
	c, err := ParseConfig([]byte(llama32))
	if err != nil {
		t.Fatal(err)
	}
	want := Config{ModelType: "llama", Hidden: 2048, FFN: 8192, Layers: 16, Heads: 32, KVHeads: 8, HeadDim: 64, Vocab: 128256,
		MaxPositions: 131072, RMSNormEps: 1e-5, RopeTheta: 500000, TieWordEmbeddings: true, InitializerRange: 0.02,
		RopeScaling: tensor.RoPEScaling{Type: "llama3", Factor: 32, LowFreqFactor: 1, HighFreqFactor: 4, OriginalMaxPosition: 8192},
		DType:       safetensors.BF16, BOS: []int{128000}, EOS: []int{128001, 128008, 128009}}
	raw := c.raw
	c.raw = nil
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
	if n := c.Parameters(); n != 1235814400 {
		t.Errorf("%d parameters, Llama-3.2-1B has 1235814400", n)
	}
	if s := c.String(); !strings.Contains(s, "1.2B parameters (tied)") {
		t.Error(s)
	}
	c.raw = raw
	text, err := c.JSON(safetensors.F16)
	if err != nil {
		t.Fatal(err)
	}
	var before, after map[string]any
	json.Unmarshal([]byte(llama32), &before)
	if err := json.Unmarshal(text, &after); err != nil {
		t.Fatal(err)
	}
	for key, v := range before {
		if key != "torch_dtype" && !reflect.DeepEqual(after[key], v) {
			t.Errorf("%s became %v", key, after[key])
		}
	}
	if after["dtype"] != "float16" || after["torch_dtype"] != "float16" {
		t.Errorf("dtype %v, torch_dtype %v", after["dtype"], after["torch_dtype"])
	}
	if p := after["rope_parameters"].(map[string]any); p["rope_theta"] != 5e5 || p["rope_type"] != "llama3" || p["factor"] != 32. {
		t.Errorf("rope_parameters %v", p)
	}
	if strings.Count(string(text), `"rope_theta": 500000.0,`) != 2 {
		t.Error("a whole rope_theta is not written as a float")
	}
	again, err := ParseConfig(text)
	want.DType = safetensors.F16
	again.raw = nil
	if err != nil || !reflect.DeepEqual(again, want) {
		t.Errorf("read back: %+v (%v)", again, err)
	}
	if slices.IndexFunc(raw, func(f field) bool { return f.key == "hidden_size" }) != 7 {
		t.Error("the order of the keys is lost")
	}
}

// edit replaces a substring of the valid file.
func edit(old, new string) []byte { return []byte(strings.Replace(llama32, old, new, 1)) }

func TestConfigGenerations(t *testing.T) {
	five := edit(`"rope_theta": 500000.0, `, "")
	five = []byte(strings.Replace(string(five), `"rope_scaling": {`, `"rope_parameters": {"rope_theta": 500000.0, `, 1))
	five = []byte(strings.Replace(string(five), "torch_dtype", "dtype", 1))
	a, err := ParseConfig(five)
	if err != nil {
		t.Fatal(err)
	}
	b, _ := ParseConfig([]byte(llama32))
	a.raw, b.raw = nil, nil
	if !reflect.DeepEqual(a, b) {
		t.Errorf("%+v\n%+v", a, b)
	}
	minimal := `{"model_type":"llama","hidden_size":8,"intermediate_size":8,"num_hidden_layers":1,` +
		`"num_attention_heads":2,"vocab_size":9,"rope_scaling":null,"eos_token_id":null}`
	c, err := ParseConfig([]byte(minimal))
	if err != nil {
		t.Fatal(err)
	}
	if c.KVHeads != 2 || c.HeadDim != 4 || c.RopeTheta != 10000 || c.RMSNormEps != 1e-6 || c.DType != "" || c.TieWordEmbeddings ||
		c.EOS != nil {
		t.Errorf("defaults: %+v", c)
	}
	text, err := c.JSON(safetensors.F32)
	if err != nil || !strings.Contains(string(text), `"rope_type": "default"`) {
		t.Errorf("%s (%v)", text, err)
	}
	c.raw = nil // as made in memory
	text, err = c.JSON(safetensors.F32)
	if err != nil {
		t.Fatal(err)
	}
	d, err := ParseConfig(text)
	d.raw, d.DType = nil, ""
	if err != nil || !reflect.DeepEqual(c, d) {
		t.Errorf("written and read: %+v\n%+v (%v)", c, d, err)
	}
}

// What is written is read again as it was, for every family.
func TestConfigRoundTrip(t *testing.T) {
	for name, c := range models() {
		c.EOS = []int{3, 5}
		text, err := c.JSON(safetensors.F32)
		if err != nil {
			t.Fatal(err)
		}
		got, err := ParseConfig(text)
		if err != nil {
			t.Errorf("%s: %v\n%s", name, err, text)
			continue
		}
		got.raw, got.DType = nil, ""
		if !reflect.DeepEqual(got, c) {
			t.Errorf("%s: read back\n%+v, written\n%+v", name, got, c)
		}
	}
}

// Which layers slide, as Hugging Face reads it.
func TestConfigWindows(t *testing.T) {
	for _, c := range []struct {
		modelType, keys string
		want            []int
		err             string
	}{
		{"llama", `"sliding_window": 7`, nil, ""},
		{"mistral", `"sliding_window": 7`, []int{7, 7, 7}, ""},
		{"mistral", `"sliding_window": null`, nil, ""},
		{"mistral", `"bos_token_id": 1`, []int{4096, 4096, 4096}, ""},
		{"qwen2", `"sliding_window": 7`, nil, ""},
		{"qwen2", `"sliding_window": 7, "use_sliding_window": true, "max_window_layers": 1`, []int{0, 7, 7}, ""},
		{"qwen2", `"sliding_window": 7, "use_sliding_window": true, "max_window_layers": 3`, nil, ""},
		{"qwen3", `"sliding_window": 7, "use_sliding_window": true, "layer_types": ["sliding_attention", "full_attention", "sliding_attention"]`, []int{7, 0, 7}, ""},
		{"qwen3", `"layer_types": ["full_attention", "full_attention", "full_attention"]`, nil, ""},
		{"qwen3", `"layer_types": ["full_attention", "sliding_attention", "full_attention"]`, nil, `layer 1 is "sliding_attention"`},
		{"qwen3", `"use_sliding_window": true, "layer_types": ["full_attention"]`, nil, "names 1 layers"},
		{"qwen3", `"use_sliding_window": true, "layer_types": ["full_attention", "chunked_attention", "full_attention"]`, nil, "chunked_attention"},
		{"mistral", `"sliding_window": "x"`, nil, `sliding_window is "x"`},
	} {
		text := `{"model_type": "` + c.modelType + `", "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 3, ` +
			`"num_attention_heads": 2, "vocab_size": 9, ` + c.keys + "}"
		got, err := ParseConfig([]byte(text))
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s %s: error %v, want %q", c.modelType, c.keys, err, c.err)
			}
			continue
		}
		if err != nil || !slices.Equal(got.Windows, c.want) {
			t.Errorf("%s %s: windows %v, want %v (%v)", c.modelType, c.keys, got.Windows, c.want, err)
		}
	}
}

const gpt2 = `{"activation_function": "gelu_new", "architectures": ["GPT2LMHeadModel"], "attn_pdrop": 0.1, "bos_token_id": 50256,
 "embd_pdrop": 0.1, "eos_token_id": 50256, "initializer_range": 0.02, "layer_norm_epsilon": 1e-05, "model_type": "gpt2", "n_ctx": 1024,
 "n_embd": 768, "n_head": 12, "n_layer": 12, "n_positions": 1024, "resid_pdrop": 0.1, "vocab_size": 50257}`

// GPT-2 has other keys, which errors and what is written use too.
func TestConfigGPT2(t *testing.T) {
	c, err := ParseConfig([]byte(gpt2))
	if err != nil {
		t.Fatal(err)
	}
	if n := c.Parameters(); n != 124439808 {
		t.Errorf("%d parameters, GPT-2 has 124439808", n)
	}
	if c.FFN != 3072 || c.HeadDim != 64 || c.KVHeads != 12 || !c.TieWordEmbeddings || c.RMSNormEps != 1e-5 || len(c.Notes) != 3 {
		t.Errorf("%+v", c)
	}
	text, err := c.JSON(safetensors.F32)
	if err != nil || strings.Contains(string(text), "rope") || strings.Contains(string(text), "hidden_size") {
		t.Errorf("written: %s (%v)", text, err)
	}
	for _, x := range []struct{ old, new, want string }{
		{`"n_embd": 768`, `"n_embd": 0`, "n_embd is 0"},
		{`"gelu_new"`, `"relu"`, `activation_function "relu"`},
		{`"n_ctx": 1024`, `"hidden_size": 768`, "hidden_size is given twice, in two spellings"},
		{`"n_ctx": 1024`, `"scale_attn_by_inverse_layer_idx": true`, "scale_attn_by_inverse_layer_idx"},
		{`"n_ctx": 1024`, `"scale_attn_weights": false`, "scale_attn_weights"},
		{`"n_ctx": 1024`, `"add_cross_attention": true`, "add_cross_attention"},
		{`"n_head": 12`, `"n_head": 7`, "hidden_size 768 is not divisible"},
	} {
		if _, err := ParseConfig([]byte(strings.Replace(gpt2, x.old, x.new, 1))); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: error %v, want %q", x.new, err, x.want)
		}
	}
}

func TestConfigRefusals(t *testing.T) {
	for _, c := range []struct{ old, new, want string }{
		{`"model_type": "llama"`, `"model_type": "gemma4"`, `model_type "gemma4" is not supported: supported are gemma, gemma2`},
		{`"model_type": "llama"`, `"mlp_bias": true, "model_type": "qwen2"`, `mlp_bias is given twice`},
		{`"attention_bias": false`, `"sliding_window": 0`, "sliding_window is 0"},
		{`"llama3"`, `"longrope"`, `unknown type "longrope"`},
		{`"pretraining_tp": 1`, `"final_logit_softcapping": 30.0`, "final_logit_softcapping"},
		{`"pretraining_tp": 1`, `"attn_logit_softcapping": 50.0`, "attn_logit_softcapping"},
		{`"pretraining_tp": 1`, `"use_bidirectional_attention": true`, "use_bidirectional_attention"},
		{`"pretraining_tp": 1`, `"rope_parameters": {"full_attention": {"rope_theta": 1.0}}`, "by kind of layer"},
		{`"factor": 32.0`, `"factor": 0`, "factor"},
		{`"bfloat16"`, `"float8_e4m3fn"`, `dtype "float8_e4m3fn"`},
		{`"attention_dropout": 0.0`, `"attention_dropout": 0.1`, "attention_dropout"},
		{`"hidden_act": "silu"`, `"hidden_act": "gelu"`, `hidden_act "gelu"`},
		{`"pretraining_tp": 1`, `"quantization_config": {"bits": 4}`, "quantization_config"},
		{`"pretraining_tp": 1`, `"partial_rotary_factor": 0.1`, "partial_rotary_factor"},
		{`"pretraining_tp": 1`, `"rope_interleaved": true`, "rope_interleaved"},
		{`"pretraining_tp": 1`, `"rope_parameters": {"rope_theta": 10000.0}`, "disagree"},
		{`"pretraining_tp": 1`, `"hidden_size": 2048`, "hidden_size is given twice"},
		{`"hidden_size": 2048`, `"hidden_size": "2048"`, "hidden_size"},
		{`"hidden_size": 2048,`, ``, "hidden_size is 0"},
		{`"hidden_size": 2048`, `"hidden_size": 1e30`, "hidden_size"},
		{`"num_key_value_heads": 8`, `"num_key_value_heads": 7`, "num_key_value_heads"},
		{`"num_key_value_heads": 8`, `"num_key_value_heads": 0`, "num_key_value_heads is 0"},
		{`"head_dim": 64`, `"head_dim": 63`, "head"},
		{`"num_hidden_layers": 16`, `"num_hidden_layers": 9999999`, "num_hidden_layers is 9999999"},
		{`"rms_norm_eps": 1e-05`, `"rms_norm_eps": -1`, "rms_norm_eps"},
		{`128009]`, `128257]`, "outside of vocab_size"},
		{`[128001, 128008, 128009]`, `"</s>"`, "eos_token_id"},
		{`"rope_theta": 500000.0`, `"rope_theta": 0`, "rope_theta"},
		{`"vocab_size": 128256}`, `"vocab_size": 128256`, "EOF"},
		{`{"arch`, `["arch`, "not a JSON object"},
	} {
		text := edit(c.old, c.new)
		if string(text) == llama32 {
			t.Fatalf("%s does not occur", c.old)
		}
		if _, err := ParseConfig(text); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s → %s: error %v, want %q", c.old, c.new, err, c.want)
		}
	}
	if _, err := ReadConfig(t.TempDir()); err == nil {
		t.Error("a folder without config.json is accepted")
	}
}

func TestParamSpecsOrder(t *testing.T) {
	c, _ := ParseConfig([]byte(llama32))
	specs := ParamSpecs(c)
	if first, last := specs[0], specs[len(specs)-1]; first.Name != llamaNorm || last.Name != llamaEmbed || last.Uses != 2 {
		t.Errorf("tied: first %+v, last %+v", first, last)
	}
	c.TieWordEmbeddings = false
	specs = ParamSpecs(c)
	if first, last := specs[0], specs[len(specs)-1]; first.Name != llamaHead || last.Name != llamaEmbed || last.Uses != 1 {
		t.Errorf("untied: first %+v, last %+v", first, last)
	}
	if len(specs) != 16*9+3 {
		t.Errorf("%d parameters", len(specs))
	}
}

func TestNormal(t *testing.T) {
	a, b := make([]float32, 100001), make([]float32, 7)
	normal(a, 1, "w", 0.5)
	normal(b, 1, "w", 0.5)
	if !slices.Equal(a[:6], b[:6]) {
		t.Error("a value depends on the length")
	}
	normal(b, 2, "w", 0.5)
	if slices.Equal(a[:7], b) {
		t.Error("the seed has no effect")
	}
	var sum, squares float64
	for _, v := range a {
		sum += float64(v)
		squares += float64(v) * float64(v)
	}
	n := float64(len(a))
	if mean, sd := sum/n, math.Sqrt(squares/n); math.Abs(mean) > 0.01 || math.Abs(sd-0.5) > 0.01 {
		t.Errorf("mean %v, deviation %v", mean, sd)
	}
}

func FuzzParseConfig(f *testing.F) {
	f.Add([]byte(llama32))
	f.Add([]byte(gpt2))
	f.Add([]byte(`{"model_type":"gemma3_text","hidden_size":8,"intermediate_size":8,"num_hidden_layers":2,` +
		`"num_attention_heads":2,"vocab_size":9}`))
	f.Add([]byte(`{"model_type":"llama","rope_scaling":{"type":"linear","factor":2}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := ParseConfig(text)
		if err != nil {
			return
		}
		out, err := c.JSON(safetensors.F32)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseConfig(out); err != nil {
			t.Fatalf("accepted, written and refused: %v\n%s", err, out)
		}
	})
}
