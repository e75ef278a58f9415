package export

import (
	"cmp"
	"strings"

	"concord/internal/fault"
	"concord/internal/gguf"
	"concord/internal/model"
	"concord/internal/modeldir"
	"concord/internal/safetensors"
	"concord/internal/tokenizer"
)

// source is a model that is read: a folder, a GGUF file with the folder of its small
// files, or an adapter with its base model.
type source struct {
	folder    string
	weights   string // the folder or the GGUF file; of an adapter its base model's
	config    model.Config
	tokenizer *tokenizer.Tokenizer
	values    func(name string) ([]float32, error) // of an adapter: merged
	close     func() error
	// Of an adapter: its own values, the base model's, and the configuration with it.
	adapter map[string][]float32
	plain   func(name string) ([]float32, error)
	adapted model.Config
}

// base is the configuration without an adapter.
func (s *source) base() model.Config { return s.config }

// unmerged reads a parameter of the model with its adapter beside the base model.
func (s *source) unmerged(name string) ([]float32, error) {
	if v, ok := s.adapter[name]; ok {
		return v, nil
	}
	return s.plain(name)
}

// openSource opens the model at path. An adapter is merged into its base model.
func openSource(path string) (*source, error) {
	found, err := modeldir.Find(path)
	if err != nil {
		return nil, err
	}
	s := &source{folder: found.Dir, weights: found.Base}
	if s.config, s.tokenizer, err = modeldir.Open(path); err != nil {
		return nil, err
	}
	if err := s.open(found.Base); err != nil || found.From == "" {
		return s, fault.Data(err)
	}
	values, err := model.ReadAdapter(found.From, s.config)
	if err != nil {
		s.close()
		return nil, fault.Data(err)
	}
	s.adapter, s.plain, s.adapted = values, s.values, s.config
	s.values = model.Merged(s.config, s.values, values)
	s.config.Adapter = nil
	return s, nil
}

// open opens the weights at path, a folder or a GGUF file.
func (s *source) open(path string) error {
	if model.IsGGUF(path) {
		return s.openGGUF(path)
	}
	r, err := safetensors.Open(path)
	if err != nil {
		return err
	}
	values, err := model.NewReader(r, path, s.config)
	if err != nil {
		r.Close()
		return err
	}
	s.values, s.close = values.Values, r.Close
	return nil
}

// DType is the type of the weights of the model in path, a folder or a GGUF file, by its
// name in small letters; f32 where it is none that can be written.
func DType(path string) (string, error) {
	c, err := modeldir.Config(path)
	if err != nil {
		return "", err
	}
	return strings.ToLower(string(cmp.Or(c.DType, safetensors.F32))), nil
}

func (s *source) openGGUF(path string) error {
	f, err := gguf.Open(path)
	if err != nil {
		return err
	}
	g, err := model.ReadGGUF(f)
	if err != nil {
		f.Close()
		return err
	}
	s.values, s.close = g.Values, f.Close
	return nil
}
