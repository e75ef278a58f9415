package model

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"concord/internal/gguf"
	"concord/internal/param"
	"concord/internal/safetensors"
	"concord/tensor"
)

// ggufNames are the names of parameters in llama.cpp's files.
var ggufNames = names{
	embedding: "token_embd", positions: "position_embd", norm: "output_norm", head: "output", layer: "blk.%d.",
	attentionNorm: "attn_norm", q: "attn_q", k: "attn_k", v: "attn_v", o: "attn_output", qNorm: "attn_q_norm", kNorm: "attn_k_norm", attentionPost: "post_attention_norm",
	mlpNorm: "ffn_norm", gate: "ffn_gate", up: "ffn_up", down: "ffn_down", mlpPost: "post_ffw_norm",
}

// ggufFused are, by architecture, the parameters whose rows lie in one tensor.
var ggufFused = map[string]map[string]string{
	"phi3": {"attn_q": "attn_qkv", "attn_k": "attn_qkv", "attn_v": "attn_qkv", "ffn_gate": "ffn_up"},
	"gpt2": {"attn_q": "attn_qkv", "attn_k": "attn_qkv", "attn_v": "attn_qkv"},
}

// ggufTypes are the model types of the architectures that have another name.
var ggufTypes = map[string]string{"gemma3": "gemma3_text"}

const (
	ropeFactors = "rope_freqs.weight" // of the frequencies, where llama3 scales them
	windowKey   = ".attention.sliding_window"
)

// GGUF is a model in a file of llama.cpp.
type GGUF struct {
	Config  Config
	file    *gguf.File
	tensors map[string]ggufTensor // by our names of the parameters
	last    string                // whose values held are
	held    [][]float32
}

// ggufTensor says where a parameter lies.
type ggufTensor struct {
	stored
	part   int
	heads  int     // whose rows are in llama.cpp's order of a rotary pair; 0 = they are not
	offset float32 // that the file adds
}

// ReadGGUF reads what f says of the model, a llama.cpp file of a supported family,
// and that its tensors are those of such a model.
func ReadGGUF(f *gguf.File) (*GGUF, error) {
	c, err := ggufConfig(f)
	if err != nil {
		return nil, fmt.Errorf("model: %s: %w", f.Path, err)
	}
	g := &GGUF{Config: c, file: f, tensors: map[string]ggufTensor{}}
	if err := g.locate(); err != nil {
		return nil, fmt.Errorf("model: %s: %w", f.Path, err)
	}
	return g, nil
}

// locate finds every parameter and refuses tensors that would be lost.
func (g *GGUF) locate() error {
	c, arch := g.Config, g.arch()
	f := c.family()
	f.names, f.fused, f.conv1D, f.prefix = &ggufNames, ggufFused[arch], false, ""
	theirs, ours := compose(c, f), newNetwork(c).params()
	name := map[*parameter]string{}
	for i, p := range theirs.params() { // the same network: the same order
		name[p] = ours[i].Name
	}
	heads := map[*parameter]int{}
	if arch == "llama" {
		for _, b := range theirs.blocks {
			for k, n := range []int{c.Heads, c.KVHeads} {
				for _, p := range b.attention.in[k].params() {
					heads[p] = n
				}
			}
		}
	}
	known := map[string]bool{ropeFactors: true}
	for _, s := range theirs.stored() {
		known[s.name] = true
		t, ok := g.file.Tensor(s.name)
		if !ok {
			return fmt.Errorf("there is no tensor %s, which a %s model has", s.name, arch)
		}
		if !slices.Equal(t.Shape, s.shape()) {
			return fmt.Errorf("tensor %s has the shape %v, the metadata ask for %v", s.name, t.Shape, s.shape())
		}
		for i, p := range s.parts {
			x := ggufTensor{stored: s, part: i, heads: heads[p]}
			if f.plusOne && p.Kind == param.Norm {
				x.offset = 1
			}
			g.tensors[name[p]] = x
		}
	}
	for _, name := range g.file.Names() {
		if !known[name] {
			return fmt.Errorf("tensor %s is not part of a %s model: it would be lost", name, arch)
		}
	}
	return nil
}

func (g *GGUF) arch() string {
	arch, _ := gguf.Value[string](g.file, "general.architecture")
	return arch
}

// Values reads a parameter by the name of ParamSpecs.
func (g *GGUF) Values(name string) ([]float32, error) {
	x, ok := g.tensors[name]
	if !ok {
		return nil, fmt.Errorf("model: %s: no parameter %s", g.file.Path, name)
	}
	if g.last != x.name {
		t, _ := g.file.Tensor(x.name)
		values, err := g.file.Read(t)
		if err != nil {
			return nil, err
		}
		g.last, g.held = x.name, x.split(values)
	}
	values := g.held[x.part]
	if x.heads > 0 {
		values = unpermute(values, x.heads, x.parts[x.part].Kind == param.Bias, x.parts[x.part].C)
	}
	if x.offset != 0 {
		values = slices.Clone(values)
		for i := range values {
			values[i] -= x.offset
		}
	}
	return values, nil
}

// unpermute brings the rows of every head from llama.cpp's order, the two values
// of a rotary pair side by side, into Hugging Face's, first values of all pairs
// and then second ones. A bias has rows of one value.
func unpermute(x []float32, heads int, bias bool, width int) []float32 {
	if bias {
		width = 1
	}
	d := len(x) / width / heads
	out := make([]float32, len(x))
	for h := range heads {
		for j := range d / 2 {
			for side := range 2 {
				to, from := h*d+side*(d/2)+j, h*d+2*j+side
				copy(out[to*width:(to+1)*width], x[from*width:(from+1)*width])
			}
		}
	}
	return out
}

// DType is the type that loses nothing: the file's own of the matrices where they
// all have one of Hugging Face's, else float32.
func (g *GGUF) DType() safetensors.DType {
	out := safetensors.DType("")
	for _, name := range g.file.Names() {
		t, _ := g.file.Tensor(name)
		if len(t.Shape) < 2 {
			continue
		}
		d := map[gguf.Type]safetensors.DType{gguf.F16: safetensors.F16, gguf.BF16: safetensors.BF16}[t.Type]
		if d == "" || out != "" && d != out {
			return safetensors.F32
		}
		out = d
	}
	return out
}

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
	c.Hidden, c.Layers, c.Heads, c.FFN, c.MaxPositions = r.must(".embedding_length"), r.must(".block_count"), r.must(".attention.head_count"), r.must(".feed_forward_length"), r.must(".context_length")
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
	c.AttentionBias = c.AttentionBias && family.biases == keyed
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

// specials reads what some families have.
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
		c.RopeScaling = tensor.RoPEScaling{Type: kind, Factor: single(r.or(".rope.scaling.factor", 1)), OriginalMaxPosition: r.or(".rope.scaling.original_context_length", float64(c.MaxPositions))}
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
	s := tensor.RoPEScaling{Type: "llama3", Factor: single(float64(slices.Max(factors))), LowFreqFactor: 1, HighFreqFactor: 4, OriginalMaxPosition: 8192}
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

// String is a line: the model, and how its values are stored.
func (g *GGUF) String() string {
	var types []string
	for _, name := range g.file.Names() {
		t, _ := g.file.Tensor(name)
		if s := t.Type.String(); !slices.Contains(types, s) {
			types = append(types, s)
		}
	}
	return fmt.Sprintf("%s; tensors %s", g.Config, strings.Join(types, ", "))
}
