package model

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"concord/internal/gguf"
	"concord/internal/optest"
	"concord/internal/param"
	"concord/tensor"
)

// writeGGUF makes a file of c and opens it.
func writeGGUF(t *testing.T, c Config, kind gguf.Type, values map[string][]float32) (*gguf.File, []string) {
	t.Helper()
	var b bytes.Buffer
	notes, err := WriteGGUF(&b, c, kind, nil, func(name string) ([]float32, error) { return values[name], nil })
	if err != nil {
		t.Fatal(err)
	}
	return openGGUF(t, b.Bytes()), notes
}

// openGGUF opens a file of these bytes.
func openGGUF(t *testing.T, b []byte) *gguf.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.gguf")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := gguf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// valuesOf are random weights; norms of Gemma's are exact when 1 is added.
func valuesOf(c Config) map[string][]float32 {
	values := map[string][]float32{}
	for i, s := range ParamSpecs(c) {
		v := optest.Random(s.Size(), uint64(i+1))
		if s.Kind == param.Norm && strings.HasPrefix(c.ModelType, "gemma") {
			for k := range v {
				v[k] = float32(int(v[k]*64)) / 64
			}
		}
		values[s.Name] = v
	}
	return values
}

// Every family's file is what llama.cpp's converter makes, tensor by tensor, and gives
// back configuration and values.
func TestWriteGGUF(t *testing.T) {
	all := importable()
	window := all["mistral"]
	window.ModelType, window.Windows = "mistral", []int{4, 4}
	scaled := tiny(true)
	scaled.RopeTheta, scaled.RopeScaling = 500000, tensor.RoPEScaling{Type: "llama3", Factor: 32, LowFreqFactor: 1,
		HighFreqFactor: 4, OriginalMaxPosition: 8192}
	biased := tiny(false)
	biased.AttentionBias, biased.MLPBias = true, true
	all["mistral, window"], all["llama3"], all["llama, all biases"] = window, scaled, biased
	for name, c := range all {
		values := valuesOf(c)
		f, notes := writeGGUF(t, c, gguf.F32, values)
		if (len(notes) > 0) != (c.ModelType == "mistral" && c.Windows != nil) {
			t.Errorf("%s: notes %q", name, notes)
		}
		meta, tensors := llamaCPP(c, values)
		for key, want := range meta {
			if strings.HasPrefix(key, "tokenizer.") || c.ModelType == "mistral" && strings.HasSuffix(key, "window") {
				continue
			}
			if got, _ := gguf.Value[any](f, key); got != want {
				t.Errorf("%s: %s is %v, want %v", name, key, got, want)
			}
		}
		for _, want := range tensors {
			x, ok := f.Tensor(want.Name)
			if !ok || !reflect.DeepEqual(x.Shape, want.Shape) {
				t.Errorf("%s: %s is %v, want shape %v", name, want.Name, x.Shape, want.Shape)
				continue
			}
			got, err := f.Read(x)
			if err != nil {
				t.Fatal(err)
			}
			if at := optest.Bits(got, want.Values); at >= 0 {
				t.Errorf("%s: %s differs at %d", name, want.Name, at)
			}
		}
		g, err := ReadGGUF(f)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, s := range ParamSpecs(c) {
			got, err := g.Values(s.Name)
			if err != nil {
				t.Fatal(err)
			}
			if at := optest.Bits(got, values[s.Name]); at >= 0 {
				t.Errorf("%s: %s comes back different at %d", name, s.Name, at)
			}
		}
	}
}

// Matrices are stored as asked for, what loses most is not.
func TestWriteGGUFTypes(t *testing.T) {
	c := tiny(false)
	c.Hidden, c.FFN, c.HeadDim = 32, 48, 8
	for kind, want := range map[gguf.Type][4]gguf.Type{ // embedding, q, down (rows of 48), norm
		gguf.F32:  {gguf.F32, gguf.F32, gguf.F32, gguf.F32},
		gguf.BF16: {gguf.BF16, gguf.BF16, gguf.BF16, gguf.F32},
		gguf.Q8_0: {gguf.Q8_0, gguf.Q8_0, gguf.F16, gguf.F32},
		gguf.Q4_0: {gguf.Q8_0, gguf.Q4_0, gguf.F16, gguf.F32},
	} {
		f, _ := writeGGUF(t, c, kind, valuesOf(c))
		for i, name := range []string{"token_embd", "blk.0.attn_q", "blk.0.ffn_down", "blk.0.attn_norm"} {
			if x, _ := f.Tensor(name + ".weight"); x.Type != want[i] {
				t.Errorf("%v: %s is %v, want %v", kind, name, x.Type, want[i])
			}
		}
	}
}

// What a file would say otherwise is refused by name, and so are values that a type
// cannot hold.
func TestWriteGGUFRefuses(t *testing.T) {
	for name, x := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"half of a head": {func(c *Config) { c.RotaryDim = c.HeadDim / 2 }, "rope.dimension_count"},
		"other factors": {func(c *Config) {
			c.RopeScaling = tensor.RoPEScaling{Type: "llama3", Factor: 8, LowFreqFactor: 2, HighFreqFactor: 4, OriginalMaxPosition: 8192}
		}, "Llama 3's low and high factor"},
		"yarn's speeds": {func(c *Config) {
			c.RopeScaling = tensor.RoPEScaling{Type: "yarn", Factor: 4, OriginalMaxPosition: 16, BetaFast: 16, BetaSlow: 1}
		}, "RopeScaling"},
		"qwen2's windows": {func(c *Config) { c.ModelType, c.Windows, c.RopeScaling = "qwen2", []int{4, 0}, tensor.RoPEScaling{} }, "Windows [4 0] cannot be said"},
		"gemma3's order":  {func(c *Config) { *c = importable()["gemma3"]; c.Windows = []int{0, 4} }, "Windows [0 4] cannot be said"},
	} {
		c := tiny(true)
		x.change(&c)
		if _, err := WriteGGUF(&bytes.Buffer{}, c, gguf.F32, nil, nil); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: error %v, want %q", name, err, x.want)
		}
	}
	c := importable()["mistral"]
	values := valuesOf(c)
	values["model.layers.0.mlp.up_proj.weight"][3] = 1e6
	if _, err := WriteGGUF(&bytes.Buffer{}, c, gguf.F16, nil,
		func(name string) ([]float32, error) { return values[name], nil }); err == nil || !strings.Contains(err.Error(), "blk.0.ffn_up.weight") {
		t.Errorf("a value beyond f16: %v", err)
	}
}
