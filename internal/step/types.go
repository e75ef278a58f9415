package step

import (
	"concord/tensor"
)

// align is the multiple of elements at which parameters begin: whole blocks where a
// state has them, and 0, the usual one, where all are float32.
func (r *Replica) align() int {
	if len(r.Settings.Types) > 0 {
		return tensor.PackedBlock
	}
	return 0
}
