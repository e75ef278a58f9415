package model

import (
	"encoding/json"
	"errors"
	"fmt"

	"concord/internal/safetensors"
	"concord/tensor"
)

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
	AttentionBias    bool            `json:"attention_bias"`
	MLPBias          bool            `json:"mlp_bias"`
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

	Window          json.RawMessage `json:"sliding_window"` // null and absent differ
	UseWindow       bool            `json:"use_sliding_window"`
	MaxWindowLayers *int            `json:"max_window_layers"`
	LayerTypes      []string        `json:"layer_types"`

	// What the layers do not compute must be absent or switched off.
	HiddenAct         *string         `json:"hidden_act"`
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

// ParseConfig parses config.json of a supported family, of both generations
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
	family, ok := families[f.ModelType]
	if !ok {
		return Config{}, unsupported(f.ModelType)
	}
	if err := f.refuse(family); err != nil {
		return Config{}, err
	}
	c := Config{
		ModelType: f.ModelType, Hidden: f.Hidden, FFN: f.FFN, Layers: f.Layers, Heads: f.Heads, Vocab: f.Vocab,
		KVHeads:           or(f.KVHeads, f.Heads),
		MaxPositions:      or(f.MaxPositions, 2048),
		AttentionBias:     f.AttentionBias,
		MLPBias:           f.MLPBias,
		RMSNormEps:        or(f.RMSNormEps, 1e-6),
		TieWordEmbeddings: or(f.Tie, false),
		InitializerRange:  or(f.InitializerRange, 0.02),
		raw:               raw,
	}
	if c.HeadDim, err = f.headDim(family); err != nil {
		return Config{}, err
	}
	if c.Windows, err = f.windows(family); err != nil {
		return Config{}, err
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

// refuse names the first setting that the layers do not implement.
func (f *fileConfig) refuse(family family) error {
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
	case f.AttentionBias && family.biases != keyed:
		return fmt.Errorf("attention_bias true is not supported in a %s model", f.ModelType)
	case f.MLPBias && f.ModelType != "llama":
		return fmt.Errorf("mlp_bias true is not supported in a %s model", f.ModelType)
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

func (f *fileConfig) headDim(family family) (int, error) {
	switch {
	case f.HeadDim != nil:
		return *f.HeadDim, nil
	case family.headDim > 0:
		return family.headDim, nil
	case f.Heads > 0 && f.Hidden%f.Heads == 0:
		return f.Hidden / f.Heads, nil
	}
	return 0, fmt.Errorf("hidden_size %d is not divisible by num_attention_heads %d, and there is no head_dim", f.Hidden, f.Heads)
}

// windows is Config.Windows.
func (f *fileConfig) windows(family family) ([]int, error) {
	width := 4096
	if len(f.Window) > 0 {
		if err := json.Unmarshal(f.Window, &width); err != nil || string(f.Window) != "null" && (width < 1 || width > maxDim) {
			return nil, fmt.Errorf("sliding_window is %s, must be null or a number of tokens from 1", f.Window)
		}
	}
	null := string(f.Window) == "null"
	if f.Layers < 1 || f.Layers > maxLayers { // Validate says so
		return nil, nil
	}
	slide := func(int) bool { return true }
	switch {
	case family.slides == neverSlides, null, family.slides == qwenSlides && !f.UseWindow:
		return nil, f.checkLayerTypes(func(int) bool { return false })
	case family.slides == qwenSlides:
		slide = func(i int) bool { return i >= or(f.MaxWindowLayers, 28) }
	}
	if family.slides != allSlide && f.LayerTypes != nil {
		if len(f.LayerTypes) != f.Layers {
			return nil, fmt.Errorf("layer_types names %d layers, num_hidden_layers is %d", len(f.LayerTypes), f.Layers)
		}
		slide = func(i int) bool { return f.LayerTypes[i] == slidingLayer }
	}
	out, any := make([]int, f.Layers), false
	for i := range out {
		if slide(i) {
			out[i], any = width, true
		}
	}
	if !any {
		out = nil
	}
	return out, f.checkLayerTypes(slide)
}

const (
	fullLayer    = "full_attention"
	slidingLayer = "sliding_attention"
)

// checkLayerTypes refuses layer_types that say something else than slide.
func (f *fileConfig) checkLayerTypes(slide func(int) bool) error {
	for i, kind := range f.LayerTypes {
		want := fullLayer
		if slide(i) {
			want = slidingLayer
		}
		if kind != want {
			return fmt.Errorf("layer_types: layer %d is %q, sliding_window and use_sliding_window make it %q", i, kind, want)
		}
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
