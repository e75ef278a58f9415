package model

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"concord/internal/safetensors"
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
	null             map[string]bool // keys that are there and null
	BOS              json.RawMessage `json:"bos_token_id"`
	EOS              json.RawMessage `json:"eos_token_id"`

	Window          json.RawMessage `json:"sliding_window"` // null and absent differ
	UseWindow       bool            `json:"use_sliding_window"`
	MaxWindowLayers *int            `json:"max_window_layers"`
	LayerTypes      []string        `json:"layer_types"`

	HiddenActivation *string  `json:"hidden_activation"`
	HiddenAct        *string  `json:"hidden_act"`
	PartialRotary    *float64 `json:"partial_rotary_factor"`
	LocalTheta       *float64 `json:"rope_local_base_freq"`
	QueryScalar      *float64 `json:"query_pre_attn_scalar"`
	AttentionSoftCap *float64 `json:"attn_logit_softcapping"`
	FinalSoftCap     *float64 `json:"final_logit_softcapping"`
	WindowPattern    *int     `json:"sliding_window_pattern"`

	AttentionPDrop float64 `json:"attn_pdrop"`
	EmbeddingPDrop float64 `json:"embd_pdrop"`
	ResidualPDrop  float64 `json:"resid_pdrop"`

	// Features that the layers do not compute must be absent or switched off.
	ScaleWeights     *bool           `json:"scale_attn_weights"`
	ScaleByLayer     bool            `json:"scale_attn_by_inverse_layer_idx"`
	CrossAttention   bool            `json:"add_cross_attention"`
	AttentionDropout float64         `json:"attention_dropout"`
	RopeInterleaved  bool            `json:"rope_interleaved"`
	Quantization     json.RawMessage `json:"quantization_config"`
	Bidirectional    bool            `json:"use_bidirectional_attention"`
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
	if text, err = usualKeys(raw); err != nil {
		return Config{}, err
	}
	if err := json.Unmarshal(text, &f); err != nil {
		return Config{}, err
	}
	f.null = map[string]bool{}
	for _, x := range raw {
		f.null[x.key] = string(x.value) == "null"
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
		RMSNormEps:        or(f.RMSNormEps, cmp.Or(family.eps, 1e-6)),
		TieWordEmbeddings: or(f.Tie, family.tied),
		InitializerRange:  or(f.InitializerRange, 0.02),
		raw:               raw,
	}
	if family.plain && c.FFN == 0 { // n_inner null
		c.FFN = min(4*c.Hidden, maxDim)
	}
	c.Notes = f.notes()
	if c.HeadDim, err = f.headDim(family); err != nil {
		return Config{}, err
	}
	if c.Windows, err = f.windows(family); err != nil {
		return Config{}, err
	}
	if !family.positions {
		if err := f.readRope(&c, family); err != nil {
			return Config{}, err
		}
	}
	if family.scalar {
		if c.QueryScalar = or(f.QueryScalar, 256); c.QueryScalar == 0 {
			return Config{}, errors.New("query_pre_attn_scalar is 0, must be positive")
		}
	}
	if family.softCaps {
		c.AttentionSoftCap = f.softCap("attn_logit_softcapping", f.AttentionSoftCap, 50)
		c.FinalSoftCap = f.softCap("final_logit_softcapping", f.FinalSoftCap, 30)
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

// usualKeys is the file with the keys that a family spells in its own way as the
// others spell them.
func usualKeys(raw []field) ([]byte, error) {
	var modelType string
	for _, f := range raw {
		if f.key == "model_type" {
			json.Unmarshal(f.value, &modelType) // a value that is no string is no family either
		}
	}
	usual := map[string]string{}
	for k, own := range families[modelType].keys {
		usual[own] = k
	}
	all := map[string]json.RawMessage{}
	for _, f := range raw {
		key := f.key
		if k, ok := usual[key]; ok {
			key = k
		}
		if _, ok := all[key]; ok {
			return nil, fmt.Errorf("%s is given twice, in two spellings", key)
		}
		all[key] = f.value
	}
	return json.Marshal(all)
}

// notes name the keys of the file that have no effect and may be missed.
func (f *fileConfig) notes() []string {
	var out []string
	for _, d := range []struct {
		key   string
		value float64
	}{{"attn_pdrop", f.AttentionPDrop}, {"embd_pdrop", f.EmbeddingPDrop}, {"resid_pdrop", f.ResidualPDrop}} {
		if d.value != 0 {
			out = append(out, fmt.Sprintf("%s: %s %v has no effect: there is no dropout but an adapter's; %s 0 says so",
				ConfigFile, d.key, d.value, d.key))
		}
	}
	return out
}

func or[T any](p *T, absent T) T {
	if p == nil {
		return absent
	}
	return *p
}

// refuse names the first setting that the layers do not implement.
func (f *fileConfig) refuse(family family) error {
	if err := f.checkActivation(family); err != nil {
		return err
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
	case f.FinalSoftCap != nil && !family.softCaps:
		return fmt.Errorf("final_logit_softcapping %v is not supported in a %s model", *f.FinalSoftCap, f.ModelType)
	case f.AttentionSoftCap != nil && !family.softCaps:
		return fmt.Errorf("attn_logit_softcapping %v is not supported in a %s model", *f.AttentionSoftCap, f.ModelType)
	case f.ModelType == "phi3" && (f.ropeType() == "yarn" || f.ropeType() == "su"):
		return fmt.Errorf("rope_scaling type %q of a phi3 model is longrope, which is not supported", f.ropeType())
	case !or(f.ScaleWeights, true):
		return errors.New("scale_attn_weights false is not supported")
	case f.ScaleByLayer:
		return errors.New("scale_attn_by_inverse_layer_idx true is not supported")
	case f.CrossAttention:
		return errors.New("add_cross_attention true is not supported")
	case f.Bidirectional:
		return errors.New("use_bidirectional_attention true is not supported: attention is causal")
	case len(f.Quantization) > 0 && string(f.Quantization) != "null":
		return errors.New("quantization_config: quantized models are not supported: use the float weights")
	}
	return nil
}

// checkActivation refuses an activation other than the family's.
func (f *fileConfig) checkActivation(family family) error {
	key, act := "hidden_act", f.HiddenAct
	if f.HiddenActivation != nil { // Gemma's, which takes precedence
		key, act = "hidden_activation", f.HiddenActivation
	}
	want := []string{"silu", "swish"}
	if family.gelu {
		want = []string{"gelu_pytorch_tanh", "gelu_new"}
	}
	if act != nil && !slices.Contains(want, *act) {
		return fmt.Errorf("%s %q is not supported in a %s model: supported is %q", family.key(key), *act, f.ModelType, want[0])
	}
	return nil
}

// softCap is a cap that is in the family's models unless null switches it off.
func (f *fileConfig) softCap(key string, given *float64, absent float64) float64 {
	if given == nil && !f.null[key] {
		return absent
	}
	return or(given, 0)
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
	null := string(f.Window) == "null" || len(f.Window) == 0 && family.slides == allSlideIfGiven
	if null && family.localRope {
		return nil, errors.New("sliding_window null is not supported: layers that slide need a width")
	}
	if f.Layers < 1 || f.Layers > maxLayers { // Validate says so
		return nil, nil
	}
	slide := func(int) bool { return true }
	switch {
	case family.slides == neverSlides, null, family.slides == qwenSlides && !f.UseWindow:
		return nil, f.checkLayerTypes(func(int) bool { return false })
	case family.slides == qwenSlides:
		slide = func(i int) bool { return i >= or(f.MaxWindowLayers, 28) }
	case family.slides == gemma2Slides:
		slide = func(i int) bool { return i%2 == 0 }
	case family.slides == gemma3Slides:
		pattern := or(f.WindowPattern, 6)
		if pattern < 1 {
			return nil, fmt.Errorf("sliding_window_pattern is %d, must be at least 1", pattern)
		}
		slide = func(i int) bool { return (i+1)%pattern != 0 }
	}
	if family.slides != allSlide && family.slides != allSlideIfGiven && f.LayerTypes != nil {
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
