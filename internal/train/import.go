package train

import (
	"fmt"
	"os"
	"path/filepath"

	"concord/internal/gguf"
	"concord/internal/model"
	"concord/internal/safetensors"
)

// Import makes the Hugging Face folder Dir of a llama.cpp file; it is then a folder that
// model.path may name.
type Import struct {
	File, Dir string
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
