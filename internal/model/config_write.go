package model

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"concord/internal/safetensors"
)

// JSON is the config.json to save next to weights of type dtype. A file that
// was read is carried over, unknown keys and order included, with these
// changes: dtype and torch_dtype say the type that is saved, and the rotary settings are
// spelled for both generations of readers (rope_theta, rope_scaling and
// rope_parameters), as one that misses them silently uses theta 10000.
func (c Config) JSON(dtype safetensors.DType) ([]byte, error) {
	out := slices.Clone(c.raw)
	if out == nil {
		out = c.fields()
	}
	for _, key := range []string{"torch_dtype", "dtype"} {
		out = set(out, key, dtype.Torch(), true)
	}
	out = c.ropeFields(out)

	var b bytes.Buffer
	b.WriteByte('{')
	for i, f := range out {
		if i > 0 {
			b.WriteByte(',')
		}
		key, err := json.Marshal(f.key)
		if err != nil {
			return nil, fmt.Errorf("model: %s: %w", ConfigFile, err)
		}
		b.Write(key)
		b.WriteByte(':')
		b.Write(f.value)
	}
	b.WriteByte('}')
	var indented bytes.Buffer
	if err := json.Indent(&indented, b.Bytes(), "", "  "); err != nil {
		return nil, fmt.Errorf("model: %s: %w", ConfigFile, err)
	}
	indented.WriteByte('\n')
	return indented.Bytes(), nil
}

// decimal is written with a decimal point or exponent even when whole, as
// readers in typed languages check that these settings are floats.
type decimal float64

// MarshalJSON implements json.Marshaler.
func (d decimal) MarshalJSON() ([]byte, error) {
	text, err := json.Marshal(float64(d))
	if err == nil && !bytes.ContainsAny(text, ".eE") {
		text = append(text, ".0"...)
	}
	return text, err
}

// fields spells a configuration that was not read from a file.
func (c Config) fields() []field {
	var out []field
	for _, f := range []struct {
		key   string
		value any
	}{
		{"architectures", []string{c.family().architecture}}, {"attention_bias", c.AttentionBias}, {"bos_token_id", ids(c.BOS)},
		{"eos_token_id", ids(c.EOS)}, {"head_dim", c.HeadDim}, {"hidden_size", c.Hidden},
		{"initializer_range", c.InitializerRange}, {"intermediate_size", c.FFN}, {"max_position_embeddings", c.MaxPositions},
		{"mlp_bias", c.MLPBias}, {"model_type", c.ModelType}, {"num_attention_heads", c.Heads}, {"num_hidden_layers", c.Layers},
		{"num_key_value_heads", c.KVHeads}, {"rms_norm_eps", c.RMSNormEps}, {"tie_word_embeddings", c.TieWordEmbeddings},
		{"vocab_size", c.Vocab},
	} {
		out = set(out, c.family().key(f.key), f.value, true)
	}
	switch f := c.family(); {
	case f.plain:
		out = set(out, f.key("hidden_act"), "gelu_new", true)
	case f.gelu:
		out = set(out, "hidden_act", "gelu_pytorch_tanh", true)
		out = set(out, "hidden_activation", "gelu_pytorch_tanh", true)
	default:
		out = set(out, "hidden_act", "silu", true)
	}
	if c.family().scalar {
		out = set(out, "query_pre_attn_scalar", c.QueryScalar, true)
	}
	if c.family().softCaps {
		out = set(out, "attn_logit_softcapping", orNull(c.AttentionSoftCap), true)
		out = set(out, "final_logit_softcapping", orNull(c.FinalSoftCap), true)
	}
	return c.windowFields(out)
}

// orNull is x, null for 0.
func orNull(x float64) any {
	if x == 0 {
		return nil
	}
	return decimal(x)
}

// windowFields spells the sliding layers.
func (c Config) windowFields(out []field) []field {
	if c.family().slides == neverSlides {
		return out
	}
	var types []string
	var width any
	for i := range c.Layers {
		kind := fullLayer
		if w := c.window(i); w > 0 {
			kind, width = slidingLayer, w
		}
		types = append(types, kind)
	}
	out = set(out, "sliding_window", width, true)
	if s := c.family().slides; s == allSlide || s == allSlideIfGiven {
		return out
	}
	if c.family().slides == qwenSlides {
		out = set(out, "use_sliding_window", width != nil, true)
	}
	return set(out, "layer_types", types, true)
}

func ids(list []int) any {
	switch len(list) {
	case 0:
		return nil
	case 1:
		return list[0]
	}
	return list
}

// set gives key a value; an existing one is changed only with replace, or when
// it is null.
func set(fs []field, key string, value any, replace bool) []field {
	text, err := json.Marshal(value)
	if err != nil {
		panic("model: config " + key + ": " + err.Error()) // numbers and strings only
	}
	for i := range fs {
		if fs[i].key == key {
			if replace || string(fs[i].value) == "null" {
				fs[i].value = text
			}
			return fs
		}
	}
	return append(fs, field{key, text})
}

// field is one top-level key of config.json with its value's bytes.
type field struct {
	key   string
	value json.RawMessage
}

// fields splits a JSON object into its keys in file order. A key given twice is
// an error: readers differ in which one they take.
func fields(text []byte) ([]field, error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	open, err := dec.Token()
	if err != nil {
		return nil, err
	}
	if open != json.Delim('{') {
		return nil, errors.New("is not a JSON object")
	}
	out := []field{}
	for dec.More() {
		k, err := dec.Token()
		if err != nil {
			return nil, err
		}
		f := field{key: k.(string)} // the decoder accepts nothing else here
		if err := dec.Decode(&f.value); err != nil {
			return nil, fmt.Errorf("%s: %w", f.key, err)
		}
		if slices.ContainsFunc(out, func(g field) bool { return g.key == f.key }) {
			return nil, fmt.Errorf("%s is given twice", f.key)
		}
		out = append(out, f)
	}
	if _, err := dec.Token(); err != nil {
		return nil, err
	}
	return out, nil
}
