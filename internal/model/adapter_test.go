package model

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"concord/internal/optest"
	"concord/internal/param"
	"concord/internal/peft"
	"concord/internal/safetensors"
)

// adapted are models with adapters: of every shape that PEFT treats in a way of its own
// (biases, fused maps, transposed ones), tied and not, of some maps and of all, with parts
// trained whole.
func adapted() map[string]Config {
	out, all := map[string]Config{}, models()
	add := func(name string, a peft.Config) {
		c := all[name]
		c.Adapter = &a
		out[fmt.Sprintf("%s, %v, dora=%v", name, a.Targets, a.DoRA)] = c
	}
	every := []string{peft.AllLinear}
	add("llama, untied", peft.Config{Rank: 3, Alpha: 5, Targets: every})
	add("llama, tied", peft.Config{Rank: 4, Alpha: 4, Targets: []string{"q_proj", "v_proj", "down_proj"}, RankStabilised: true})
	add("qwen2", peft.Config{Rank: 2, Alpha: 3, Targets: every, Save: []string{"embed_tokens"}})
	add("gpt2, tied=true", peft.Config{Rank: 4, Alpha: 8, Targets: every, Save: []string{"lm_head", "ln_f"}})
	add("gpt2, tied=false", peft.Config{Rank: 4, Alpha: 8, Targets: []string{"c_attn", "h.1.mlp.c_proj"}, Save: []string{"lm_head"}})
	add("phi3", peft.Config{Rank: 4, Alpha: 6, Targets: every})
	add("phi3", peft.Config{Rank: 8, Alpha: 4, Targets: []string{"qkv_proj"}, RankStabilised: true})
	add("llama, tied", peft.Config{Rank: 3, Alpha: 5, Targets: every, DoRA: true})
	add("qwen2", peft.Config{Rank: 2, Alpha: 3, Targets: []string{"q_proj", "o_proj", "up_proj"}, DoRA: true, RankStabilised: true,
		Save: []string{"lm_head"}})
	add("gpt2, tied=false", peft.Config{Rank: 4, Alpha: 8, Targets: every, DoRA: true})
	add("phi3", peft.Config{Rank: 3, Alpha: 3, Targets: []string{"qkv_proj", "gate_up_proj"}, DoRA: true})
	add("qwen3", peft.Config{Rank: 5, Alpha: 6, Targets: []string{"q_proj", "down_proj"}, Layers: []int{1}, DoRA: true,
		RankPattern: map[string]int{"q_proj": 2}, AlphaPattern: map[string]float64{"layers.1.mlp.down_proj": 2}})
	add("mistral", peft.Config{Rank: 2, Alpha: 6, Targets: every,
		RankPattern: map[string]int{"layers.0.self_attn.q_proj": 7, "v_proj": 1}, AlphaPattern: map[string]float64{"mlp.up_proj": 1}})
	add("gemma2", peft.Config{Rank: 5, Alpha: 6, Targets: every})
	add("llama, untied", peft.Config{Rank: 3, Alpha: 5, Targets: []string{"q_proj", "embed_tokens", "lm_head"},
		RankPattern: map[string]int{"lm_head": 5}})
	add("llama, untied", peft.Config{Rank: 3, Alpha: 3, Targets: []string{"lm_head"}})
	add("llama, untied", peft.Config{Rank: 3, Alpha: 5, Targets: []string{"embed_tokens"}, Save: []string{"lm_head"}})
	add("llama, tied", peft.Config{Rank: 6, Alpha: 5, Targets: []string{"embed_tokens", "up_proj"}, Tied: true})
	add("gpt2, tied=true", peft.Config{Rank: 4, Alpha: 8, Targets: []string{"lm_head", "c_fc"}, Tied: true})
	add("gemma2", peft.Config{Rank: 2, Alpha: 6, Targets: []string{"embed_tokens", "q_proj"}, RankStabilised: true, Tied: true})
	return out
}

// randomAdapter gives all of the adapter's parameters values other than those it begins
// with, under which B's gradient alone is not zero.
func randomAdapter(t *testing.T, s *setup) {
	t.Helper()
	for i, p := range newNetwork(s.c).params() {
		if !p.adapter {
			continue
		}
		v := optest.Random(p.Size(), uint64(100+i))
		for j := range v {
			v[j] *= 0.3               // attention that is all one token's has no gradient but rounding
			if p.Kind == param.Norm { // of DoRA: a length
				v[j] += 0.5
			}
		}
		s.e.Upload(s.w[p.Name], v)
		s.params[p.Name] = nil
		for _, x := range v {
			s.params[p.Name] = append(s.params[p.Name], float64(x))
		}
	}
}

// Loss and the gradients of what is trained, per objective, against the float64
// reference; what is frozen is not asked for.
func TestAdapters(t *testing.T) {
	e := testEngine(t)
	for name, c := range adapted() {
		t.Run(name, func(t *testing.T) {
			s := newSetupOf(t, e, c, 3)
			randomAdapter(t, s)
			loss, g := s.step(t, s.tokens)
			l, b := reference(s.c, s.params), refBatch(s.tokens)
			if err := optest.Compare(loss, float32s(l.Loss(b)), tolerance); err != nil {
				t.Errorf("loss: %v", err)
			}
			var trained []string
			for _, spec := range ParamSpecs(c) {
				if !spec.Frozen {
					trained = append(trained, spec.Name)
				}
			}
			for m, want := range l.Backward(b, s.tokens.Starts) {
				for _, name := range trained {
					if err := compareGradient(g.read(e, name, m), float32s(want[name]), 10*tolerance); err != nil {
						t.Errorf("objective %d, %s: %v", m, name, err)
					}
				}
			}
			if !slices.Equal(g.done, trained) {
				t.Errorf("gradients complete in the order %v,\nParamSpecs says %v", g.done, trained)
			}
			decodes(t, s, l)
			merges(t, s, l)
		})
	}
}

// decodes holds that decoding uses the adapter.
func decodes(t *testing.T, s *setup, l *twin) {
	t.Helper()
	tokens := goldenTokens([]float32{1, 5, 2, 8}, 0)
	want := float32s(l.Logits(refBatch(tokens)))
	d, err := s.m.NewDecoder(4)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Release()
	got, err := d.Append(tokens.IDs...)
	if err != nil {
		t.Fatal(err)
	}
	if err := optest.Compare(got, want[3*s.c.Vocab:], tolerance); err != nil {
		t.Errorf("decoding: %v", err)
	}
}

// At the start an adapted model computes what its base does.
func TestInitAdapter(t *testing.T) {
	e := testEngine(t)
	for _, name := range []string{"llama, untied", "phi3", "gpt2, tied=true"} {
		c := models()[name]
		base := newSetupOf(t, e, c, 1)
		if err := base.b.Upload(oneOf(base.tokens)); err != nil {
			t.Fatal(err)
		}
		base.m.EvalLoss(base.b)
		want, err := e.Download(base.m.loss)
		if err != nil {
			t.Fatal(err)
		}
		c.Adapter = &peft.Config{Rank: 4, Alpha: 8, Targets: []string{peft.AllLinear}, DoRA: name == "phi3"}
		s := newSetupOf(t, e, c, 1)
		for _, spec := range ParamSpecs(base.c) {
			v, err := e.Download(base.w[spec.Name])
			if err != nil {
				t.Fatal(err)
			}
			e.Upload(s.w[spec.Name], v)
		}
		if err := InitAdapter(e, c, s.w, 3); err != nil {
			t.Fatal(err)
		}
		if err := s.b.Upload(oneOf(s.tokens)); err != nil {
			t.Fatal(err)
		}
		s.m.EvalLoss(s.b)
		got, err := e.Download(s.m.loss)
		if err != nil {
			t.Fatal(err)
		}
		if err := optest.Compare(got, want, 1e-12); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, p := range newNetwork(c).params() {
			if !strings.HasSuffix(p.Name, peft.A) {
				continue
			}
			v, err := e.Download(s.w[p.Name])
			if err != nil {
				t.Fatal(err)
			}
			if lo, hi := slices.Min(v), slices.Max(v); lo*lo*float32(p.C) > 1 || hi*hi*float32(p.C) > 1 || lo > -0.2/float32(p.C) ||
				hi < 0.2/float32(p.C) {
				t.Errorf("%s: %s is in %v … %v, want all of ±1/√%d", name, p.Name, lo, hi, p.C)
			}
		}
	}
}

// oneOf is t with all tokens in one objective.
func oneOf(t Tokens) Tokens {
	t.Starts = nil
	return t
}

// What does not fit the model is refused with what would.
func TestCheckAdapter(t *testing.T) {
	for _, c := range []struct {
		a    peft.Config
		want string
	}{
		{peft.Config{Rank: 4, Alpha: 8, Targets: []string{"query"}}, "these are: down_proj, embed_tokens, gate_proj, k_proj, lm_head, o_proj"},
		{peft.Config{Rank: 4, Alpha: 8, Targets: []string{"lm_head"}}, "made without ensure_weight_tying"},
		{peft.Config{Rank: 4, Alpha: 8, Targets: []string{"lm_head"}, Tied: true, DoRA: true}, "DoRA is for the linear maps of the layers"},
		{peft.Config{Rank: 4, Alpha: 8, Targets: []string{"lm_head", "q_proj"}, Tied: true, Layers: []int{0}}, "in none of its layers"},
		{peft.Config{Rank: 4, Alpha: 8, Targets: []string{"lm_head"}, Tied: true, Save: []string{"embed_tokens"}}, "both adapted and trained whole"},
		{peft.Config{Rank: 4, Alpha: 8, Targets: []string{"lm_head"}, Tied: true, RankPattern: map[string]int{"lm_head": 2}}, "gives them two"},
		{peft.Config{Rank: 4, Alpha: 8, Targets: []string{"lm_head"}, Tied: true, AlphaPattern: map[string]float64{"embed_tokens": 2}},
			"gives them two"},
		{peft.Config{Rank: 4, Alpha: 8, Targets: []string{"wpe"}, Tied: true}, "no linear map of the model's layers, no embedding and no head"},
		{peft.Config{Rank: 4, Alpha: 8, Targets: []string{"q_proj"}, Save: []string{"wte"}}, "no part of the model"},
		{peft.Config{Rank: 4, Alpha: 8, Targets: []string{"q_proj"}, Save: []string{"q_proj"}}, "both adapted and trained whole"},
		{peft.Config{Rank: 4, Alpha: 8, Targets: []string{"q_proj"}, Layers: []int{2}}, "layer 2 is none"},
		{peft.Config{Rank: 4, Alpha: 8, Targets: []string{"q_proj"}, RankPattern: map[string]int{"k_proj": 2}}, "no module that is adapted"},
		{peft.Config{Rank: 4, Alpha: 8, Targets: []string{"q_proj"}, Layers: []int{0}, RankPattern: map[string]int{"layers.1.self_attn.q_proj": 2}},
			"no module that is adapted"},
		{peft.Config{Rank: 4, Alpha: 8, Targets: []string{"layers.1.self_attn.q_proj"}, Layers: []int{0}}, "none of its layers"},
		{peft.Config{Rank: 4, Alpha: 8, Targets: []string{"q_proj"}, RankPattern: map[string]int{"q_proj": 0}}, "the rank of"},
		{peft.Config{Rank: 4, Alpha: 8, Targets: []string{"q_proj"}, AlphaPattern: map[string]float64{"q_proj": 2, "self_attn.q_proj": 3}}, "both name"},
		{peft.Config{Rank: 4, Alpha: 8, Targets: []string{"q_proj"}, AlphaPattern: map[string]float64{"q_proj": -2}}, "the alpha of"},
		{peft.Config{Rank: 0, Alpha: 8, Targets: []string{"q_proj"}}, "rank 0"},
	} {
		m := tiny(true)
		m.Adapter = &c.a
		if err := m.CheckAdapter(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.a, err, c.want)
		}
	}
	m := tiny(true)
	m.Adapter = &peft.Config{Rank: 4, Alpha: 8, Targets: []string{"lm_head"}, Tied: true,
		RankPattern: map[string]int{"lm_head": 2, "embed_tokens": 2}}
	if err := m.CheckAdapter(); err != nil {
		t.Errorf("one rank under both names: %v", err)
	}
}

// merges holds that the merged weights compute what the adapted model does, after a way
// through the adapter's files.
func merges(t *testing.T, s *setup, l *twin) {
	t.Helper()
	dir, from := t.TempDir(), t.TempDir()
	read := func(name string) ([]float32, error) { return float32s(s.params[name]), nil }
	if err := WriteAdapter(dir, from, s.c, safetensors.F32, read); err != nil {
		t.Fatal(err)
	}
	a, err := peft.ReadConfig(dir)
	if err != nil {
		t.Fatal(err)
	}
	c := s.c
	c.Adapter = a
	values, err := ReadAdapter(dir, c)
	if err != nil {
		t.Fatal(err)
	}
	merged, plain := Merged(c, read, values), map[string][]float64{}
	c.Adapter = nil
	for _, spec := range ParamSpecs(c) {
		v, err := merged(spec.Name)
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range v {
			plain[spec.Name] = append(plain[spec.Name], float64(x))
		}
	}
	b := refBatch(s.tokens)
	if err := optest.Compare(float32s(reference(c, plain).Logits(b)), float32s(l.Logits(b)), 1e-11); err != nil {
		t.Errorf("merged: %v", err)
	}
}

// Tensors that PEFT writes twice must be alike, and the base's own that it adds those of the
// base model; a tied adapter of one of the two matrices alone is refused.
func TestTokenCopies(t *testing.T) {
	for _, name := range []string{"gemma-tokens", "mistral-tokens"} {
		dir := filepath.Join("testdata/adapters", name)
		a, err := peft.ReadConfig(dir)
		if err != nil {
			t.Fatal(err)
		}
		base, err := filepath.Abs(filepath.Join(dir, a.Base))
		if err != nil {
			t.Fatal(err)
		}
		c, err := ReadConfig(base)
		if err != nil {
			t.Fatal(err)
		}
		a.Base, c.Adapter = base, a
		if c.TieWordEmbeddings {
			loose := *a
			loose.Tied = false
			with := c
			with.Adapter = &loose
			if err := with.CheckAdapter(); err == nil || !strings.Contains(err.Error(), "changes only one of them") {
				t.Errorf("%s without the tie: %v", name, err)
			}
		}
		for _, tensor := range []string{"", "lm_head.base_layer.weight", "embed_tokens.base_layer.weight", "lm_head.lora_A.weight",
			"lm_head.lora_B.weight"} {
			_, err := ReadAdapter(changed(t, dir, tensor), c)
			free := tensor == "" || !c.TieWordEmbeddings && strings.Contains(tensor, "lora")
			if free && err != nil || !free && (err == nil || !strings.Contains(err.Error(), "differs from the matrix that it repeats")) {
				t.Errorf("%s: %q changed: %v", name, tensor, err)
			}
		}
	}
}

// changed is a copy of the weights of the adapter in dir in which one value of a tensor differs.
func changed(t *testing.T, dir, tensor string) string {
	t.Helper()
	r, err := peft.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var entries []safetensors.Entry
	for _, name := range r.Names() {
		info, _ := r.Tensor(name)
		v, err := r.ReadFloat32(name)
		if err != nil {
			t.Fatal(err)
		}
		if tensor != "" && strings.HasSuffix(name, tensor) {
			v[1]++
		}
		entries = append(entries, safetensors.Entry{Name: name, Shape: info.Shape, DType: safetensors.F32,
			Data: func() ([]float32, error) { return v, nil }})
	}
	out := t.TempDir()
	if err := safetensors.Write(filepath.Join(out, peft.WeightsFile), entries, nil); err != nil {
		t.Fatal(err)
	}
	return out
}

// Embeddings tied to the head are two modules to PEFT: both are written, and read as one
// only where they are alike.
func TestTiedAdapter(t *testing.T) {
	c := tiny(true)
	c.Adapter = &peft.Config{Rank: 2, Alpha: 4, Targets: []string{"q_proj"}, Save: []string{"embed_tokens", "norm"}}
	values := map[string][]float32{}
	for i, s := range ParamSpecs(c) {
		values[s.Name] = optest.Random(s.Size(), uint64(i))
	}
	dir := t.TempDir()
	if err := WriteAdapter(dir, t.TempDir(), c, safetensors.F32,
		func(name string) ([]float32, error) { return values[name], nil }); err != nil {
		t.Fatal(err)
	}
	a, err := peft.ReadConfig(dir)
	if err != nil || !slices.Equal(a.Save, []string{"norm", "embed_tokens", "lm_head"}) {
		t.Fatalf("modules_to_save %v, %v", a, err)
	}
	c.Adapter = a
	got, err := ReadAdapter(dir, c)
	if err != nil || !slices.Equal(got["model.embed_tokens.weight"], values["model.embed_tokens.weight"]) {
		t.Errorf("read %v", err)
	}
	for _, change := range []func(name string, v []float32) (string, []float32){
		func(name string, v []float32) (string, []float32) {
			if strings.Contains(name, "lm_head") {
				v[3]++
			}
			return name, v
		},
		func(name string, v []float32) (string, []float32) {
			return strings.Replace(name, "lm_head", "other", 1), v
		},
	} {
		r, err := peft.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		other, entries := t.TempDir(), []safetensors.Entry(nil)
		for _, name := range r.Names() {
			info, _ := r.Tensor(name)
			v, err := r.ReadFloat32(name)
			if err != nil {
				t.Fatal(err)
			}
			name, v := change(name, v)
			entries = append(entries, safetensors.Entry{Name: name, Shape: info.Shape, DType: safetensors.F32,
				Data: func() ([]float32, error) { return v, nil }})
		}
		r.Close()
		if err := safetensors.Write(filepath.Join(other, peft.WeightsFile), entries, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadAdapter(other, c); err == nil || !strings.Contains(err.Error(), "in the model they are one") {
			t.Errorf("accepted with %v", err)
		}
	}
}
