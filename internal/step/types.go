package step

import (
	"concord/bucket"
	"concord/tensor"
)

// types are the element types of the states that the run keeps.
func (r *Replica) types() bucket.Types {
	t := bucket.Types{}
	if r.Config.Model.Dtype == "bf16" {
		t[bucket.Weight] = tensor.BF16
	}
	switch r.Config.Optim.Moments {
	case "bf16":
		t[bucket.First], t[bucket.Second] = tensor.BF16, tensor.BF16
	case "int8":
		t[bucket.First], t[bucket.Second] = tensor.Dynamic8, tensor.Dynamic8Root
	}
	return t
}

// align is the multiple of elements at which parameters begin: whole blocks where a
// state has them, and 0, the usual one, where all are float32.
func (r *Replica) align() int {
	if len(r.types()) > 0 {
		return tensor.PackedBlock
	}
	return 0
}
