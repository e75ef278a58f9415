package model

import (
	"bytes"
	"errors"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"concord/internal/gguf"
	"concord/internal/gguf/gguftest"
	"concord/internal/peft"
)

// ggufAdapters are adapters that llama.cpp's files can hold, of every family whose files
// differ: rows in another order, fused maps, scales and ranks of their own.
func ggufAdapters() map[string]Config {
	out := map[string]Config{}
	for name, c := range importable() {
		c.Adapter = &peft.Config{Rank: 3, Alpha: 5, Targets: []string{peft.AllLinear}}
		switch name {
		case "llama":
			c.Adapter.RankStabilised = true
		case "mistral":
			c.Adapter = &peft.Config{Rank: 2, Alpha: 6, Targets: []string{"q_proj", "v_proj"},
				RankPattern: map[string]int{"v_proj": 4}, AlphaPattern: map[string]float64{"layers.1.self_attn.q_proj": 1}}
		}
		out[name] = c
	}
	return out
}

func writeGGUFAdapter(t *testing.T, c Config, values map[string][]float32) *gguf.File {
	t.Helper()
	var b bytes.Buffer
	if err := WriteGGUFAdapter(&b, c, nil, func(name string) ([]float32, error) { return values[name], nil }); err != nil {
		t.Fatal(err)
	}
	return openGGUF(t, b.Bytes())
}

// What llama.cpp computes of an adapter's file, base + alpha/rank · B A tensor by tensor
// in the files' own order, is the merged model's file; and what is read back is the
// adapter.
func TestGGUFAdapter(t *testing.T) {
	for name, c := range ggufAdapters() {
		t.Run(name, func(t *testing.T) {
			values, plain := valuesOf(c), c
			plain.Adapter = nil
			read := func(name string) ([]float32, error) { return values[name], nil }
			trained := map[string][]float32{}
			for _, p := range newNetwork(c).params() {
				if p.adapter {
					trained[p.Name] = values[p.Name]
				}
			}
			whole := map[string][]float32{}
			for _, s := range ParamSpecs(plain) {
				v, err := Merged(c, read, trained)(s.Name)
				if err != nil {
					t.Fatal(err)
				}
				whole[s.Name] = v
			}
			base, _ := writeGGUF(t, plain, gguf.F32, values)
			merged, _ := writeGGUF(t, plain, gguf.F32, whole)
			adapter := writeGGUFAdapter(t, c, values)
			applied(t, base, merged, adapter)
			a, got, err := ReadGGUFAdapter(adapter, plain)
			if err != nil {
				t.Fatal(err)
			}
			again := c
			again.Adapter = a
			for _, s := range ParamSpecs(plain) {
				v, err := Merged(again, read, got)(s.Name)
				if err != nil {
					t.Fatal(err)
				}
				if _, most := Differ(v, whole[s.Name]); most > 2e-6 {
					t.Errorf("%s merged from the file differs by %v", s.Name, most)
				}
			}
			round := GGUFAdapterRounding(adapter, c)
			for name, v := range trained {
				want, known, err := round(name, v)
				if n, most := Differ(want, got[name]); n > 0 || !known || err != nil {
					t.Errorf("%s: %d values differ from those rounded in memory, by %v (%v)", name, n, most, err)
				}
			}
		})
	}
}

// applied holds that base and adapter make merged, by the files' tensors alone.
func applied(t *testing.T, base, merged, adapter *gguf.File) {
	t.Helper()
	alpha, err := adapter.Float("adapter.lora.alpha")
	if err != nil {
		t.Fatal(err)
	}
	read := func(f *gguf.File, name string) ([]float32, []int) {
		x, ok := f.Tensor(name)
		if !ok {
			return nil, nil
		}
		v, err := f.Read(x)
		if err != nil {
			t.Fatal(err)
		}
		return v, x.Shape
	}
	changed := 0
	for _, name := range base.Names() {
		w, shape := read(base, name)
		want, _ := read(merged, name)
		a, _ := read(adapter, name+".lora_a")
		b, rank := read(adapter, name+".lora_b")
		for i := range w {
			v := float64(w[i])
			for k := 0; a != nil && k < rank[1]; k++ {
				v += alpha / float64(rank[1]) * float64(b[i/shape[1]*rank[1]+k]) * float64(a[k*shape[1]+i%shape[1]])
			}
			if math.Abs(v-float64(want[i])) > 2e-6 {
				t.Fatalf("%s: value %d is %v with the adapter, merged %v", name, i, v, want[i])
			}
		}
		if a != nil {
			changed++
		}
	}
	if 2*changed != len(adapter.Names()) || changed == 0 {
		t.Errorf("%d tensors are adapted by %d of the file", changed, len(adapter.Names()))
	}
}

// What a file cannot hold is refused with the way out, and so is a file that does not fit
// the base model or from which something would be lost.
func TestGGUFAdapterRefuses(t *testing.T) {
	c := tiny(true)
	for want, a := range map[string]*peft.Config{
		"no adapter": nil, "DoRA": {Rank: 2, Alpha: 2, Targets: []string{"q_proj"}, DoRA: true},
		"trained whole (norm)": {Rank: 2, Alpha: 2, Targets: []string{"q_proj"}, Save: []string{"norm"}},
	} {
		c.Adapter = a
		if err := WriteGGUFAdapter(&bytes.Buffer{}, c, nil, nil); !errors.Is(err,
			ErrNoGGUFAdapter) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	c.Adapter = nil
	matrix := func(name string, shape ...int) gguftest.Tensor {
		return gguftest.Tensor{Name: name, Shape: shape, Values: make([]float32, shape[0]*shape[1])}
	}
	q, h := c.Heads*c.HeadDim, c.Hidden
	good := []gguftest.Tensor{matrix("blk.0.attn_q.weight.lora_a", 2, h), matrix("blk.0.attn_q.weight.lora_b", q, 2)}
	for want, x := range map[string]struct {
		arch, kind string
		alpha      float32
		tensors    []gguftest.Tensor
	}{
		"for a gemma2 model":   {"gemma2", "lora", 2, good},
		`"alora" is not lora`:  {"llama", "alora", 2, good},
		"must be positive":     {"llama", "lora", -2, good},
		"no tensor adapts":     {"llama", "lora", 2, nil},
		"attn_q.weight.lora_b": {"llama", "lora", 2, good[:1]},
		"has the shape [3 3]":  {"llama", "lora", 2, []gguftest.Tensor{matrix("blk.0.attn_q.weight.lora_a", 3, 3), good[1]}},
		"a rank of 1 to 4096":  {"llama", "lora", 2, []gguftest.Tensor{matrix("blk.0.attn_q.weight.lora_a", 5000, 1), good[1]}},
		"token_embd": {"llama", "lora", 2, append([]gguftest.Tensor{matrix("token_embd.weight.lora_a", 2, h)},
			good...)},
		"": {"llama", "lora", 0, good},
	} {
		path := filepath.Join(t.TempDir(), "x.gguf")
		gguftest.Write(t, path, map[string]any{"general.architecture": x.arch, "general.type": "adapter",
			"adapter.type": x.kind, "adapter.lora.alpha": x.alpha}, x.tensors)
		f, err := gguf.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		a, _, err := ReadGGUFAdapter(f, c)
		f.Close()
		if want == "" {
			if err != nil || a.ScaleOf("model.layers.0.self_attn.q_proj") != 1 {
				t.Errorf("without an alpha: %+v, %v", a, err)
			}
		} else if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}
