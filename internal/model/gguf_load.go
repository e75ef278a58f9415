package model

import (
	"fmt"
	"path/filepath"
	"strings"

	"concord/internal/gguf"
	"concord/internal/safetensors"
	"concord/tensor"
)

// IsGGUF reports whether the path of a model names a file of llama.cpp, not a folder.
func IsGGUF(path string) bool { return strings.EqualFold(filepath.Ext(path), ".gguf") }

// withGGUF opens the model in a file and refuses one that is not of c.
func withGGUF(path string, c Config, use func(*GGUF) error) error {
	f, err := gguf.Open(path)
	if err != nil {
		return fmt.Errorf("model: %w", err)
	}
	defer f.Close()
	g, err := ReadGGUF(f)
	if err != nil {
		return err
	}
	if got, want := g.Config.String(), c.String(); got != want {
		return fmt.Errorf("model: %s is %s, asked for is %s", path, got, want)
	}
	return use(g)
}

// loadGGUF is Load from a file: its tensors are dequantised one after the other, but for
// those that lie in w in the file's own blocks.
func loadGGUF(e *tensor.Engine, path string, c Config, w Weights) error {
	c.Adapter = nil // which stands in files of its own
	return withGGUF(path, c, func(g *GGUF) error {
		for _, s := range ParamSpecs(c) {
			to := w.Weight(s.Name)
			if to.DType.OfFile() && to.DType == g.typeOf(s.Name) {
				blocks, err := g.Blocks(s.Name)
				if err != nil {
					return err
				}
				e.UploadBlocks(to, blocks)
				continue
			}
			values, err := g.Values(s.Name)
			if err != nil {
				return err
			}
			if err := safetensors.CheckFinite(s.Name, values); err != nil {
				return fmt.Errorf("model: %s: %w", path, err)
			}
			e.Upload(to, values)
		}
		if err := e.Dev.Err(); err != nil {
			return fmt.Errorf("model: upload of the weights: %w", err)
		}
		return nil
	})
}
