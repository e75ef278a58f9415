package model

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"

	"concord/internal/gguf"
	"concord/internal/peft"
	"concord/internal/safetensors"
)

// The ends of an adapter's tensors in llama.cpp's files, after the base tensor's name.
const (
	ggufA = ".lora_a"
	ggufB = ".lora_b"
)

// ErrNoGGUFAdapter is about adapters that llama.cpp's files cannot hold.
var ErrNoGGUFAdapter = errors.New("no GGUF adapter")

// ggufMaps are the adapted maps by the tensor of llama.cpp's files that holds their base
// weights; of a fused tensor there are several.
func (c Config) ggufMaps() map[string][]ggufMap {
	adapters := newNetwork(c).adapters.of
	plain := c.inGGUF()
	plain.Adapter = nil
	places, _ := ggufPlaces(plain, ggufArch(c))
	out := map[string][]ggufMap{}
	for name, x := range places {
		if a := adapters[name]; a != nil {
			out[x.name] = append(out[x.name], ggufMap{x, a.low()})
		}
	}
	for _, parts := range out {
		slices.SortFunc(parts, func(a, b ggufMap) int { return a.at.part - b.at.part })
	}
	return out
}

// ggufMap is an adapted map, and where its base weight lies.
type ggufMap struct {
	at  ggufTensor
	low *lowRank
}

// shapeB is that of B in the file, whose rows are those of all maps.
func shapeB(parts []ggufMap) []int {
	rows := 0
	for _, m := range parts {
		rows += m.low.b.R
	}
	return []int{rows, parts[0].low.a.R}
}

// GGUFAdapterFits says why c's adapter cannot be written by WriteGGUFAdapter; nil where
// it can. The error wraps ErrNoGGUFAdapter.
func GGUFAdapterFits(c Config) error {
	switch a := c.Adapter; {
	case a == nil:
		return fmt.Errorf("%w: the model has no adapter", ErrNoGGUFAdapter)
	case a.DoRA:
		return fmt.Errorf("%w: llama.cpp's adapters have no lengths of rows (DoRA)\n  fix: --format gguf, which merges the "+
			"adapter into its base model", ErrNoGGUFAdapter)
	case c.adaptsTokens():
		return fmt.Errorf("%w: embedding and head of low rank are not written for llama.cpp's --lora\n  fix: --format gguf, "+
			"which merges the adapter into its base model", ErrNoGGUFAdapter)
	case len(a.Save) > 0:
		return fmt.Errorf("%w: llama.cpp's adapters have no modules that are trained whole (%s)\n  fix: --format gguf, "+
			"which merges the adapter into its base model", ErrNoGGUFAdapter, strings.Join(a.Save, ", "))
	}
	return nil
}

// WriteGGUFAdapter writes c's adapter to w, which the caller makes atomic, as llama.cpp
// applies it to a GGUF file of the base model (--lora): float32, with extra keys. Rows of
// B are in llama.cpp's order. There is one alpha for all: where maps have others, or
// rsLoRA's scale, the difference is in B.
func WriteGGUFAdapter(w io.Writer, c Config, extra []gguf.KV, read func(name string) ([]float32, error)) error {
	if err := GGUFAdapterFits(c); err != nil {
		return fmt.Errorf("model: %w", err)
	}
	adapted := c.ggufMaps()
	names := slices.Sorted(maps.Keys(adapted))
	if len(names) == 0 {
		return fmt.Errorf("model: %w: nothing is adapted", ErrNoGGUFAdapter)
	}
	first := adapted[names[0]][0].low
	alpha := first.scale * float64(first.a.R)
	meta := append([]gguf.KV{{Key: "general.architecture", Value: ggufArch(c)}, {Key: "general.type", Value: "adapter"},
		{Key: "adapter.type", Value: "lora"}, {Key: "adapter.lora.alpha", Value: float32(alpha)}}, extra...)
	var out []gguf.Entry
	for _, name := range names {
		m := adapted[name]
		low := m[0].low
		factor := low.scale * float64(low.a.R) / float64(float32(alpha))
		out = append(out,
			gguf.Entry{Name: name + ggufA, Shape: []int{low.a.R, low.a.C}, Type: gguf.F32,
				Data: func() ([]float32, error) { return finite(low.a.Name, read) }},
			gguf.Entry{Name: name + ggufB, Shape: shapeB(m), Type: gguf.F32,
				Data: func() ([]float32, error) { return joinB(m, factor, read) }})
	}
	return gguf.Encode(w, meta, out)
}

// joinB are the rows of all maps' B times factor.
func joinB(parts []ggufMap, factor float64, read func(name string) ([]float32, error)) ([]float32, error) {
	var out []float32
	for _, m := range parts {
		v, err := finite(m.low.b.Name, read)
		if err != nil {
			return nil, err
		}
		if m.at.heads > 0 {
			v = reorderRows(v, m.at.heads, m.low.b.C, true)
		}
		out = append(out, v...)
	}
	if factor != 1 {
		for i, v := range out {
			out[i] = float32(float64(v) * factor)
		}
	}
	return out, nil
}

// finite are the values of a parameter, an error where one is not finite.
func finite(name string, read func(name string) ([]float32, error)) ([]float32, error) {
	v, err := read(name)
	if err == nil {
		err = safetensors.CheckFinite(name, v)
	}
	return v, err
}

// IsGGUFAdapter says that f holds an adapter, not a model.
func IsGGUFAdapter(f *gguf.File) bool {
	kind, _ := gguf.Value[string](f, "general.type")
	return kind == "adapter"
}

// ReadGGUFAdapter reads an adapter in llama.cpp's form for the base model of c: its
// configuration, and its values by the names of ParamSpecs. Tensors of another
// architecture or shape, and those that are missing or would be lost, are an error.
func ReadGGUFAdapter(f *gguf.File, c Config) (*peft.Config, map[string][]float32, error) {
	a, err := ggufAdapterConfig(f, c)
	if err != nil {
		return nil, nil, fmt.Errorf("model: %s: %w", f.Path, err)
	}
	c.Adapter = a
	if err := c.CheckAdapter(); err != nil {
		return nil, nil, fmt.Errorf("model: %s: %w", f.Path, err)
	}
	values, known := map[string][]float32{}, map[string]bool{}
	for name, parts := range c.ggufMaps() {
		low := parts[0].low
		known[name+ggufA], known[name+ggufB] = true, true
		va, err := readShaped(f, name+ggufA, []int{low.a.R, low.a.C})
		if err != nil {
			return nil, nil, err
		}
		vb, err := readShaped(f, name+ggufB, shapeB(parts))
		if err != nil {
			return nil, nil, err
		}
		values[low.a.Name] = va
		for _, m := range parts {
			part := vb[:m.low.b.Size()]
			vb = vb[m.low.b.Size():]
			if m.at.heads > 0 {
				part = reorderRows(part, m.at.heads, m.low.b.C, false)
			}
			values[m.low.b.Name] = part
		}
	}
	for _, name := range f.Names() {
		if !known[name] {
			return nil, nil, fmt.Errorf("model: %s: tensor %s adapts no linear map of a %s model's layers: it would be "+
				"lost", f.Path, name, ggufArch(c))
		}
	}
	return a, values, nil
}

func readShaped(f *gguf.File, name string, shape []int) ([]float32, error) {
	t, ok := f.Tensor(name)
	if !ok || !slices.Equal(t.Shape, shape) {
		return nil, fmt.Errorf("model: %s: tensor %s has the shape %v, the base model and the adapter's rank ask for %v",
			f.Path, name, t.Shape, shape)
	}
	v, err := f.Read(t)
	if err == nil {
		err = safetensors.CheckFinite(name, v)
	}
	return v, err
}

// ggufAdapterConfig is the configuration that f's keys and tensors make: maps by their
// whole names, each with the rank of its A.
func ggufAdapterConfig(f *gguf.File, c Config) (*peft.Config, error) {
	arch, _ := gguf.Value[string](f, "general.architecture")
	kind, _ := gguf.Value[string](f, "adapter.type")
	switch {
	case !IsGGUFAdapter(f) || kind != "lora":
		return nil, fmt.Errorf("general.type is no adapter, or adapter.type %q is not lora", kind)
	case arch != ggufArch(c):
		return nil, fmt.Errorf("the adapter is for a %s model, the base model is %s", arch, ggufArch(c))
	}
	alpha, err := f.Float("adapter.lora.alpha")
	if err != nil && !errors.Is(err, gguf.ErrMissing) || alpha < 0 || math.IsInf(alpha, 0) || math.IsNaN(alpha) {
		return nil, fmt.Errorf("adapter.lora.alpha is %v (%v), must be positive", alpha, err)
	}
	all := c
	all.Adapter = &peft.Config{Rank: 1, Alpha: 1, Targets: []string{peft.AllLinear}}
	out := &peft.Config{}
	adapted := all.ggufMaps()
	for _, name := range slices.Sorted(maps.Keys(adapted)) {
		t, ok := f.Tensor(name + ggufA)
		if !ok {
			continue
		}
		if len(t.Shape) != 2 || t.Shape[0] < 1 || t.Shape[0] > peft.MaxRank {
			return nil, fmt.Errorf("tensor %s has the shape %v, want (rank, in) with a rank of 1 to %d", t.Name, t.Shape,
				peft.MaxRank)
		}
		out.Add(strings.TrimSuffix(adapted[name][0].low.a.file, peft.A), t.Shape[0], single(alpha))
	}
	if len(out.Targets) == 0 {
		return nil, fmt.Errorf("no tensor adapts a linear map of a %s model's layers", arch)
	}
	return out, nil
}
