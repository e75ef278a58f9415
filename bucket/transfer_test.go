package bucket

import (
	"testing"

	"concord/gpu"
	"concord/tensor"
)

// Rows and gradients leave the device in reads for which the backward pass does not wait.
func TestReadsDoNotWait(t *testing.T) {
	e := testEngine(t)
	size := int64(2*gpu.ReadPiece + 256)
	b := e.Dev.NewBuffer(gpu.RoleRows, "rows", size)
	defer b.Release()
	r, at := &Resolver{store: &Store{Engine: e}}, 3
	for _, x := range r.readParts(gpu.View{Buf: b, Size: size}, at) {
		if n := tensor.F32.Bytes(int64(x.n)); n > gpu.ReadPiece || x.at != at {
			t.Errorf("%d bytes are read at once, at %d, want %d", n, x.at, at)
		}
		if v, err := x.from.Wait(); err != nil || len(v) != 4*x.n {
			t.Errorf("%d values: %d bytes, %v", x.n, len(v), err)
		}
		at += x.n
	}
	if got := tensor.F32.Bytes(int64(at - 3)); got != size {
		t.Errorf("%d of %d bytes are read", got, size)
	}
}
