package doctor

import (
	"time"

	"concord/gpu"
	"concord/internal/optest"
	"concord/tensor"
)

// Speed is a figure to compare devices by.
type Speed struct {
	GFLOPS  float64 `json:"gemm_gflops"`      // 1e9 float operations per second of a float32 matrix product, the untuned kernel
	Size    int     `json:"gemm_size"`        // its three dimensions
	Runs    int     `json:"gemm_runs"`        // products that were timed
	CopyGBs float64 `json:"copy_gb_per_s"`    // 1e9 bytes read and written per second
	Seconds float64 `json:"gemm_run_seconds"` // of one product
}

// MeasureSpeed times products for about half a second, and copies.
func MeasureSpeed(o gpu.Options) (Speed, error) {
	dev, err := gpu.Open(o)
	if err != nil {
		return Speed{}, err
	}
	defer dev.Close()
	e := tensor.NewEngine(dev, tensor.Options{NoAutotune: true})
	s := Speed{Size: 2048}
	if e.CPU() {
		s.Size = 512
	}
	if s.Seconds, s.Runs, err = timeProducts(e, s.Size); err != nil {
		return Speed{}, err
	}
	n := float64(s.Size)
	s.GFLOPS = 2 * n * n * n / s.Seconds / 1e9
	bytes, err := dev.CopyBandwidth()
	s.CopyGBs = bytes / 1e9
	return s, err
}

// timeProducts returns the seconds of one product of n³ terms, over so many runs.
func timeProducts(e *tensor.Engine, n int) (seconds float64, runs int, err error) {
	var x [3]tensor.Tensor
	for i := range x {
		x[i] = e.New(gpu.RoleScratch, "doctor", n, n)
		defer release(x[i])
		if e.Dev.Err() == nil {
			e.Upload(x[i], optest.Random(n*n, uint64(i)))
		}
	}
	for runs = 1; e.Dev.Sync() == nil; runs *= 2 {
		start := time.Now()
		for range runs {
			e.MatMul(x[2], x[0], x[1], tensor.NT, false)
		}
		if e.Dev.Sync() != nil {
			break
		}
		if t := time.Since(start).Seconds(); t > 0.3 && runs > 1 { // the first compiles
			return t / float64(runs), runs, nil
		}
	}
	return 0, 0, e.Dev.Err()
}
