package model

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"

	"concord/internal/peft"
	"concord/internal/safetensors"
	"concord/tensor"
)

// ConfigFile is the name of the configuration in a Hugging Face folder.
const ConfigFile = "config.json"

// Config is the content of a model's config.json. The comments give the key. A thing that is
// the same for all models of a family stands in families instead.
type Config struct {
	ModelType         string  // model_type
	Hidden            int     // hidden_size, C
	FFN               int     // intermediate_size, F
	Layers            int     // num_hidden_layers, L
	Heads             int     // num_attention_heads, H
	KVHeads           int     // num_key_value_heads, default H
	HeadDim           int     // head_dim, default the family's or C/H
	Vocab             int     // vocab_size, V
	MaxPositions      int     // max_position_embeddings, default 2048
	AttentionBias     bool    // attention_bias
	MLPBias           bool    // mlp_bias
	Windows           []int   // by layer, how many tokens it sees, 0 = all; nil = all of all
	RMSNormEps        float64 // rms_norm_eps, default 1e-6
	RopeTheta         float64 // rope_theta or rope_parameters.rope_theta, default 10000
	RopeScaling       tensor.RoPEScaling
	RotaryDim         int               // partial_rotary_factor of HeadDim; 0 = all of it
	LocalRopeTheta    float64           // rope_local_base_freq, of the layers that slide; 0 = one for all
	QueryScalar       float64           // query_pre_attn_scalar; 0 = HeadDim
	AttentionSoftCap  float64           // attn_logit_softcapping; 0 = none
	FinalSoftCap      float64           // final_logit_softcapping; 0 = none
	TieWordEmbeddings bool              // tie_word_embeddings
	InitializerRange  float64           // initializer_range, default 0.02
	DType             safetensors.DType // dtype or torch_dtype; ReadConfig: else that of most weights; "" when unknown
	BOS, EOS          []int             // bos_token_id, eos_token_id: an id, a list or null

	// Adapter is trained in place of the weights; nil = the weights themselves.
	// It stands in no config.json: the files of the model are those of its base.
	Adapter *peft.Config

	// Notes name the keys of the file that have no effect and may be missed, a line each.
	Notes []string

	raw []field // the file's keys in their order, for writing it back
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

// The bounds of a model's sizes: products of two fit an int64, and a hostile
// file cannot ask for absurd memory before its weights are seen.
const (
	maxDim    = 1 << 24
	maxLayers = 1 << 12
)

// Validate reports the first size that cannot be, or that the kernels cannot do.
func (c Config) Validate() error {
	if _, ok := families[c.ModelType]; !ok {
		return unsupported(c.ModelType)
	}
	for _, d := range []struct {
		key    string
		n, max int
	}{{"hidden_size", c.Hidden, maxDim}, {"intermediate_size", c.FFN, maxDim}, {"num_hidden_layers", c.Layers, maxLayers},
		{"num_attention_heads", c.Heads, maxDim}, {"num_key_value_heads", c.KVHeads, maxDim}, {"head_dim", c.HeadDim, maxDim},
		{"vocab_size", c.Vocab, maxDim}, {"max_position_embeddings", c.MaxPositions, maxDim}} {
		if d.n < 1 || d.n > d.max {
			return fmt.Errorf("%s is %d, must be 1 to %d", c.family().key(d.key), d.n, d.max)
		}
	}
	if !(c.RMSNormEps >= 0) || c.RMSNormEps > 1 {
		return fmt.Errorf("rms_norm_eps is %v, must be 0 to 1", c.RMSNormEps)
	}
	if !(c.QueryScalar >= 0) || math.IsInf(c.QueryScalar, 0) {
		return fmt.Errorf("query_pre_attn_scalar is %v, must be positive", c.QueryScalar)
	}
	for key, v := range map[string]float64{"attn_logit_softcapping": c.AttentionSoftCap, "final_logit_softcapping": c.FinalSoftCap} {
		if v != 0 && !(v >= 1e-3 && v <= 1e6) {
			return fmt.Errorf("%s is %v, must be null or 0.001 to 1000000", key, v)
		}
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
