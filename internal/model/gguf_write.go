package model

import (
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"

	"concord/internal/gguf"
	"concord/internal/param"
	"concord/tensor"
)

// fileTypes are llama.cpp's numbers for the type of most tensors of a file.
var fileTypes = map[gguf.Type]uint32{gguf.F32: 0, gguf.F16: 1, gguf.Q4_0: 2, gguf.Q8_0: 7, gguf.BF16: 32}

// WriteGGUF writes a llama.cpp file to w, which the caller makes atomic: a model of c
// with the weights that read returns by name, matrices as t, and extra keys. With Q4_0
// embedding and head are Q8_0, as they lose most; norms, biases and positions are F32;
// rows that are no whole blocks are F16. A setting of c that a file cannot say is an error, or a
// note where it shows in long texts only.
func WriteGGUF(w io.Writer, c Config, t gguf.Type, extra []gguf.KV, read func(name string) ([]float32, error)) (notes []string, err error) {
	meta, notes, err := ggufMeta(c)
	if err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	meta = append(meta, gguf.KV{Key: "general.file_type", Value: fileTypes[t]}, gguf.KV{Key: "general.quantization_version", Value: uint32(2)})
	return notes, gguf.Encode(w, append(meta, extra...), ggufEntries(c, t, read))
}

// ggufArch is the name of c's architecture in llama.cpp's files.
func ggufArch(c Config) string {
	for arch, modelType := range ggufTypes {
		if modelType == c.ModelType {
			return arch
		}
	}
	if c.ModelType == "mistral" { // which is read as Llama's
		return "llama"
	}
	return c.ModelType
}

// inGGUF is c as readers take it from a file.
func (c Config) inGGUF() Config {
	if c.ModelType == "mistral" {
		c.ModelType, c.Windows = "llama", nil
	}
	return c
}

// ggufEntries are the tensors, each of its parameters read when it is written.
func ggufEntries(c Config, t gguf.Type, read func(name string) ([]float32, error)) []gguf.Entry {
	asRead := c.inGGUF()
	places, tensors := ggufPlaces(asRead, ggufArch(c))
	ours := map[string]string{}
	for i, s := range ParamSpecs(asRead) {
		ours[s.Name] = ParamSpecs(c)[i].Name
	}
	var out []gguf.Entry
	if f := c.ropeFactors(); f != nil {
		out = append(out, gguf.Entry{Name: ropeFactors, Shape: []int{len(f)}, Type: gguf.F32, Data: func() ([]float32, error) { return f, nil }})
	}
	for _, s := range tensors {
		kind := ggufType(s, t)
		out = append(out, gguf.Entry{Name: s.name, Shape: s.shape(), Type: kind, Data: func() ([]float32, error) {
			var parts [][]float32
			for _, name := range places.of(s.name) {
				data, err := finite(ours[name], read)
				if err != nil {
					return nil, err
				}
				parts = append(parts, places[name].toFile(data))
			}
			return s.join(parts), nil
		}})
	}
	return out
}

// ggufType is how a tensor is stored in a file of t.
func ggufType(s stored, t gguf.Type) gguf.Type {
	p, shape := s.parts[0], s.shape()
	switch {
	case len(shape) < 2 || p.Kind == param.Norm || p.Kind == param.Bias || s.name == ggufNames.positions+".weight":
		return gguf.F32
	case t == gguf.Q4_0 && (s.name == ggufNames.embedding+".weight" || s.name == ggufNames.head+".weight"):
		t = gguf.Q8_0
	}
	if shape[len(shape)-1]%t.Block() != 0 {
		return gguf.F16
	}
	return t
}

// ropeFactors are the divisors of the frequencies in llama3's scaling, nil without it.
func (c Config) ropeFactors() []float32 {
	if c.RopeScaling.Type != "llama3" {
		return nil
	}
	plain, _ := tensor.RoPEScaling{}.Frequencies(c.HeadDim, c.RopeTheta)
	scaled, _ := c.RopeScaling.Frequencies(c.HeadDim, c.RopeTheta)
	out := make([]float32, len(plain))
	for j := range plain {
		out[j] = float32(plain[j] / scaled[j])
	}
	return out
}

// ggufMeta are the keys of the architecture. They are read back: a setting that does
// not come back is refused by name.
func ggufMeta(c Config) (meta []gguf.KV, notes []string, err error) {
	arch, f := ggufArch(c), c.family()
	meta = []gguf.KV{{Key: "general.architecture", Value: arch}, {Key: "general.type", Value: "model"}}
	number := func(key string, v int) { meta = append(meta, gguf.KV{Key: arch + key, Value: uint32(v)}) }
	float := func(key string, v float64) { meta = append(meta, gguf.KV{Key: arch + key, Value: float32(v)}) }
	number(".vocab_size", c.Vocab)
	number(".context_length", c.MaxPositions)
	number(".embedding_length", c.Hidden)
	number(".block_count", c.Layers)
	number(".feed_forward_length", c.FFN)
	number(".attention.head_count", c.Heads)
	number(".attention.head_count_kv", c.KVHeads)
	number(".attention.key_length", c.HeadDim)
	number(".attention.value_length", c.HeadDim)
	if f.layerNorm {
		float(".attention.layer_norm_epsilon", c.RMSNormEps)
	} else {
		float(".attention.layer_norm_rms_epsilon", c.RMSNormEps)
	}
	if window := slices.Max(append([]int{0}, c.Windows...)); window > 0 {
		if c.ModelType == "mistral" {
			notes = append(notes, fmt.Sprintf("GGUF readers know no sliding window of a mistral model: texts of more than %d "+
				"tokens are computed without it", window))
		} else {
			number(windowKey, window)
		}
	}
	if c.AttentionSoftCap > 0 {
		float(".attn_logit_softcapping", c.AttentionSoftCap)
	}
	if c.FinalSoftCap > 0 {
		float(".final_logit_softcapping", c.FinalSoftCap)
	}
	if !f.positions {
		number(".rope.dimension_count", c.rotated())
		float(".rope.freq_base", c.RopeTheta)
		if f.localRope {
			float(".rope.freq_base_swa", c.LocalRopeTheta)
		}
	}
	switch s := c.RopeScaling; s.Type {
	case "linear":
		meta = append(meta, gguf.KV{Key: arch + ".rope.scaling.type", Value: s.Type})
		float(".rope.scaling.factor", s.Factor)
	case "yarn":
		meta = append(meta, gguf.KV{Key: arch + ".rope.scaling.type", Value: s.Type})
		float(".rope.scaling.factor", s.Factor)
		number(".rope.scaling.original_context_length", int(s.OriginalMaxPosition))
	}
	return meta, notes, c.checkGGUF(meta)
}

// checkGGUF reads the keys back.
func (c Config) checkGGUF(meta []gguf.KV) error {
	var tensors []gguf.Tensor
	_, all := ggufPlaces(c.inGGUF(), ggufArch(c))
	for _, s := range all {
		tensors = append(tensors, gguf.Tensor{Name: s.name, Shape: s.shape()})
	}
	got, err := ggufConfig(gguf.Header(meta, tensors))
	if err != nil {
		return err
	}
	switch s := c.RopeScaling; s.Type {
	case "dynamic", "default": // has no effect
		got.RopeScaling = s
	case "llama3": // stands in a tensor, and readers know Llama 3's only
		if s.LowFreqFactor != 1 || s.HighFreqFactor != 4 || s.OriginalMaxPosition != 8192 {
			return fmt.Errorf("rope_scaling %+v cannot be said in a GGUF file: Llama 3's low and high factor are 1 and 4, its "+
				"original length 8192", s)
		}
		got.RopeScaling = s
	}
	a, b := reflect.ValueOf(c.inGGUF()), reflect.ValueOf(got)
	for i := range a.NumField() {
		name := a.Type().Field(i).Name
		if strings.Contains(" InitializerRange DType BOS EOS Notes raw ", " "+name+" ") {
			continue
		}
		if x, y := a.Field(i).Interface(), b.Field(i).Interface(); !reflect.DeepEqual(x, y) {
			return fmt.Errorf("%s %v cannot be said in a GGUF file of a %s model, where it would be %v; export --format "+
				"safetensors keeps it", name, x, c.ModelType, y)
		}
	}
	return nil
}
