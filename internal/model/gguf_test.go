package model

import (
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"concord/internal/gguf"
	"concord/internal/gguf/gguftest"
	"concord/internal/optest"
	"concord/internal/param"
	"concord/tensor"
)

// llamaCPP is what llama.cpp's converter makes of a model: by the names of its
// documentation and with rows of q and k, of the llama architecture, as
// reshape(heads, 2, d/2).swap(1, 2).
func llamaCPP(c Config, values map[string][]float32) (map[string]any, []gguftest.Tensor) {
	arch := map[string]string{"gemma3_text": "gemma3", "mistral": "llama"}[c.ModelType]
	if arch == "" {
		arch = c.ModelType
	}
	meta := map[string]any{"general.architecture": arch, arch + ".embedding_length": uint32(c.Hidden), arch + ".block_count": uint32(c.Layers),
		arch + ".attention.head_count": uint32(c.Heads), arch + ".attention.head_count_kv": uint32(c.KVHeads), arch + ".feed_forward_length": uint32(c.FFN),
		arch + ".context_length": uint32(c.MaxPositions), arch + ".attention.key_length": uint32(c.HeadDim),
		"tokenizer.ggml.eos_token_id": uint32(3)}
	if arch == "gpt2" {
		meta[arch+".attention.layer_norm_epsilon"] = float32(c.RMSNormEps)
	} else {
		meta[arch+".attention.layer_norm_rms_epsilon"], meta[arch+".rope.freq_base"],
			meta[arch+".rope.dimension_count"] = float32(c.RMSNormEps), float32(c.RopeTheta), uint32(c.rotated())
	}
	if slices.Max(append([]int{0}, c.Windows...)) > 0 {
		meta[arch+".attention.sliding_window"] = uint32(slices.Max(c.Windows))
	}
	if c.AttentionSoftCap > 0 {
		meta[arch+".attn_logit_softcapping"], meta[arch+".final_logit_softcapping"] = float32(c.AttentionSoftCap), float32(c.FinalSoftCap)
	}
	rename := strings.NewReplacer("model.embed_tokens", "token_embd", "model.norm", "output_norm", "lm_head", "output",
		"model.layers.", "blk.", "transformer.h.", "blk.",
		"transformer.wte", "token_embd", "transformer.wpe", "position_embd", "transformer.ln_f", "output_norm", "self_attn.q_norm",
		"attn_q_norm", "self_attn.k_norm", "attn_k_norm",
		"input_layernorm", "attn_norm", "self_attn.q_proj", "attn_q", "self_attn.k_proj", "attn_k", "self_attn.v_proj", "attn_v",
		"self_attn.o_proj", "attn_output",
		"mlp.gate_proj", "ffn_gate", "mlp.up_proj", "ffn_up", "mlp.down_proj", "ffn_down", "ln_1", "attn_norm", "ln_2", "ffn_norm",
		"mlp.c_fc", "ffn_up", "mlp.c_proj", "ffn_down",
		"attn.c_proj", "attn_output", "pre_feedforward_layernorm", "ffn_norm", "post_feedforward_layernorm", "post_ffw_norm",
		"post_attention_layernorm", map[bool]string{true: "post_attention_norm", false: "ffn_norm"}[c.ModelType == "gemma2" ||
			c.ModelType == "gemma3_text"])
	var out []gguftest.Tensor
	at := map[string]int{}
	for _, s := range ParamSpecs(c) {
		v, name := values[s.Name], rename.Replace(s.Name)
		switch {
		case strings.Contains(name, "attn_q.") && arch == "llama":
			v = permuted(v, c.Heads, s)
		case strings.Contains(name, "attn_k.") && arch == "llama":
			v = permuted(v, c.KVHeads, s)
		case s.Kind == param.Norm && strings.HasPrefix(arch, "gemma"):
			v = slices.Clone(v)
			for i := range v {
				v[i]++
			}
		}
		for _, fused := range [][3]string{{"phi3", "attn_q.", "attn_qkv."}, {"phi3", "attn_k.", "attn_qkv."},
			{"phi3", "attn_v.", "attn_qkv."}, {"phi3", "ffn_gate.", "ffn_up."},
			{"gpt2", "attn.q.", "attn_qkv."}, {"gpt2", "attn.k.", "attn_qkv."}, {"gpt2", "attn.v.", "attn_qkv."}} {
			if fused[0] == arch {
				name = strings.Replace(name, fused[1], fused[2], 1)
			}
		}
		if i, ok := at[name]; ok { // rows of several parameters, one after the other
			out[i].Shape[0] += s.Dims()[0]
			out[i].Values = slices.Concat(out[i].Values, v)
			continue
		}
		at[name] = len(out)
		out = append(out, gguftest.Tensor{Name: name, Shape: s.Dims(), Values: v})
	}
	return meta, out
}

func permuted(x []float32, heads int, s Spec) []float32 {
	rows, width := s.Dims()[0], len(x)/s.Dims()[0]
	d := rows / heads
	var out []float32
	for h := range heads {
		for j := range d / 2 {
			for side := range 2 {
				r := h*d + side*(d/2) + j
				out = append(out, x[r*width:(r+1)*width]...)
			}
		}
	}
	return out
}

// importable are the models of which a file keeps all settings.
func importable() map[string]Config {
	out := map[string]Config{}
	for name, c := range models() {
		switch name {
		case "llama, half of a head", "llama, yarn", "qwen2, one layer slides", "mistral, window", "qwen3, biases": // not in such files
			continue
		}
		c.Windows = nil
		if c.ModelType == "gemma2" {
			c.Windows = []int{4, 0}
		}
		if c.ModelType == "gemma3_text" {
			c.Windows, c.LocalRopeTheta = []int{4, 4}, 10000
		}
		if c.QueryScalar > 0 {
			c.QueryScalar = float64(c.HeadDim)
		}
		c.RopeScaling, c.InitializerRange, c.EOS = tensor.RoPEScaling{}, 0.02, []int{3}
		if c.ModelType == "gemma2" && c.AttentionSoftCap == 0 { // llama.cpp's defaults
			c.AttentionSoftCap, c.FinalSoftCap = 50, 30
		}
		if c.ModelType == "mistral" {
			c.ModelType = "llama"
		}
		out[name] = c
	}
	return out
}

// Every family's file gives the configuration and the values that were put in.
func TestGGUF(t *testing.T) {
	for name, c := range importable() {
		values := map[string][]float32{}
		for i, s := range ParamSpecs(c) {
			values[s.Name] = optest.Random(s.Size(), uint64(i+1))
			if s.Kind == param.Norm && strings.HasPrefix(c.ModelType, "gemma") {
				for k := range values[s.Name] { // exact when 1 is added
					values[s.Name][k] = float32(int(values[s.Name][k]*64)) / 64
				}
			}
		}
		meta, tensors := llamaCPP(c, values)
		path := filepath.Join(t.TempDir(), "model.gguf")
		gguftest.Write(t, path, meta, tensors)
		f, err := gguf.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		g, err := ReadGGUF(f)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !reflect.DeepEqual(g.Config, c) {
			t.Errorf("%s: read\n%+v, written\n%+v", name, g.Config, c)
		}
		for _, s := range ParamSpecs(c) {
			got, err := g.Values(s.Name)
			if err != nil {
				t.Fatal(err)
			}
			if at := optest.Bits(got, values[s.Name]); at >= 0 {
				t.Errorf("%s: %s differs at %d", name, s.Name, at)
			}
		}
	}
}

// Llama 3's scaling is found in the factors that a file keeps of it.
func TestGGUFRopeFactors(t *testing.T) {
	c := tiny(true)
	c.RopeTheta, c.HeadDim, c.RopeScaling = 500000, 64,
		tensor.RoPEScaling{Type: "llama3", Factor: 32, LowFreqFactor: 1, HighFreqFactor: 4, OriginalMaxPosition: 8192}
	values := map[string][]float32{}
	for _, s := range ParamSpecs(c) {
		values[s.Name] = make([]float32, s.Size())
	}
	meta, tensors := llamaCPP(c, values)
	plain, _ := tensor.RoPEScaling{}.Frequencies(64, c.RopeTheta)
	scaled, _ := c.RopeScaling.Frequencies(64, c.RopeTheta)
	var factors []float32
	for j := range plain {
		factors = append(factors, float32(plain[j]/scaled[j]))
	}
	for _, broken := range []bool{false, true} {
		if broken {
			factors[20] *= 1.1
		}
		path := filepath.Join(t.TempDir(), "model.gguf")
		gguftest.Write(t, path, meta, append(slices.Clone(tensors),
			gguftest.Tensor{Name: "rope_freqs.weight", Shape: []int{32}, Values: factors}))
		f, err := gguf.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		g, err := ReadGGUF(f)
		if broken != (err != nil && strings.Contains(err.Error(), "not Llama 3's")) {
			t.Errorf("broken %v: %v", broken, err)
		}
		if err == nil && g.Config.RopeScaling != c.RopeScaling {
			t.Errorf("scaling %+v, want %+v", g.Config.RopeScaling, c.RopeScaling)
		}
	}
}

func TestGGUFRefuses(t *testing.T) {
	c := tiny(true)
	values := map[string][]float32{}
	for _, s := range ParamSpecs(c) {
		values[s.Name] = make([]float32, s.Size())
	}
	for _, x := range []struct {
		change func(meta map[string]any, tensors []gguftest.Tensor) []gguftest.Tensor
		want   string
	}{
		{func(m map[string]any, x []gguftest.Tensor) []gguftest.Tensor {
			m["general.architecture"] = "mamba"
			return x
		}, `"mamba" is not supported`},
		{func(m map[string]any, x []gguftest.Tensor) []gguftest.Tensor {
			delete(m, "llama.block_count")
			return x
		}, "llama.block_count is not there"},
		{func(m map[string]any, x []gguftest.Tensor) []gguftest.Tensor {
			m["llama.block_count"] = uint32(1 << 30)
			return x
		}, "num_hidden_layers is 1073741824"},
		{func(m map[string]any, x []gguftest.Tensor) []gguftest.Tensor {
			m["llama.rope.scaling.type"] = "longrope"
			return x
		}, "longrope"},
		{func(m map[string]any, x []gguftest.Tensor) []gguftest.Tensor { return x[1:] }, "there is no tensor output_norm.weight"},
		{func(m map[string]any, x []gguftest.Tensor) []gguftest.Tensor {
			return append(x, gguftest.Tensor{Name: "blk.0.extra", Shape: []int{1}, Values: []float32{1}})
		}, "blk.0.extra is not part of"},
		{func(m map[string]any, x []gguftest.Tensor) []gguftest.Tensor {
			m["llama.feed_forward_length"] = uint32(12)
			return x
		}, "the metadata ask for"},
	} {
		meta, tensors := llamaCPP(c, values)
		path := filepath.Join(t.TempDir(), "model.gguf")
		gguftest.Write(t, path, meta, x.change(meta, tensors))
		f, err := gguf.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := ReadGGUF(f); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("error %v, want %q", err, x.want)
		}
	}
}
