package model

import (
	"fmt"
	"math"

	"concord/internal/gguf"
	"concord/internal/peft"
	"concord/internal/safetensors"
)

// A file's rounding of a parameter is a function of its values and of the type that the
// file's tensor has: these make it in memory, without the file's own values, so that
// the contents of a file can be compared to the bit.

// Rounded are values of the parameter called name after a way through a file
// whose tensors have g's types. known is false for types that are only read.
func (g *GGUF) Rounded(name string, values []float32) (out []float32, known bool, err error) {
	x, ok := g.tensors[name]
	if !ok {
		return nil, false, fmt.Errorf("model: %s: no parameter %s", g.file.Path, name)
	}
	t, _ := g.file.Tensor(x.name)
	if !t.Type.Writable() {
		return nil, false, nil
	}
	blocks, err := gguf.Quantize(nil, x.toFile(values), t.Type)
	if err != nil {
		return nil, true, fmt.Errorf("model: %s: %w", name, err)
	}
	return x.fromFile(gguf.Dequantize(blocks, t.Type)), true, nil
}

// Rounded are values of the parameter called name after a way through a folder
// whose tensors have x's types.
func (x *Reader) Rounded(name string, values []float32) (out []float32, known bool, err error) {
	t, ok := x.r.Tensor(x.at[name].name)
	if !ok {
		return nil, false, fmt.Errorf("model: %s: no parameter %s", x.dir, name)
	}
	return safetensors.Rounded(values, t.DType), true, nil
}

// AdapterRounding is, for the adapter of c in dir, the way of the values of a parameter
// through a folder whose tensors have its types.
func AdapterRounding(dir string, c Config) (func(name string, values []float32) ([]float32, bool, error), error) {
	r, err := peft.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	defer r.Close()
	types := map[string]safetensors.DType{}
	for _, s := range newNetwork(c).adapterStored(c) {
		if t, ok := r.Tensor(peft.Tensor(s.name)); ok {
			for _, p := range s.parts {
				types[p.Name] = t.DType
			}
		}
	}
	return func(name string, values []float32) ([]float32, bool, error) {
		return safetensors.Rounded(values, types[name]), true, nil
	}, nil
}

// GGUFAdapterRounding is the same for an adapter in llama.cpp's form, read from f, for
// one of c: B takes the difference between c's scale of a map and that of the file.
func GGUFAdapterRounding(f *gguf.File, c Config) func(name string, values []float32) ([]float32, bool, error) {
	alpha, _ := f.Float("adapter.lora.alpha")
	factors := map[string]float64{}
	for _, parts := range c.ggufMaps() {
		for _, m := range parts {
			if factors[m.low.b.Name] = 1; alpha > 0 {
				factors[m.low.b.Name] = m.low.scale * float64(m.low.a.R) / alpha
			}
		}
	}
	return func(name string, values []float32) ([]float32, bool, error) {
		factor, ok := factors[name]
		if !ok || factor == 1 {
			return values, true, nil
		}
		out := make([]float32, len(values))
		for i, v := range values {
			out[i] = float32(float64(v) * factor)
		}
		return out, true, nil
	}
}

// Differ is the number of values that have other bits, and the largest difference.
func Differ(a, b []float32) (n int, most float64) {
	if len(a) != len(b) {
		return max(len(a), len(b)), math.Inf(1)
	}
	for i, v := range a {
		if math.Float32bits(v) != math.Float32bits(b[i]) {
			n++
			most = max(most, math.Abs(float64(v)-float64(b[i])))
		}
	}
	return n, most
}
