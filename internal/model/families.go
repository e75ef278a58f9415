package model

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// family is a row of the table of differences: how a model type departs from
// Llama's decoder. A setting that a family leaves to each config.json stands in Config.
type family struct {
	architecture string
	names        *names
	biases       biases            // of the linear maps
	qkNorm       bool              // queries and keys are normalised by head before RoPE
	plusOne      bool              // norms keep their weight less 1
	postNorms    bool              // the terms that attention and MLP add to the residual stream are normalised first
	scaledEmbed  bool              // embeddings are multiplied by √hidden_size
	gelu         bool              // the MLP's activation is GELU in its tanh form, else SiLU
	scalar       bool              // attention is scaled by query_pre_attn_scalar^-½, else head_dim^-½
	softCaps     bool              // config.json may ask for attn_logit_softcapping and final_logit_softcapping
	localRope    bool              // layers that slide have a rotary base of their own
	layerNorm    bool              // norms are LayerNorm with a bias, else RMSNorm
	plain        bool              // the MLP has no gate
	positions    bool              // positions are learned and added to the embeddings, else rotary
	conv1D       bool              // linear weights are (in, out) in files
	tied         bool              // tie_word_embeddings where config.json has none
	theta        float64           // rope_theta where config.json has none; 0 = 10000
	eps          float64           // of the norms where config.json has none; 0 = 1e-6
	keys         map[string]string // config.json's keys that have other names in this family, by the usual ones
	fused        map[string]string // names in files of parameters whose rows lie in one tensor, by their own
	prefix       string            // of all names but the head's, which some files leave out
	buffers      []string          // ends of names in files that hold no parameter
	headDim      int               // head_dim where config.json has none; 0 = hidden_size / num_attention_heads
	slides       slides            // which layers see a window only
}

// biases says which linear maps have one.
type biases int

const (
	keyed     biases = iota // attention_bias: q, k, v, o; mlp_bias: gate, up, down
	qkvBiases               // q, k, v always, others never
	noBiases                // none, and config.json has no key for it
	allBiases               // all have one
)

// slides says how config.json tells the layers with a sliding window.
type slides int

const (
	neverSlides     slides = iota
	allSlide               // sliding_window, all layers; absent means 4096
	allSlideIfGiven        // sliding_window, all layers; absent means none
	qwenSlides             // layer_types, or use_sliding_window with the layers from max_window_layers on
	gemma2Slides           // layer_types, or every second layer, the first to begin with
	gemma3Slides           // layer_types, or all but every sliding_window_pattern-th
)

var families = map[string]family{
	"llama":   {architecture: "LlamaForCausalLM", names: &llamaNames},
	"mistral": {architecture: "MistralForCausalLM", names: &llamaNames, biases: noBiases, slides: allSlide},
	"phi3": {architecture: "Phi3ForCausalLM", names: &llamaNames, biases: noBiases, slides: allSlideIfGiven, eps: 1e-5,
		fused: map[string]string{
			"self_attn.q_proj": "self_attn.qkv_proj", "self_attn.k_proj": "self_attn.qkv_proj", "self_attn.v_proj": "self_attn.qkv_proj",
			"mlp.gate_proj": "mlp.gate_up_proj", "mlp.up_proj": "mlp.gate_up_proj"}},
	"gpt2": {architecture: "GPT2LMHeadModel", names: &gpt2Names, biases: allBiases,
		gelu: true, plain: true, layerNorm: true, positions: true, conv1D: true, tied: true, eps: 1e-5,
		keys: map[string]string{"hidden_size": "n_embd", "intermediate_size": "n_inner", "num_hidden_layers": "n_layer",
			"num_attention_heads":     "n_head",
			"max_position_embeddings": "n_positions", "rms_norm_eps": "layer_norm_epsilon", "hidden_act": "activation_function"},
		fused:  map[string]string{"attn.q": "attn.c_attn", "attn.k": "attn.c_attn", "attn.v": "attn.c_attn"},
		prefix: "transformer.", buffers: []string{".attn.bias", ".attn.masked_bias"}},
	"qwen2": {architecture: "Qwen2ForCausalLM", names: &llamaNames, biases: qkvBiases, slides: qwenSlides},
	"gemma": {architecture: "GemmaForCausalLM", names: &llamaNames, headDim: 256, plusOne: true, scaledEmbed: true, gelu: true, tied: true},
	"gemma2": {architecture: "Gemma2ForCausalLM", names: &gemmaNames, headDim: 256, plusOne: true, scaledEmbed: true, gelu: true,
		tied: true, postNorms: true, scalar: true, softCaps: true, slides: gemma2Slides},
	"gemma3_text": {architecture: "Gemma3ForCausalLM", names: &gemmaNames, headDim: 256, plusOne: true, scaledEmbed: true, gelu: true,
		tied: true, postNorms: true, scalar: true, qkNorm: true, slides: gemma3Slides, localRope: true, theta: 1e6},
	"qwen3": {architecture: "Qwen3ForCausalLM", names: &llamaNames, qkNorm: true, headDim: 128, slides: qwenSlides},
}

// names are a family's names of parameters, without ".weight" or ".bias".
type names struct {
	embedding, positions, norm, head        string
	layer                                   string // before the following, with the layer's number
	attentionNorm, q, k, v, o, qNorm, kNorm string
	attentionPost                           string // after attention, before the residual sum
	mlpNorm, gate, up, down, mlpPost        string
}

var llamaNames = names{
	embedding: "model.embed_tokens", norm: "model.norm", head: "lm_head",
	layer:         "model.layers.%d.",
	attentionNorm: "input_layernorm", q: "self_attn.q_proj", k: "self_attn.k_proj", v: "self_attn.v_proj", o: "self_attn.o_proj",
	qNorm: "self_attn.q_norm", kNorm: "self_attn.k_norm",
	mlpNorm: "post_attention_layernorm", gate: "mlp.gate_proj", up: "mlp.up_proj", down: "mlp.down_proj",
}

// gpt2Names are GPT-2's; its up and down are called c_fc and c_proj.
var gpt2Names = names{
	embedding: "transformer.wte", positions: "transformer.wpe", norm: "transformer.ln_f", head: "lm_head",
	layer:         "transformer.h.%d.",
	attentionNorm: "ln_1", q: "attn.q", k: "attn.k", v: "attn.v", o: "attn.c_proj",
	mlpNorm: "ln_2", up: "mlp.c_fc", down: "mlp.c_proj",
}

// gemmaNames are Gemma 2's and 3's, which use post_attention_layernorm for
// something else than Llama.
var gemmaNames = func() names {
	n := llamaNames
	n.attentionPost, n.mlpNorm, n.mlpPost = "post_attention_layernorm", "pre_feedforward_layernorm", "post_feedforward_layernorm"
	return n
}()

// family is the row of c's model type; Validate refuses others.
func (c Config) family() family { return families[c.ModelType] }

// key is a key of config.json as the family spells it.
func (f family) key(usual string) string {
	if own, ok := f.keys[usual]; ok {
		return own
	}
	return usual
}

// unsupported refuses a model type, with those that are supported.
func unsupported(modelType string) error {
	return fmt.Errorf("model_type %q is not supported: supported are %s", modelType, strings.Join(slices.Sorted(maps.Keys(families)), ", "))
}
