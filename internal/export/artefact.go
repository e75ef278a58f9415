package export

import (
	"cmp"
	"fmt"
	"os"

	"concord/internal/fault"
	"concord/internal/gguf"
	"concord/internal/model"
	"concord/internal/modeldir"
	"concord/internal/peft"
	"concord/internal/safetensors"
)

// artefact is a file or folder that was made of a model, opened to be compared with it.
type artefact struct {
	adapter bool // it holds an adapter alone
	config  model.Config
	values  func(name string) ([]float32, error)
	// rounded are the source's values in the artefact's types; known is false for
	// types that are never written here.
	rounded func(name string, values []float32) (out []float32, known bool, err error)
	close   func() error
	// otherBase is the base model that an adapter names, where it is not the source's.
	otherBase string
}

// openArtefact opens a file or folder that was made of s.
func openArtefact(path string, s *source) (*artefact, error) {
	switch {
	case model.IsGGUF(path):
		return openFile(path, s)
	case peft.Is(path):
		return openPEFT(path, s)
	}
	if _, err := os.Stat(path); err != nil {
		return nil, err
	}
	c, err := modeldir.Config(path)
	if err != nil {
		return nil, err
	}
	r, err := safetensors.Open(path)
	if err != nil {
		return nil, err
	}
	x, err := model.NewReader(r, path, c)
	if err != nil {
		r.Close()
		return nil, err
	}
	return &artefact{config: c, values: x.Values, rounded: x.Rounded, close: r.Close}, nil
}

func openFile(path string, s *source) (*artefact, error) {
	f, err := gguf.Open(path)
	if err != nil {
		return nil, err
	}
	x := &artefact{close: f.Close}
	if model.IsGGUFAdapter(f) {
		err = x.adapterOf(s, func() (*peft.Config, map[string][]float32, error) { return model.ReadGGUFAdapter(f, s.base()) })
		if err == nil {
			x.rounded = model.GGUFAdapterRounding(f, s.adapted)
		}
	} else {
		var g *model.GGUF
		if g, err = model.ReadGGUF(f); err == nil {
			x.config, x.values, x.rounded = g.Config, g.Values, g.Rounded
		}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return x, nil
}

func openPEFT(path string, s *source) (*artefact, error) {
	x := &artefact{close: func() error { return nil }}
	err := x.adapterOf(s, func() (*peft.Config, map[string][]float32, error) {
		a, err := peft.ReadConfig(path)
		if err != nil {
			return nil, nil, err
		}
		c := s.base()
		c.Adapter = a
		if found, err := modeldir.Find(path); err != nil || !sameFile(found.Base, s.weights) {
			x.otherBase = cmp.Or(a.Base, "none")
		}
		values, err := model.ReadAdapter(path, c)
		return a, values, err
	})
	if err != nil {
		return nil, err
	}
	x.rounded, err = model.AdapterRounding(path, x.config)
	return x, err
}

// adapterOf reads an adapter of the base model of s.
func (x *artefact) adapterOf(s *source, read func() (*peft.Config, map[string][]float32, error)) error {
	if s.adapter == nil {
		return fault.Data(fmt.Errorf("it is an adapter, and the model that it is compared with has none"))
	}
	a, values, err := read()
	if err != nil {
		return err
	}
	x.adapter, x.config = true, s.base()
	x.config.Adapter = a
	x.values = func(name string) ([]float32, error) {
		if v, ok := values[name]; ok {
			return v, nil
		}
		return s.plain(name) // modules that s trains whole too: here they are the base model's
	}
	return x.config.CheckAdapter()
}

func sameFile(a, b string) bool {
	x, err1 := os.Stat(a)
	y, err2 := os.Stat(b)
	return err1 == nil && err2 == nil && os.SameFile(x, y)
}
