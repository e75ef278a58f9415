package model

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"concord/internal/safetensors"
	"concord/tensor"
)

// ConfigFile is the name of the configuration in a Hugging Face folder.
const ConfigFile = "config.json"

// Config is what config.json says of a model. The comments give the key.
type Config struct {
	ModelType         string  // model_type: "llama"
	Hidden            int     // hidden_size, C
	FFN               int     // intermediate_size, F
	Layers            int     // num_hidden_layers, L
	Heads             int     // num_attention_heads, H
	KVHeads           int     // num_key_value_heads, default H
	HeadDim           int     // head_dim, default C/H
	Vocab             int     // vocab_size, V
	MaxPositions      int     // max_position_embeddings, default 2048
	RMSNormEps        float64 // rms_norm_eps, default 1e-6
	RopeTheta         float64 // rope_theta or rope_parameters.rope_theta, default 10000
	RopeScaling       tensor.RoPEScaling
	TieWordEmbeddings bool              // tie_word_embeddings
	InitializerRange  float64           // initializer_range, default 0.02
	DType             safetensors.DType // dtype or torch_dtype; ReadConfig: else that of most weights; "" when unknown
	BOS, EOS          []int             // bos_token_id, eos_token_id: an id, a list or null

	raw []field // the file's keys in their order, for writing it back
}

// field is one top-level key of config.json with its value's bytes.
type field struct {
	key   string
	value json.RawMessage
}

// ReadConfig reads dir/config.json. See ParseConfig.
func ReadConfig(dir string) (Config, error) {
	path := filepath.Join(dir, ConfigFile)
	text, err := os.ReadFile(path)
	if err != nil {
		return Config{}, fmt.Errorf("model: %w", err)
	}
	c, err := ParseConfig(text)
	if err != nil {
		return Config{}, fmt.Errorf("model: %s: %w", path, err)
	}
	if c.DType == "" {
		c.DType = weightsDType(dir)
	}
	return c, nil
}

// fileConfig mirrors config.json; pointers tell absent from zero.
type fileConfig struct {
	ModelType        string          `json:"model_type"`
	Hidden           int             `json:"hidden_size"`
	FFN              int             `json:"intermediate_size"`
	Layers           int             `json:"num_hidden_layers"`
	Heads            int             `json:"num_attention_heads"`
	KVHeads          *int            `json:"num_key_value_heads"`
	HeadDim          *int            `json:"head_dim"`
	Vocab            int             `json:"vocab_size"`
	MaxPositions     *int            `json:"max_position_embeddings"`
	RMSNormEps       *float64        `json:"rms_norm_eps"`
	RopeTheta        *float64        `json:"rope_theta"`
	RopeScaling      *fileRope       `json:"rope_scaling"`
	RopeParameters   *fileRope       `json:"rope_parameters"`
	Tie              *bool           `json:"tie_word_embeddings"`
	InitializerRange *float64        `json:"initializer_range"`
	DType            *string         `json:"dtype"`
	TorchDType       *string         `json:"torch_dtype"`
	BOS              json.RawMessage `json:"bos_token_id"`
	EOS              json.RawMessage `json:"eos_token_id"`

	// What llama.go does not compute must be absent or switched off.
	HiddenAct         *string         `json:"hidden_act"`
	AttentionBias     bool            `json:"attention_bias"`
	MLPBias           bool            `json:"mlp_bias"`
	AttentionDropout  float64         `json:"attention_dropout"`
	PartialRotary     *float64        `json:"partial_rotary_factor"`
	RopeInterleaved   bool            `json:"rope_interleaved"`
	Quantization      json.RawMessage `json:"quantization_config"`
	LogitsSoftcapping *float64        `json:"final_logit_softcapping"`
}

type fileRope struct {
	RopeType     *string  `json:"rope_type"`
	Type         *string  `json:"type"` // the older spelling
	Theta        *float64 `json:"rope_theta"`
	Factor       float64  `json:"factor"`
	Low          float64  `json:"low_freq_factor"`
	High         float64  `json:"high_freq_factor"`
	Original     float64  `json:"original_max_position_embeddings"`
	PartialRoton *float64 `json:"partial_rotary_factor"`
}

// ParseConfig parses config.json of a Llama-family model, of both generations
// (rope_theta, rope_scaling, torch_dtype; rope_parameters, dtype). Everything
// that would change the mathematics and is not implemented is refused by name.
func ParseConfig(text []byte) (Config, error) {
	raw, err := fields(text)
	if err != nil {
		return Config{}, err
	}
	var f fileConfig
	if err := json.Unmarshal(text, &f); err != nil {
		return Config{}, err
	}
	if f.ModelType != "llama" {
		return Config{}, fmt.Errorf("model_type %q is not supported: supported is \"llama\" (Llama 2 and 3, SmolLM2, TinyLlama)", f.ModelType)
	}
	if err := f.refuse(); err != nil {
		return Config{}, err
	}
	c := Config{
		ModelType: f.ModelType, Hidden: f.Hidden, FFN: f.FFN, Layers: f.Layers, Heads: f.Heads, Vocab: f.Vocab,
		KVHeads:           or(f.KVHeads, f.Heads),
		MaxPositions:      or(f.MaxPositions, 2048),
		RMSNormEps:        or(f.RMSNormEps, 1e-6),
		TieWordEmbeddings: or(f.Tie, false),
		InitializerRange:  or(f.InitializerRange, 0.02),
		raw:               raw,
	}
	if f.HeadDim != nil {
		c.HeadDim = *f.HeadDim
	} else if f.Heads > 0 && f.Hidden%f.Heads == 0 {
		c.HeadDim = f.Hidden / f.Heads
	} else {
		return Config{}, fmt.Errorf("hidden_size %d is not divisible by num_attention_heads %d, and there is no head_dim", f.Hidden, f.Heads)
	}
	if c.RopeTheta, c.RopeScaling, err = f.rope(); err != nil {
		return Config{}, err
	}
	if c.DType, err = f.dtype(); err != nil {
		return Config{}, err
	}
	if c.BOS, err = tokenIDs("bos_token_id", f.BOS); err != nil {
		return Config{}, err
	}
	if c.EOS, err = tokenIDs("eos_token_id", f.EOS); err != nil {
		return Config{}, err
	}
	return c, c.Validate()
}

func or[T any](p *T, absent T) T {
	if p == nil {
		return absent
	}
	return *p
}

// refuse names the first setting that llama.go does not implement.
func (f *fileConfig) refuse() error {
	if act := or(f.HiddenAct, "silu"); act != "silu" && act != "swish" {
		return fmt.Errorf("hidden_act %q is not supported: supported is \"silu\"", act)
	}
	partial := []*float64{f.PartialRotary}
	for _, r := range []*fileRope{f.RopeScaling, f.RopeParameters} {
		if r != nil {
			partial = append(partial, r.PartialRoton)
		}
	}
	for _, p := range partial {
		if or(p, 1) != 1 {
			return fmt.Errorf("partial_rotary_factor %v is not supported: only 1 is", *p)
		}
	}
	switch {
	case f.AttentionBias:
		return errors.New("attention_bias true is not supported: projections have no biases")
	case f.MLPBias:
		return errors.New("mlp_bias true is not supported: projections have no biases")
	case f.AttentionDropout != 0:
		return fmt.Errorf("attention_dropout %v is not supported: set it to 0", f.AttentionDropout)
	case f.RopeInterleaved:
		return errors.New("rope_interleaved true is not supported: only the half-split convention is")
	case f.LogitsSoftcapping != nil:
		return fmt.Errorf("final_logit_softcapping %v is not supported", *f.LogitsSoftcapping)
	case len(f.Quantization) > 0 && string(f.Quantization) != "null":
		return errors.New("quantization_config: quantized models are not supported: use the float weights")
	}
	return nil
}

// rope merges the two generations' keys. When both are present they must agree.
func (f *fileConfig) rope() (theta float64, s tensor.RoPEScaling, err error) {
	theta = or(f.RopeTheta, 10000)
	if f.RopeScaling != nil {
		s = f.RopeScaling.scaling()
	}
	if p := f.RopeParameters; p != nil {
		switch {
		case p.Theta != nil && f.RopeTheta != nil && *p.Theta != *f.RopeTheta:
			return 0, s, fmt.Errorf("rope_parameters.rope_theta %v and rope_theta %v disagree", *p.Theta, *f.RopeTheta)
		case f.RopeScaling != nil && p.scaling() != s:
			return 0, s, fmt.Errorf("rope_parameters %+v and rope_scaling %+v disagree", p.scaling(), s)
		}
		theta, s = or(p.Theta, theta), p.scaling()
	}
	if !(theta > 0) {
		return 0, s, fmt.Errorf("rope_theta %v must be positive", theta)
	}
	if err := s.Validate(); err != nil {
		return 0, s, fmt.Errorf("rope_type: %w", err)
	}
	return theta, s, nil
}

func (r *fileRope) scaling() tensor.RoPEScaling {
	kind := or(r.RopeType, or(r.Type, "default"))
	s := tensor.RoPEScaling{Type: kind, Factor: r.Factor, LowFreqFactor: r.Low, HighFreqFactor: r.High, OriginalMaxPosition: r.Original}
	switch kind {
	case "default":
		return tensor.RoPEScaling{}
	case "linear": // the other fields mean nothing to it
		return tensor.RoPEScaling{Type: kind, Factor: r.Factor}
	}
	return s
}

func (f *fileConfig) dtype() (safetensors.DType, error) {
	name := or(f.DType, or(f.TorchDType, ""))
	if name == "" || name == "auto" {
		return "", nil
	}
	d, err := safetensors.ParseDType(name)
	if err != nil {
		return "", fmt.Errorf("dtype %q is not supported: supported are float32, float16 and bfloat16", name)
	}
	return d, nil
}

// tokenIDs reads null, an id or a list of ids.
func tokenIDs(key string, raw json.RawMessage) ([]int, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	var one int
	if json.Unmarshal(raw, &one) == nil {
		return []int{one}, nil
	}
	var many []int
	if err := json.Unmarshal(raw, &many); err != nil {
		return nil, fmt.Errorf("%s is %s, not a token id or a list of them", key, raw)
	}
	return many, nil
}

// The bounds of a model's sizes: products of two fit an int64, and a hostile
// file cannot ask for absurd memory before its weights are seen.
const (
	maxDim    = 1 << 24
	maxLayers = 1 << 12
)

// Validate reports the first size that cannot be, or that the kernels cannot do.
func (c Config) Validate() error {
	for _, d := range []struct {
		key    string
		n, max int
	}{{"hidden_size", c.Hidden, maxDim}, {"intermediate_size", c.FFN, maxDim}, {"num_hidden_layers", c.Layers, maxLayers},
		{"num_attention_heads", c.Heads, maxDim}, {"num_key_value_heads", c.KVHeads, maxDim}, {"head_dim", c.HeadDim, maxDim},
		{"vocab_size", c.Vocab, maxDim}, {"max_position_embeddings", c.MaxPositions, maxDim}} {
		if d.n < 1 || d.n > d.max {
			return fmt.Errorf("%s is %d, must be 1 to %d", d.key, d.n, d.max)
		}
	}
	if !(c.RMSNormEps >= 0) || c.RMSNormEps > 1 {
		return fmt.Errorf("rms_norm_eps is %v, must be 0 to 1", c.RMSNormEps)
	}
	if !(c.InitializerRange >= 0) {
		return fmt.Errorf("initializer_range is %v, must not be negative", c.InitializerRange)
	}
	if err := c.attention().Validate(); err != nil {
		return fmt.Errorf("num_attention_heads, num_key_value_heads, head_dim: %w", err)
	}
	for _, id := range append(append([]int{}, c.BOS...), c.EOS...) {
		if id < 0 || id >= c.Vocab {
			return fmt.Errorf("bos_token_id or eos_token_id %d is outside of vocab_size %d", id, c.Vocab)
		}
	}
	return nil
}

// String is one line: family, parameters, sizes.
func (c Config) String() string {
	tied := ""
	if c.TieWordEmbeddings {
		tied = " (tied)"
	}
	return fmt.Sprintf("%s %s parameters%s: hidden %d, %d layers, %d heads, %d key heads, ffn %d, vocabulary %d",
		c.ModelType, count(c.Parameters()), tied, c.Hidden, c.Layers, c.Heads, c.KVHeads, c.FFN, c.Vocab)
}

func count(n int64) string {
	switch {
	case n >= 1e9:
		return strings.TrimSuffix(fmt.Sprintf("%.1f", float64(n)/1e9), ".0") + "B"
	case n >= 1e6:
		return strings.TrimSuffix(fmt.Sprintf("%.1f", float64(n)/1e6), ".0") + "M"
	}
	return fmt.Sprintf("%.0fk", float64(n)/1e3)
}
