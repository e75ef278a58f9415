package model

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"concord/internal/optest"
	"concord/internal/safetensors"
	"concord/tensor"
)

func TestSaveAndLoad(t *testing.T) {
	e := testEngine(t)
	for _, c := range models() {
		s := newSetupOf(t, e, c, 1)
		from, dir := t.TempDir(), filepath.Join(t.TempDir(), "out")
		os.WriteFile(filepath.Join(from, "tokenizer.json"), []byte(`{"a":1}`), 0o644)
		if err := save(s.e, dir, from, s.c, s.w, ""); err != nil {
			t.Fatal(err)
		}
		if b, _ := os.ReadFile(filepath.Join(dir, "tokenizer.json")); string(b) != `{"a":1}` {
			t.Errorf("tokenizer.json is %q", b)
		}
		c, err := ReadConfig(dir)
		if err != nil {
			t.Fatal(err)
		}
		w := newWeights(s.e, c)
		if err := Load(s.e, dir, c, w); err != nil {
			t.Fatal(err)
		}
		for name, want := range s.params {
			got, err := s.e.Download(w[name])
			if err != nil {
				t.Fatal(err)
			}
			if at := optest.Bits(got, float32s(want)); at >= 0 {
				t.Errorf("%s differs at %d", name, at)
			}
		}
		first, _ := os.ReadFile(filepath.Join(dir, safetensors.SingleFile))
		if err := save(s.e, dir, dir, c, w, c.DType); err != nil { // onto itself
			t.Fatal(err)
		}
		if second, _ := os.ReadFile(filepath.Join(dir, safetensors.SingleFile)); !bytes.Equal(first, second) {
			t.Error("saved, loaded and saved again, the weights differ")
		}
		if err := save(s.e, dir, "", c, w, safetensors.BF16); err != nil {
			t.Fatal(err)
		}
		if c, _ = ReadConfig(dir); c.DType != safetensors.BF16 {
			t.Errorf("config.json says %q of bf16 weights", c.DType)
		}
		if err := Load(s.e, dir, c, w); err != nil {
			t.Error(err)
		}
	}
}

const (
	llamaEmbed = "model.embed_tokens.weight"
	llamaNorm  = "model.norm.weight"
	llamaHead  = "lm_head.weight"
)

// entriesOf is a tiny model's tensors, to be damaged.
func entriesOf(c Config) []safetensors.Entry {
	var out []safetensors.Entry
	for _, s := range storedTensors(c) {
		out = append(out, entry(s.name, s.shape(), 0.5))
	}
	return out
}

func entry(name string, shape []int, value float32) safetensors.Entry {
	return safetensors.Entry{Name: name, Shape: shape, DType: safetensors.F32, Data: func() ([]float32, error) {
		n := 1
		for _, d := range shape {
			n *= d
		}
		v := make([]float32, n)
		v[n-1] = value
		return v, nil
	}}
}

func TestLoadRefusals(t *testing.T) {
	s := newSetup(t, true, 1)
	nan := float32(math.NaN())
	replace := func(e safetensors.Entry) func([]safetensors.Entry) []safetensors.Entry {
		return func(all []safetensors.Entry) []safetensors.Entry {
			for i := range all {
				if all[i].Name == e.Name {
					all[i] = e
					return all
				}
			}
			return append(all, e)
		}
	}
	for _, c := range []struct {
		what   string
		untied bool
		change func([]safetensors.Entry) []safetensors.Entry
		want   string // "" = loads
	}{
		{"unchanged", false, func(a []safetensors.Entry) []safetensors.Entry { return a }, ""},
		{"rotary buffer", false, replace(entry("model.layers.0.self_attn.rotary_emb.inv_freq", []int{4}, 1)), ""},
		{"repeated head", false, replace(entry(llamaHead, []int{37, 20}, 0.5)), ""},
		{"another head", false, replace(entry(llamaHead, []int{37, 20}, 0.25)), "tie_word_embeddings is true, but lm_head.weight differs"},
		{"no head", true, func(a []safetensors.Entry) []safetensors.Entry { return a }, "set tie_word_embeddings to true"},
		{"missing", false, func(a []safetensors.Entry) []safetensors.Entry { return a[1:] }, "no tensor model.norm.weight"},
		{"bias", false, replace(entry("model.layers.0.self_attn.q_proj.bias", []int{32}, 1)), "q_proj.bias is not part"},
		{"shape", false, replace(entry(llamaEmbed, []int{38, 20}, 1)), "has the shape [38 20], config.json asks for [37 20]"},
		{"NaN", false, replace(entry("model.layers.1.mlp.up_proj.weight", []int{28, 20}, nan)), `"model.layers.1.mlp.up_proj.weight": value 559 of 560 is NaN`},
	} {
		dir := t.TempDir()
		if err := safetensors.WriteModel(dir, c.change(entriesOf(s.c)), nil, 0); err != nil {
			t.Fatal(err)
		}
		cfg := s.c
		cfg.TieWordEmbeddings = !c.untied
		err := Load(s.e, dir, cfg, s.w)
		if c.want == "" && err != nil {
			t.Errorf("%s: %v", c.what, err)
		}
		if c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: error %v, want %q", c.what, err, c.want)
		}
	}
	if err := Load(s.e, t.TempDir(), s.c, s.w); err == nil {
		t.Error("an empty folder loads")
	}
}

func TestSaveRefusesNaN(t *testing.T) {
	s := newSetup(t, true, 1)
	dir := t.TempDir()
	if err := save(s.e, dir, "", s.c, s.w, safetensors.F32); err != nil {
		t.Fatal(err)
	}
	before, _ := os.ReadFile(filepath.Join(dir, safetensors.SingleFile))
	bad := make([]float32, 20)
	bad[3] = float32(math.Inf(1))
	s.e.Upload(s.w[llamaNorm], bad)
	if err := save(s.e, dir, "", s.c, s.w, safetensors.F32); err == nil || !strings.Contains(err.Error(), "model.norm.weight") {
		t.Errorf("error %v does not name the tensor", err)
	}
	if after, _ := os.ReadFile(filepath.Join(dir, safetensors.SingleFile)); !bytes.Equal(before, after) {
		t.Error("the refused save changed the file")
	}
}

// Files of GPT-2 come with and without a prefix and with masks among the tensors;
// what is saved has the prefix, and matrices as (in, out).
func TestLoadPrefixes(t *testing.T) {
	s := newSetupOf(t, testEngine(t), models()["gpt2, tied=true"], 1)
	bare := func(name string) string { return strings.TrimPrefix(name, "transformer.") }
	for _, name := range []func(string) string{func(name string) string { return name }, bare} {
		dir := t.TempDir()
		entries := entriesOf(s.c)
		for i := range entries {
			entries[i].Name = name(entries[i].Name)
		}
		for _, buffer := range []string{"transformer.h.0.attn.bias", "transformer.h.1.attn.masked_bias"} {
			entries = append(entries, entry(name(buffer), []int{1}, 1))
		}
		if err := safetensors.WriteModel(dir, entries, nil, 0); err != nil {
			t.Fatal(err)
		}
		if err := Check(dir, s.c); err != nil {
			t.Error(err)
		}
		if err := Load(s.e, dir, s.c, s.w); err != nil {
			t.Error(err)
		}
	}
	dir := t.TempDir()
	if err := save(s.e, dir, "", s.c, s.w, safetensors.F32); err != nil {
		t.Fatal(err)
	}
	r, err := safetensors.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if x, ok := r.Tensor("transformer.h.0.attn.c_attn.weight"); !ok || !slices.Equal(x.Shape, []int{s.c.Hidden, 3 * s.c.Hidden}) {
		t.Errorf("c_attn is saved as %+v", x)
	}
}

// save writes the weights in w as Write does.
func save(e *tensor.Engine, dir, from string, c Config, w Weights, dtype safetensors.DType) error {
	return Write(dir, from, c, dtype, func(name string) ([]float32, error) { return e.Download(w.Weight(name)) })
}
