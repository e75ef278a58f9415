package step

import (
	"concord/bucket"
	"concord/tensor"
)

// States are the values that the run keeps of a parameter.
func (r *Replica) States() []bucket.State {
	if r.Settings.Optim.Factored {
		return []bucket.State{bucket.Weight, bucket.Factors}
	}
	return States
}

// align is the multiple of elements at which parameters begin: whole blocks where a
// state has them, and 0, the usual one, where all are float32.
func (r *Replica) align() int {
	if len(r.Settings.Types) > 0 {
		return tensor.PackedBlock
	}
	return 0
}
