package export

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"concord/internal/fault"
	"concord/internal/gguf"
	"concord/internal/model"
	"concord/internal/modeldir"
	"concord/internal/optest"
	"concord/internal/peft"
	"concord/internal/safetensors"
	"concord/internal/train/traintest"
)

// lora writes an adapter of rank 2 with random values beside the model in base.
func lora(t *testing.T, base string, a peft.Config) string {
	t.Helper()
	c, err := modeldir.Config(base)
	if err != nil {
		t.Fatal(err)
	}
	a.Rank, a.Alpha, a.Base = 2, 4, base
	c.Adapter = &a
	sizes, out := map[string]int{}, filepath.Join(t.TempDir(), "adapter")
	for _, s := range model.ParamSpecs(c) {
		sizes[s.Name] = s.Size()
	}
	err = model.WriteAdapter(out, base, c, safetensors.F32, func(name string) ([]float32, error) {
		return optest.Random(sizes[name], uint64(len(name))), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// A parameter of the adapter that the artefact does not have is not the source's own: the
// modules that are trained whole are the base model's there, and maps without an adapter
// are named.
func TestVerifyFindsMissing(t *testing.T) {
	traintest.RequireAdapter(t)
	base := folder(t, "llama")
	whole := lora(t, base, peft.Config{Targets: []string{"q_proj", "v_proj"}, Save: []string{"embed_tokens"}})
	for missing, written := range map[string]string{
		"":             whole,
		"embed_tokens": lora(t, base, peft.Config{Targets: []string{"q_proj", "v_proj"}}),
		"v_proj":       lora(t, base, peft.Config{Targets: []string{"q_proj"}, Save: []string{"embed_tokens"}}),
	} {
		p, err := Verify{Source: whole, Written: written, Texts: []string{"All men"}, Device: adapter()}.Run()
		if missing == "" {
			if err != nil || p.Parameters != 9 || p.OtherBase != "" { // A and B of two maps in two layers, and the embedding
				t.Errorf("the same: %v, %v", p, err)
			}
		} else if !errors.Is(err, fault.ErrData) || !strings.Contains(err.Error(), missing) {
			t.Errorf("without %s: %v, %v", missing, p, err)
		}
	}
}

// The configuration of a file whose types are only read, as most of llama.cpp's, is proved
// on the file's own values.
func TestVerifyFindsConfigurationOfReadTypes(t *testing.T) {
	traintest.RequireAdapter(t)
	from, out := folder(t, "llama"), filepath.Join(t.TempDir(), "x.gguf")
	if _, err := (GGUF{From: from, Out: out, Type: gguf.F32}).Write(); err != nil {
		t.Fatal(err)
	}
	for _, other := range []bool{false, true} {
		s, err := openSource(from)
		if err != nil {
			t.Fatal(err)
		}
		defer s.close()
		if other {
			s.config.RopeTheta = 100
		}
		a, err := openArtefact(out, s)
		if err != nil {
			t.Fatal(err)
		}
		defer a.close()
		a.rounded = func(string, []float32) ([]float32, bool, error) { return nil, false, nil }
		v := Verify{Source: from, Written: out, Texts: []string{"All human beings"}, Device: adapter()}
		p, err := v.compare(s, a)
		if other != (err != nil && strings.Contains(err.Error(), "its configuration is another")) || p.Unproved == 0 {
			t.Errorf("another rotary base %v: %v, %v", other, p, err)
		}
	}
}

// An adapter that names another base model than the source's is compared beside the source's,
// and the proof says so.
func TestVerifyOtherBase(t *testing.T) {
	traintest.RequireAdapter(t)
	base := folder(t, "llama")
	source, written := lora(t, base, peft.Config{Targets: []string{"q_proj"}}), lora(t, base, peft.Config{Targets: []string{"q_proj"}})
	config := filepath.Join(written, peft.ConfigFile)
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(text), base, base+"-other", 1)
	if err := os.WriteFile(config, []byte(changed), 0o644); err != nil {
		t.Fatal(err)
	}
	p, err := Verify{Source: source, Written: written, Texts: []string{"All men"}, Device: adapter()}.Run()
	if err != nil || p.OtherBase != base+"-other" || !strings.Contains(p.String(), "not compared") {
		t.Errorf("%v, %v", p, err)
	}
}
