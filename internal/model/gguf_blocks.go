package model

import (
	"fmt"

	"concord/internal/gguf"
	"concord/internal/param"
	"concord/tensor"
)

// inDevice are the types of a file that matrices can have in the device.
var inDevice = map[gguf.Type]tensor.DType{gguf.F16: tensor.F16, gguf.BF16: tensor.BF16, gguf.Q4_0: tensor.Q4_0,
	gguf.Q4_1: tensor.Q4_1, gguf.Q5_0: tensor.Q5_0,
	gguf.Q5_1: tensor.Q5_1, gguf.Q8_0: tensor.Q8_0, gguf.Q4_K: tensor.Q4_K, gguf.Q5_K: tensor.Q5_K, gguf.Q6_K: tensor.Q6_K}

// GGUFTypes are the types in which the matrices of the file at path lie in it, by the
// names of parameters; F32 of all others.
func GGUFTypes(path string) (map[string]tensor.DType, error) {
	f, err := gguf.Open(path)
	if err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	defer f.Close()
	g, err := ReadGGUF(f)
	if err != nil {
		return nil, err
	}
	out := map[string]tensor.DType{}
	for name := range g.tensors {
		out[name] = g.typeOf(name)
	}
	return out, nil
}

// typeOf is GGUFTypes of one parameter.
func (g *GGUF) typeOf(name string) tensor.DType {
	x := g.tensors[name]
	if k := x.parts[x.part].Kind; k != param.Linear && k != param.Embedding && k != param.Head {
		return tensor.F32
	}
	t, _ := g.file.Tensor(x.name)
	return inDevice[t.Type] // F32 is zero
}

// Blocks returns the rows of a parameter, of one of tensor.FileTypes, as they stand in
// the file, in Hugging Face's order.
func (g *GGUF) Blocks(name string) ([]byte, error) {
	x, ok := g.tensors[name]
	if !ok || !g.typeOf(name).OfFile() {
		return nil, fmt.Errorf("model: %s: no blocks of a parameter %s", g.file.Path, name)
	}
	t, _ := g.file.Tensor(x.name)
	all, err := g.file.Blocks(t)
	if err != nil {
		return nil, err
	}
	p := x.parts[x.part]
	row, first := p.C/t.Type.Block()*t.Type.Bytes(), 0
	for _, before := range x.parts[:x.part] {
		first += before.R
	}
	all = all[first*row : (first+p.R)*row]
	if x.heads == 0 {
		return all, nil
	}
	return reorderRows(all, x.heads, row, false), nil
}
