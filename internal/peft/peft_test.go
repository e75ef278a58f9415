package peft

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"concord/internal/safetensors"
)

// What is written is read again, with the names that PEFT gives to tensors.
func TestRoundTrip(t *testing.T) {
	for _, c := range []Config{
		{Rank: 8, Alpha: 16, Targets: []string{"k_proj", "q_proj"}, Base: "../base"},
		{Rank: 2, Alpha: 4, Targets: []string{"embed_tokens"}, Tied: true},
		{Rank: 2, Alpha: 4, Dropout: 0.125, Targets: []string{"q_proj"}, RankPattern: map[string]int{"layers.1.q_proj": 3},
			AlphaPattern: map[string]float64{"q_proj": 7}},
		{Rank: 3, Alpha: 0.5, Targets: []string{"c_attn"}, Save: []string{"lm_head"}, RankStabilised: true, DoRA: true,
			Transposed: true},
	} {
		dir := t.TempDir()
		if Is(dir) {
			t.Error("an empty folder is an adapter")
		}
		one := safetensors.Entry{Name: "h.0.attn.c_attn" + A, Shape: []int{1, 2}, DType: safetensors.F32,
			Data: func() ([]float32, error) { return []float32{1, 2}, nil }}
		if err := Write(dir, &c, c.Targets, []safetensors.Entry{one}); err != nil {
			t.Fatal(err)
		}
		got, err := ReadConfig(dir)
		if err != nil || !reflect.DeepEqual(*got, c) || !Is(dir) {
			t.Errorf("read as %+v, %v; want %+v", got, err, c)
		}
		r, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		if want := []string{"base_model.model.h.0.attn.c_attn.lora_A.weight"}; !slices.Equal(r.Names(),
			want) || r.Metadata()["format"] != "pt" {
			t.Errorf("tensors %q, metadata %v", r.Names(), r.Metadata())
		}
		r.Close()
	}
	for want, c := range map[float64]Config{2: {Rank: 16, Alpha: 32}, 8: {Rank: 16, Alpha: 32, RankStabilised: true}} {
		if got := c.ScaleOf("q_proj"); got != want {
			t.Errorf("%+v: s = %v, want %v", c, got, want)
		}
	}
}

// Targets are whole names or their ends after a dot; of a pattern, or of chosen layers,
// those of the adapter's tensors count.
func TestTargets(t *testing.T) {
	c := Config{Targets: []string{"proj", "layers.1.k_proj"}}
	for module, want := range map[string]bool{"a.proj": true, "proj": true, "a.q_proj": false, "model.layers.1.k_proj": true,
		"model.layers.11.k_proj": false} {
		if c.Adapts(module) != want {
			t.Errorf("%s is adapted: %v", module, !want)
		}
	}
	for _, keys := range []string{`"target_modules": ".*q_proj"`, `"target_modules": ["q_proj"], "layers_to_transform": [1]`,
		`"target_modules": ["q_proj"], "exclude_modules": "x"`} {
		dir := adapter(t, keys)
		got, err := ReadConfig(dir)
		if err != nil || !slices.Equal(got.Targets, []string{"model.layers.1.self_attn.q_proj"}) {
			t.Errorf("%s: %+v, %v", keys, got, err)
		}
	}
	if got, err := ReadConfig(adapter(t, `"target_modules": "all-linear"`)); err != nil || !got.All() {
		t.Errorf("all-linear: %+v, %v", got, err)
	}
}

// adapter writes an adapter of one map with these keys.
func adapter(t *testing.T, keys string) string {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, ConfigFile), `{"peft_type": "LORA", "r": 2, "lora_alpha": 4, `+keys+`}`)
	e := safetensors.Entry{Name: Tensor("model.layers.1.self_attn.q_proj" + A), Shape: []int{2, 1}, DType: safetensors.F32,
		Data: func() ([]float32, error) { return []float32{1, 2}, nil }}
	if err := safetensors.Write(filepath.Join(dir, WeightsFile), []safetensors.Entry{e}, nil); err != nil {
		t.Fatal(err)
	}
	return dir
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// What would compute something else than is read is refused by its key.
func TestRefuses(t *testing.T) {
	for keys, want := range map[string]string{
		`"peft_type": "IA3"`: "IA3", `"bias": "all"`: "bias", `"r": 0`: "r is 0", `"r": 1e9`: "cannot unmarshal",
		`"r": 100000`: "r is 100000", `"lora_alpha": 0`: "lora_alpha is 0",
		`"lora_alpha": -1`: "lora_alpha", `"rank_pattern": {"q_proj": 0.5}`: "rank_pattern",
		`"alpha_pattern": 3`: "alpha_pattern", `"lora_dropout": 1`: "lora_dropout",
		`"init_lora_weights": "pissa_niter_4"`: "pissa",
		`"init_lora_weights": "OLoRA"`:         "OLoRA", `"init_lora_weights": "lora_ga"`: "lora_ga",
		`"kasa_config": {"beta": 0.1}`: "kasa_config", `"monteclora_config": {}`: "monteclora_config",
		`"trainable_token_indices": [1]`: "trainable_token_indices", `"lora_bias": true`: "lora_bias",
		`"modules_to_save": 3`: "modules_to_save",
	} {
		if _, err := ReadConfig(adapter(t,
			`"target_modules": ["q_proj"], `+keys)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", keys, err, want)
		}
	}
	harmless := `"target_modules": ["q_proj"], "rank_pattern": {}, "layer_replication": null, "init_lora_weights": true, ` +
		`"some_new_key": 1, "modules_to_save": null`
	if _, err := ReadConfig(adapter(t, harmless)); err != nil {
		t.Error(err)
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "adapter_model.bin"), "x")
	if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), "pickle") {
		t.Errorf("a pickle: %v", err)
	}
}

// A cut configuration is an error, at any byte.
func FuzzConfig(f *testing.F) {
	c := Config{Rank: 8, Alpha: 16, Targets: []string{"q_proj"}}
	text, err := c.JSON(c.Targets)
	if err != nil {
		f.Fatal(err)
	}
	for i := range len(text) - 2 {
		if _, _, err := parse(text[:i]); err == nil {
			f.Errorf("accepted when cut after %d bytes", i)
		}
	}
	f.Add(text)
	f.Add([]byte(`{"peft_type": "LORA", "r": 1e9, "lora_alpha": -1, "target_modules": {"a": 1}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, _, err := parse(text)
		if err == nil && (c.Rank < 1 || c.Rank > MaxRank || !(c.Alpha > 0) || !json.Valid(text)) {
			t.Errorf("accepted %q as %+v", text, c)
		}
	})
}
