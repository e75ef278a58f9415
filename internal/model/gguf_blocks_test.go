package model

import (
	"slices"
	"strings"
	"testing"

	"concord/gpu"
	"concord/internal/gguf"
	"concord/internal/optest"
	"concord/internal/param"
	"concord/tensor"
)

// A frozen model whose matrices lie in the blocks of its file has the losses, and the
// gradients of what is trained, of the same weights as float32: rows of q and k in their
// other order, rows of several parameters in one tensor, tied embeddings and a head.
func TestModelInBlocks(t *testing.T) {
	e := testEngine(t)
	wide := func(name string, change func(*Config)) Config {
		c := importable()[name]
		c.Hidden, c.FFN, c.Heads, c.KVHeads, c.HeadDim = 32, 64, 4, 2, 8
		if change != nil {
			change(&c)
		}
		return c
	}
	for name, c := range map[string]Config{
		"llama, tied":   wide("mistral", func(c *Config) { c.TieWordEmbeddings = true }),
		"llama, untied": wide("mistral", func(c *Config) { c.TieWordEmbeddings, c.AttentionBias = false, true }),
		"gemma3":        wide("gemma3", func(c *Config) { c.QueryScalar = 8 }),
		"phi3":          wide("phi3", nil),
		"gpt2":          wide("gpt2, tied=true", func(c *Config) { c.KVHeads = 4 }),
	} {
		for _, kind := range []gguf.Type{gguf.Q8_0, gguf.Q4_0, gguf.BF16} {
			f, _ := writeGGUF(t, c, kind, valuesOf(c))
			frozen := func(s Spec) bool { return !s.Kind.Vector() }
			plain, blocks := newWeights(e, c), weights{}
			types, err := GGUFTypes(f.Path)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range ParamSpecs(c) {
				d := types[s.Name]
				if frozen(s) != (d != tensor.F32) && !strings.HasSuffix(s.Name, "wpe.weight") {
					t.Errorf("%s %v: %s is %v", name, kind, s.Name, d)
				}
				blocks[s.Name] = e.NewTyped(gpu.RoleWeights, s.Name, d, s.R, s.C)
			}
			var losses [2][]float32
			var grads [2]*gradients
			for i, w := range []weights{plain, blocks} {
				if err := Load(e, f.Path, c, w); err != nil {
					t.Fatal(err)
				}
				m, err := newTransformer(e, c, w, Dims{Rows: 3, SeqLen: 11, LogitsChunk: 16, Objectives: 3, Frozen: frozen})
				if err != nil {
					t.Fatal(err)
				}
				s := &setup{e: e, c: c, w: w, m: m, b: m.NewBatch()}
				losses[i], grads[i] = s.step(t, packed(c))
			}
			if err := optest.Compare(losses[1], losses[0], 1e-12); err != nil {
				t.Errorf("%s %v: loss: %v", name, kind, err)
			}
			for _, s := range ParamSpecs(c) {
				if frozen(s) {
					a, err1 := e.Download(plain[s.Name])
					b, err2 := e.Download(blocks[s.Name])
					if at := optest.Bits(b, a); at >= 0 || err1 != nil || err2 != nil {
						t.Errorf("%s %v: %s differs at %d (%v, %v)", name, kind, s.Name, at, err1, err2)
					}
					continue
				}
				for m := range 3 {
					if err := compareGradient(grads[1].read(e, s.Name, m), grads[0].read(e, s.Name, m), 1e-10); err != nil {
						t.Errorf("%s %v: gradient of %s: %v", name, kind, s.Name, err)
					}
				}
			}
		}
	}
}

// Blocks are asked for of matrices in blocks only.
func TestBlocksAreRefused(t *testing.T) {
	c := tiny(false)
	f, _ := writeGGUF(t, c, gguf.F32, valuesOf(c))
	g, err := ReadGGUF(f)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range ParamSpecs(c) {
		if s.Kind == param.Linear || s.Kind == param.Norm {
			if _, err := g.Blocks(s.Name); err == nil || g.typeOf(s.Name) != tensor.F32 {
				t.Errorf("%s: %v", s.Name, err)
			}
		}
	}
	if _, err := g.Blocks("nothing"); err == nil || slices.Contains(f.Names(), "nothing") {
		t.Error("blocks of nothing")
	}
}
