package model

import (
	"os"
	"path/filepath"
	"testing"

	"concord/internal/safetensors"
)

// A folder whose config.json names no dtype has the one of most of its weights.
func TestDTypeOfTheWeights(t *testing.T) {
	const config = `{"model_type":"llama","hidden_size":4,"intermediate_size":4,"num_hidden_layers":1,"num_attention_heads":1,"vocab_size":8`
	entry := func(name string, n int, d safetensors.DType) safetensors.Entry {
		return safetensors.Entry{Name: name, Shape: []int{n}, DType: d, Data: func() ([]float32, error) { return make([]float32, n), nil }}
	}
	for name, c := range map[string]struct {
		named   string
		entries []safetensors.Entry
		want    safetensors.DType
	}{
		"bf16":            {"", []safetensors.Entry{entry("a", 8, safetensors.BF16), entry("b", 3, safetensors.F32)}, safetensors.BF16},
		"f16":             {"", []safetensors.Entry{entry("a", 3, safetensors.BF16), entry("b", 8, safetensors.F16)}, safetensors.F16},
		"f32":             {"", []safetensors.Entry{entry("a", 8, safetensors.F32)}, safetensors.F32},
		"named":           {`,"torch_dtype":"float32"`, []safetensors.Entry{entry("a", 8, safetensors.BF16)}, safetensors.F32},
		"named, new form": {`,"dtype":"float16"`, []safetensors.Entry{entry("a", 8, safetensors.BF16)}, safetensors.F16},
		"no weights":      {"", nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, ConfigFile), []byte(config+c.named+"}"), 0o644); err != nil {
				t.Fatal(err)
			}
			if c.entries != nil {
				if err := safetensors.Write(filepath.Join(dir, safetensors.SingleFile), c.entries, nil); err != nil {
					t.Fatal(err)
				}
			}
			got, err := ReadConfig(dir)
			if err != nil || got.DType != c.want {
				t.Errorf("dtype %q, %v; want %q", got.DType, err, c.want)
			}
		})
	}
}
