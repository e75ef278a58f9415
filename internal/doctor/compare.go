package doctor

import (
	"fmt"

	"concord/gpu"
	"concord/tensor"
)

// tolerance is the NMSE allowed between the device and the float64 twin.
const tolerance = 1e-10

// matrix uploads data as an (r, c) tensor.
func matrix(e *Probe, r, c int, data []float32) tensor.Tensor {
	x := e.New(gpu.RoleScratch, "doctor", r, c)
	e.Upload(x, data)
	return x
}

// vectorU32 uploads ids, labels or starts as a (1, n) tensor.
func vectorU32(e *Probe, data []uint32) tensor.Tensor {
	x := e.New(gpu.RoleScratch, "doctor", 1, len(data))
	e.UploadU32(x, data)
	return x
}

// objectiveRows allocates m zeroed (r, c) matrices as one operation's Rows.
func objectiveRows(e *Probe, m, r, c int) tensor.TaskGrads {
	ld := (c + 3) &^ 3
	stride := (r*ld + 63) &^ 63
	return tensor.TaskGrads{Buf: e.Dev.NewBuffer(gpu.RoleScratch, "doctor", int64(m)*int64(stride)*4), M: m, Stride: stride, R: r,
		C: c, LD: ld}
}

// release frees the tensors of a finished test.
func release(ts ...tensor.Tensor) {
	for _, t := range ts {
		t.Buf.Release()
	}
}

// same reports how the device's x differs from want, by its name.
func same(e *Probe, what string, x tensor.Tensor, want []float32) error {
	got, err := e.Download(x)
	if err != nil {
		return err
	}
	if err := e.compare(got, want, tolerance); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// sameRows is same for per-objective matrices.
func sameRows(e *Probe, what string, r tensor.TaskGrads, want []float32) error {
	n := r.R * r.C
	for m := range r.M {
		if err := same(e, fmt.Sprintf("%s of objective %d", what, m), r.Objective(m), want[m*n:(m+1)*n]); err != nil {
			return err
		}
	}
	return nil
}
