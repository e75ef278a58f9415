package gpu

import (
	"fmt"
	"time"
)

// CopyBandwidth measures how fast the device copies memory: bytes read plus bytes
// written per second, over about 100 ms. It allocates two scratch buffers of at most
// 64 MiB within the budget and releases them.
func (d *Device) CopyBandwidth() (bytesPerSecond float64, err error) {
	size := min(64<<20, d.info.Limits.MaxBufferSize, (d.Memory().Budget-d.Memory().Current)/4) &^ 255
	if size < 1<<20 {
		return 0, fmt.Errorf("gpu: copy bandwidth: %w: less than 4 MiB left of the budget; raise [device] memory", ErrOutOfMemory)
	}
	a := d.NewBuffer(RoleScratch, "bandwidth source", size)
	defer a.Release()
	b := d.NewBuffer(RoleScratch, "bandwidth destination", size)
	defer b.Release()
	for n := 1; ; n *= 2 {
		t, err := d.timeCopies(View{Buf: b, Size: size}, View{Buf: a, Size: size}, n)
		if err != nil {
			return 0, err
		}
		if t > 50*time.Millisecond && n > 1 || n >= 1<<16 {
			return 2 * float64(size) * float64(n) / t.Seconds(), nil
		}
	}
}

// timeCopies returns the time of n copies back to back.
func (d *Device) timeCopies(dst, src View, n int) (time.Duration, error) {
	if err := d.Sync(); err != nil {
		return 0, err
	}
	begin := time.Now()
	for range n {
		d.Copy(dst, src)
	}
	if err := d.Sync(); err != nil {
		return 0, err
	}
	return time.Since(begin), nil
}
