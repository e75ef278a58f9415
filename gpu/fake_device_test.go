package gpu

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// TestDeviceOverFake runs random programs of a Device on the fake driver, which finds
// what is used after it was freed or mapped, and what is never freed; and holds
// copies, clears, writes and reads to a model in Go.
func TestDeviceOverFake(t *testing.T) {
	for seed := range uint64(20) {
		f := newFake(int(seed % 4))
		d, err := openWith(f, Options{MemoryBudget: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		fakeProgram(t, d, rand.New(rand.NewPCG(seed, 1)))
		if err := d.Sync(); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
		d.Close()
		for _, m := range f.opened[0].misuse {
			t.Errorf("seed %d: %s", seed, m)
		}
		if !f.opened[0].closed {
			t.Errorf("seed %d: the driver's device was not closed", seed)
		}
	}
}

func fakeProgram(t *testing.T, d *Device, r *rand.Rand) {
	k := d.NewKernel("affine", addWGSL)
	type live struct {
		b    *Buffer
		want []byte
	}
	type reading struct {
		r    *Readback
		want []byte
	}
	var bufs []live
	var reads []reading
	wait := func() {
		i := r.IntN(len(reads))
		if got, err := reads[i].r.Wait(); err != nil || !bytes.Equal(got, reads[i].want) {
			t.Errorf("a read gave %d bytes that differ, error %v", len(got), err)
		}
		reads = append(reads[:i], reads[i+1:]...)
	}
	d.Profile(r.IntN(2) == 0)
	for range 400 {
		if len(bufs) < 2 {
			bufs = append(bufs, live{d.NewBuffer(RoleScratch, "b", 4096), make([]byte, 4096)})
			continue
		}
		i := r.IntN(len(bufs))
		x, y := &bufs[i], &bufs[(i+1)%len(bufs)]
		at := int64(r.IntN(16)) * 256
		switch r.IntN(10) {
		case 0:
			bufs = append(bufs, live{d.NewBuffer(RoleScratch, "b", 4096), make([]byte, 4096)})
		case 1:
			x.b.Release()
			bufs = append(bufs[:i], bufs[i+1:]...)
		case 2, 3:
			data := words(r.Uint32(), r.Uint32())
			d.Write(View{Buf: x.b, Offset: at, Size: 8}, data)
			copy(x.want[at:], data)
		case 4:
			d.Copy(View{Buf: y.b, Offset: at, Size: 256}, View{Buf: x.b, Size: 256})
			copy(y.want[at:at+256], x.want[:256])
		case 5:
			d.Zero(View{Buf: x.b, Offset: at, Size: 256})
			clear(x.want[at : at+256])
		case 6:
			reads = append(reads, reading{d.Read(View{Buf: x.b, Offset: at, Size: 256}), bytes.Clone(x.want[at : at+256])})
		case 7:
			if len(reads) > 0 {
				wait()
			}
		case 8:
			affine(d, k, x.b, 1, 0)
			d.Span("affine")
		case 9:
			d.Flush()
		}
	}
	for len(reads) > 0 {
		wait()
	}
}
