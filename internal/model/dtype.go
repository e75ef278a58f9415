package model

import "concord/internal/safetensors"

// weightsDType is the element type of most of the weights in dir, "" where they
// cannot be read or are of no type that can be written. Older folders do not name
// it in config.json.
func weightsDType(dir string) safetensors.DType {
	r, err := safetensors.Open(dir)
	if err != nil {
		return "" // reading the weights says why
	}
	defer r.Close()
	elements := map[safetensors.DType]int{}
	for _, name := range r.Names() {
		if t, ok := r.Tensor(name); ok {
			elements[t.DType] += t.Elements()
		}
	}
	best := safetensors.DType("")
	for _, d := range []safetensors.DType{safetensors.F32, safetensors.BF16, safetensors.F16} {
		if elements[d] > elements[best] {
			best = d
		}
	}
	return best
}
