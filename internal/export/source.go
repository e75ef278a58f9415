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

// source is a model that is read: a folder, or a GGUF file with the folder of its small
// files.
type source struct {
	folder    string
	config    model.Config
	tokenizer *tokenizer.Tokenizer
	values    func(name string) ([]float32, error)
	close     func() error
}

func openSource(path string) (*source, error) {
	s := &source{}
	var err error
	if s.config, s.tokenizer, err = modeldir.Open(path); err != nil {
		return nil, err
	}
	if s.folder, err = modeldir.Folder(path); err != nil {
		return nil, err
	}
	if model.IsGGUF(path) {
		return s, fault.Data(s.openGGUF(path))
	}
	r, err := safetensors.Open(path)
	if err != nil {
		return nil, fault.Data(err)
	}
	values, err := model.NewReader(r, path, s.config)
	if err != nil {
		r.Close()
		return nil, fault.Data(err)
	}
	s.values, s.close = values.Values, r.Close
	return s, nil
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
