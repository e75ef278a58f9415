package model

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"concord/internal/safetensors"
)

// carried are the files that go with a model unchanged.
var carried = []string{
	"tokenizer.json", "tokenizer_config.json", "tokenizer.model", "special_tokens_map.json", "added_tokens.json",
	"vocab.json", "merges.txt", "generation_config.json", "chat_template.jinja", "chat_template.json",
	"additional_chat_templates/tool_use.jinja",
	"LICENSE", "LICENSE.txt", "LICENSE.md", "NOTICE", "USE_POLICY.md",
}

// Write writes a Hugging Face folder: the files of the folder from that other
// tools need ("" = none), config.json (see Config.JSON) and the weights as dtype
// ("" = as the model was, else F32), sharded above safetensors.DefaultShard. read
// returns a parameter by name and is asked once for each. Each file is replaced
// atomically, the weights last. Weights that are not finite are refused: such a folder
// would be of no use.
func Write(dir, from string, c Config, dtype safetensors.DType, read func(name string) ([]float32, error)) error {
	if dtype == "" {
		dtype = c.DType
	}
	if dtype == "" {
		dtype = safetensors.F32
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("model: %w", err)
	}
	if from != "" {
		if err := CarryOver(dir, from); err != nil {
			return err
		}
	}
	text, err := c.JSON(dtype)
	if err != nil {
		return err
	}
	if err := safetensors.WriteFile(filepath.Join(dir, ConfigFile), text); err != nil {
		return fmt.Errorf("model: %w", err)
	}
	if err := safetensors.WriteModel(dir, entries(c, dtype, read), nil, 0); err != nil {
		return fmt.Errorf("model: %w", err)
	}
	return nil
}

// CarryOver copies the tokenizer, generation and licence files that from has.
func CarryOver(dir, from string) error {
	for _, name := range carried {
		data, err := os.ReadFile(filepath.Join(from, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("model: %w", err)
		}
		to := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return fmt.Errorf("model: %w", err)
		}
		if err := safetensors.WriteFile(to, data); err != nil {
			return fmt.Errorf("model: %w", err)
		}
	}
	return nil
}

// entries are the tensors of c's files as safetensors entries; each of their
// parameters is read when it is written.
func entries(c Config, dtype safetensors.DType, read func(name string) ([]float32, error)) []safetensors.Entry {
	var out []safetensors.Entry
	for _, s := range storedTensors(c) {
		out = append(out, s.entry(dtype, read))
	}
	return out
}

// entry is s as a safetensors entry.
func (s stored) entry(dtype safetensors.DType, read func(name string) ([]float32, error)) safetensors.Entry {
	return safetensors.Entry{Name: s.name, Shape: s.shape(), DType: dtype, Data: func() ([]float32, error) {
		var parts [][]float32
		for _, p := range s.parts {
			data, err := read(p.Name)
			if err != nil {
				return nil, err
			}
			parts = append(parts, data)
		}
		data := s.join(parts)
		return data, safetensors.CheckFinite(s.name, data)
	}}
}
