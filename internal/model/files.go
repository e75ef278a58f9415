package model

import "slices"

// stored is a tensor of a family's files: the rows of one parameter, or of
// several one after the other, in some families (in, out) instead of (out, in).
type stored struct {
	name  string
	parts []*parameter
}

// storedTensors are the tensors of c's files, in the order of ParamSpecs.
func storedTensors(c Config) []stored { return newNetwork(c).stored() }

func (n *network) stored() []stored {
	return group(n.params(), func(p *parameter) bool { return !p.adapter })
}

// group are the tensors of files that hold those of params that are wanted.
func group(params []*parameter, wanted func(*parameter) bool) []stored {
	var out []stored
	at := map[string]int{}
	for _, p := range params {
		if !wanted(p) {
			continue
		}
		i, ok := at[p.file]
		if !ok {
			i = len(out)
			at[p.file] = i
			out = append(out, stored{name: p.file})
		}
		out[i].parts = append(out[i].parts, p)
	}
	return out
}

func (s stored) transposed() bool { return s.parts[0].transposed }

// shape is the tensor's shape in the file.
func (s stored) shape() []int {
	shape := s.parts[0].Dims()
	for _, p := range s.parts[1:] {
		shape[0] += p.Dims()[0]
	}
	if s.transposed() {
		slices.Reverse(shape)
	}
	return shape
}

// split cuts the tensor's values into the parameters'.
func (s stored) split(values []float32) [][]float32 {
	if s.transposed() {
		shape := s.shape()
		values = transpose(values, shape[0], shape[1])
	}
	var out [][]float32
	for _, p := range s.parts {
		out = append(out, values[:p.Size()])
		values = values[p.Size():]
	}
	return out
}

// join is split's inverse.
func (s stored) join(parts [][]float32) []float32 {
	values := slices.Concat(parts...)
	if s.transposed() {
		shape := s.shape()
		values = transpose(values, shape[1], shape[0])
	}
	return values
}

// transpose is x (r, c) as (c, r).
func transpose(x []float32, r, c int) []float32 {
	out := make([]float32, len(x))
	for i := range r {
		for j := range c {
			out[j*r+i] = x[i*c+j]
		}
	}
	return out
}
