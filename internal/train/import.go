package train

import (
	"fmt"
	"os"
	"path/filepath"

	"concord/internal/gguf"
	"concord/internal/model"
	"concord/internal/modeldir"
	"concord/internal/peft"
	"concord/internal/safetensors"
)

// Import makes the Hugging Face folder Dir of a llama.cpp file; it is then a folder that
// model.path may name.
type Import struct {
	File, Dir string
	Base      string // of an adapter: its base model
	DType     string // "f32", "f16", "bf16"; "" = the type that loses nothing
}

// Imported is the result of an import.
type Imported struct {
	Model string `json:"model"`
	DType string `json:"dtype"`
	What  string `json:"what"` // the model in words
}

// Write makes the folder. It needs no device.
func (x Import) Write() (Imported, error) {
	if exists(filepath.Join(x.Dir, model.ConfigFile)) {
		return Imported{}, DataError(fmt.Errorf("%s holds a model already: name another folder", x.Dir))
	}
	f, err := gguf.Open(x.File)
	if err != nil {
		return Imported{}, DataError(err)
	}
	defer f.Close()
	if model.IsGGUFAdapter(f) {
		return x.adapter(f)
	}
	if x.Base != "" {
		return Imported{}, DataError(fmt.Errorf("%s is a whole model: it has no base model\n  fix: remove --base", x.File))
	}
	g, err := model.ReadGGUF(f)
	if err != nil {
		return Imported{}, DataError(err)
	}
	dtype := g.DType()
	if x.DType != "" {
		if dtype, err = safetensors.ParseDType(x.DType); err != nil {
			return Imported{}, DataError(err)
		}
	}
	files, err := f.TokenizerFiles()
	if err != nil {
		return Imported{}, DataError(err)
	}
	if err := os.MkdirAll(x.Dir, 0o755); err != nil {
		return Imported{}, DataError(err)
	}
	for name, data := range files {
		if err := safetensors.WriteFile(filepath.Join(x.Dir, name), data); err != nil {
			return Imported{}, DataError(err)
		}
	}
	if err := model.Write(x.Dir, "", g.Config, dtype, g.Values); err != nil {
		return Imported{}, DataError(err)
	}
	return Imported{Model: x.Dir, DType: string(dtype), What: g.String()}, nil
}

// adapter makes the folder of an adapter.
func (x Import) adapter(f *gguf.File) (Imported, error) {
	if x.Base == "" {
		return Imported{}, DataError(fmt.Errorf("%s is an adapter, which needs its base model\n  fix: --base with the "+
			"model's folder or GGUF file", x.File))
	}
	if peft.Is(x.Dir) {
		return Imported{}, DataError(fmt.Errorf("%s holds an adapter already: name another folder", x.Dir))
	}
	base, err := modeldir.Find(x.Base)
	if err != nil {
		return Imported{}, err
	}
	if base.From != "" {
		return Imported{}, DataError(fmt.Errorf("%s is an adapter itself\n  fix: --base %s", x.Base, base.Base))
	}
	a, values, err := model.ReadGGUFAdapter(f, base.Config)
	if err != nil {
		return Imported{}, DataError(err)
	}
	dtype := safetensors.F32
	if x.DType != "" {
		if dtype, err = safetensors.ParseDType(x.DType); err != nil {
			return Imported{}, DataError(err)
		}
	}
	c := base.Config
	a.Base = mustAbs(x.Base)
	c.Adapter = a
	err = model.WriteAdapter(x.Dir, base.Dir, c, dtype, func(name string) ([]float32, error) { return values[name], nil })
	if err != nil {
		return Imported{}, DataError(err)
	}
	what := fmt.Sprintf("LoRA of rank %d, alpha %g, on %d linear maps of %s", a.Rank, a.Alpha, len(a.Targets), c)
	return Imported{Model: x.Dir, DType: string(dtype), What: what}, nil
}
