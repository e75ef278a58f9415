package model

import (
	"fmt"

	"concord/internal/safetensors"
)

// Reader reads single parameters of a Hugging Face folder. Not safe for concurrent use.
type Reader struct {
	r    *safetensors.Reader
	dir  string
	at   map[string]place
	last string // tensor whose values held are
	held [][]float32
}

// place is a part of a tensor.
type place struct {
	stored
	part int
}

// NewReader finds the parameters of c in r, the weights of dir. It refuses the models that Load
// refuses by its name or shape.
func NewReader(r *safetensors.Reader, dir string, c Config) (*Reader, error) {
	tensors := locate(r, c)
	if err := checkNames(r, dir, c, tensors); err != nil {
		return nil, err
	}
	out := &Reader{r: r, dir: dir, at: map[string]place{}}
	for _, s := range tensors {
		for i, p := range s.parts {
			out.at[p.Name] = place{s, i}
		}
	}
	return out, nil
}

// Values reads a parameter by the name of ParamSpecs; it must be finite.
func (x *Reader) Values(name string) ([]float32, error) {
	at, ok := x.at[name]
	if !ok {
		return nil, fmt.Errorf("model: %s: no parameter %s", x.dir, name)
	}
	if x.last != at.name {
		data, err := x.r.ReadFloat32(at.name)
		if err != nil {
			return nil, fmt.Errorf("model: %w", err)
		}
		if err := safetensors.CheckFinite(at.name, data); err != nil {
			return nil, fmt.Errorf("model: %s: %w", x.dir, err)
		}
		x.last, x.held = at.name, at.split(data)
	}
	return x.held[at.part], nil
}
