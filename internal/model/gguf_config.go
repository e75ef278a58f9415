package model

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"concord/internal/gguf"
	"concord/tensor"
)

// ggufReader reads keys of one architecture and keeps the first error.
type ggufReader struct {
	f    *gguf.File
	arch string
	err  error
}

// number is a key's value, absent where it is missing; nil = it must be there.
func (r *ggufReader) number(key string, absent *float64) float64 {
	v, err := r.f.Float(r.arch + key)
	if errors.Is(err, gguf.ErrMissing) && absent != nil {
		return *absent
	}
	if err != nil && r.err == nil {
		r.err = err
	}
	return v
}

func (r *ggufReader) must(key string) int { return int(r.number(key, nil)) }

func (r *ggufReader) or(key string, absent float64) float64 { return r.number(key, &absent) }

// ggufConfig is the configuration that f's metadata make.
func ggufConfig(f *gguf.File) (Config, error) {
	arch, ok := gguf.Value[string](f, "general.architecture")
	if !ok {
		return Config{}, errors.New("there is no general.architecture")
	}
	c := Config{ModelType: arch, InitializerRange: 0.02}
	if t := ggufTypes[arch]; t != "" {
		c.ModelType = t
	}
	family, ok := families[c.ModelType]
	if !ok {
		return Config{}, fmt.Errorf("general.architecture: %w", unsupported(arch))
	}
	r := &ggufReader{f: f, arch: arch}
	c.Hidden, c.Layers, c.Heads = r.must(".embedding_length"), r.must(".block_count"), r.must(".attention.head_count")
	c.FFN, c.MaxPositions = r.must(".feed_forward_length"), r.must(".context_length")
	c.KVHeads = int(r.or(".attention.head_count_kv", float64(c.Heads)))
	c.HeadDim = int(r.or(".attention.key_length", float64(c.Hidden/max(c.Heads, 1))))
	eps := ".attention.layer_norm_rms_epsilon"
	if family.layerNorm {
		eps = ".attention.layer_norm_epsilon"
	}
	c.RMSNormEps = single(r.number(eps, nil))
	embedding, ok := f.Tensor("token_embd.weight")
	if !ok || len(embedding.Shape) != 2 {
		return Config{}, errors.New("there is no matrix token_embd.weight")
	}
	_, head := f.Tensor("output.weight")
	c.Vocab, c.TieWordEmbeddings = embedding.Shape[0], !head
	_, c.AttentionBias = f.Tensor("blk.0.attn_output.bias")
	_, c.MLPBias = f.Tensor("blk.0.ffn_down.bias")
	c.AttentionBias, c.MLPBias = c.AttentionBias && family.biases == keyed, c.MLPBias && c.ModelType == "llama"
	r.specials(&c, family)
	if r.err == nil {
		r.err = r.rope(&c, family)
	}
	if r.err != nil {
		return Config{}, r.err
	}
	return c, c.Validate()
}

// single is a float32 of the file as the decimal number that was meant: 1e-5 and
// not 9.99999974738e-06.
func single(v float64) float64 {
	var out float64
	fmt.Sscan(fmt.Sprint(float32(v)), &out)
	return out
}

// specials reads the keys that some families have.
func (r *ggufReader) specials(c *Config, f family) {
	for key, to := range map[string]*[]int{"bos": &c.BOS, "eos": &c.EOS} {
		if id, err := r.f.Int("tokenizer.ggml." + key + "_token_id"); err == nil {
			*to = []int{id}
		}
	}
	if window := int(r.or(windowKey, 0)); window > 0 && f.slides != neverSlides {
		c.Windows = make([]int, min(max(c.Layers, 0), maxLayers))
		for i := range c.Windows {
			if f.slides == gemma2Slides && i%2 != 0 || f.slides == gemma3Slides && (i+1)%6 == 0 {
				continue
			}
			c.Windows[i] = window
		}
	}
	if f.scalar { // the one size of each that llama.cpp knows by its layers scales by hidden/heads
		if c.QueryScalar = float64(c.HeadDim); f.slides == gemma2Slides && c.Layers == 46 || f.slides == gemma3Slides && c.Layers == 62 {
			c.QueryScalar = float64(c.Hidden / max(c.Heads, 1))
		}
	}
	if f.softCaps {
		c.AttentionSoftCap, c.FinalSoftCap = single(r.or(".attn_logit_softcapping", 50)), single(r.or(".final_logit_softcapping", 30))
	}
}

// rope reads the rotary settings.
func (r *ggufReader) rope(c *Config, f family) error {
	if f.positions {
		return nil
	}
	theta := 10000.0
	if f.theta > 0 {
		theta = f.theta
	}
	c.RopeTheta = single(r.or(".rope.freq_base", theta))
	if f.localRope {
		c.LocalRopeTheta = single(r.or(".rope.freq_base_swa", 10000))
	}
	if d := int(r.or(".rope.dimension_count", float64(c.HeadDim))); d != c.HeadDim {
		if r.arch == "llama" {
			return fmt.Errorf("%s.rope.dimension_count is %d of a head of %d, which is not supported", r.arch, d, c.HeadDim)
		}
		c.RotaryDim = d
	}
	if _, ok := r.f.Tensor("rope_factors_long.weight"); ok {
		return errors.New("the rotary embedding is longrope (rope_factors_long.weight), which is not supported")
	}
	kind, _ := gguf.Value[string](r.f, r.arch+".rope.scaling.type")
	switch kind {
	case "", "none":
	case "linear":
		c.RopeScaling = tensor.RoPEScaling{Type: kind, Factor: single(r.or(".rope.scaling.factor", 1))}
	case "yarn":
		c.RopeScaling = tensor.RoPEScaling{Type: kind, Factor: single(r.or(".rope.scaling.factor", 1)),
			OriginalMaxPosition: r.or(".rope.scaling.original_context_length", float64(c.MaxPositions))}
	default:
		return fmt.Errorf("%s.rope.scaling.type %q is not supported: supported are none, linear, yarn", r.arch, kind)
	}
	if t, ok := r.f.Tensor(ropeFactors); ok {
		return r.llama3(c, t)
	}
	return nil
}

// llama3 finds the scaling that makes the factors in t, which are all that a file
// keeps of it: that of Llama 3.1 and later, with some factor.
func (r *ggufReader) llama3(c *Config, t gguf.Tensor) error {
	if t.Values() != c.HeadDim/2 {
		return fmt.Errorf("tensor %s has %d values, a head has %d rotary pairs", t.Name, t.Values(), c.HeadDim/2)
	}
	factors, err := r.f.Read(t)
	if err != nil {
		return err
	}
	s := tensor.RoPEScaling{Type: "llama3", Factor: single(float64(slices.Max(factors))),
		LowFreqFactor: 1, HighFreqFactor: 4, OriginalMaxPosition: 8192}
	if s.Validate() != nil {
		return fmt.Errorf("tensor %s has a factor of %v", t.Name, s.Factor)
	}
	plain, _ := tensor.RoPEScaling{}.Frequencies(c.HeadDim, c.RopeTheta)
	scaled, _ := s.Frequencies(c.HeadDim, c.RopeTheta)
	for j, factor := range factors {
		if want := plain[j] / scaled[j]; math.Abs(float64(factor)-want) > 1e-3*want {
			return fmt.Errorf("tensor %s is not Llama 3's: factor %d is %v, want %.6g", t.Name, j, factor, want)
		}
	}
	c.RopeScaling = s
	return nil
}
