// Package bench measures this machine: matrix products, the Gram and combine
// kernels, and whole training steps of several methods side by side.
//
// Every figure is a median of repetitions after a warm-up, with the device's
// queue drained before and after each timing. Things that are compared are measured in
// turns (A B A B), so that a drift of the machine's speed, by heat or by other
// load, concerns all alike. Start reading at GEMM, Gram and Step.
package bench

import (
	"fmt"
	"slices"
	"time"

	"concord/gpu"
)

// Machine is the device that was measured.
type Machine struct {
	Adapter  string `json:"adapter"`
	Driver   string `json:"driver"`
	Backend  string `json:"backend"`
	Type     string `json:"type"`
	Software bool   `json:"software"` // a rasterizer on the CPU, no GPU
}

// NewMachine describes the adapter of a device.
func NewMachine(i gpu.AdapterInfo) Machine {
	return Machine{Adapter: i.Name, Driver: i.Driver, Backend: string(i.Backend), Type: string(i.Type), Software: i.Type == gpu.CPU}
}

const (
	// shortest is the least time worth measuring: shorter work is repeated, so
	// that waiting for the queue does not count.
	shortest = 20 * time.Millisecond
	// tooSlow is how many times the fastest of its rivals a candidate for the same
	// work may take and still be measured more than once.
	tooSlow = 2.5
)

// rival is one of the things that are compared.
type rival struct {
	record  func()       // records the work once
	collect func() error // collects readbacks of the recorded work; nil if it makes none
	reps    int
	seconds []float64 // of one repetition, by round
}

// race warms every rival up and times them in turns, rounds times each. With
// prune they are candidates for the same work, and those that are far behind are
// timed once only.
func race(dev *gpu.Device, rounds int, rivals []*rival, prune bool) error {
	fastest := 0.0
	for _, r := range rivals {
		r.reps = 1
		if _, err := r.time(dev); err != nil { // compiles
			return err
		}
		once, err := r.time(dev)
		if err != nil {
			return err
		}
		r.seconds = []float64{once}
		r.reps = max(1, min(256, int(shortest.Seconds()/max(once, 1e-7))))
		if fastest == 0 || once < fastest {
			fastest = once
		}
	}
	first := map[*rival]float64{}
	for _, r := range rivals {
		first[r], r.seconds = r.seconds[0], nil
	}
	for round := range rounds {
		for _, r := range rivals {
			if prune && round > 0 && first[r] > tooSlow*fastest {
				continue // one round is enough to see that it is slow
			}
			s, err := r.time(dev)
			if err != nil {
				return err
			}
			r.seconds = append(r.seconds, s)
		}
	}
	return nil
}

// time returns the seconds of one repetition.
func (r *rival) time(dev *gpu.Device) (float64, error) {
	if err := dev.Sync(); err != nil {
		return 0, err
	}
	start := time.Now()
	for range r.reps {
		r.record()
	}
	if r.collect != nil {
		if err := r.collect(); err != nil {
			return 0, err
		}
	}
	if err := dev.Sync(); err != nil {
		return 0, err
	}
	return time.Since(start).Seconds() / float64(r.reps), nil
}

// median of at least one value.
func median(x []float64) float64 {
	s := slices.Sorted(slices.Values(x))
	if n := len(s); n%2 == 0 {
		return (s[n/2-1] + s[n/2]) / 2
	}
	return s[len(s)/2]
}

// fits says why buffers of the given sizes in bytes cannot be allocated on dev
// together; "" when they can.
func fits(dev *gpu.Device, sizes ...int64) string {
	mem, limits := dev.Memory(), dev.Info().Limits
	total := int64(0)
	for _, s := range sizes {
		if s > limits.MaxBufferSize {
			return fmt.Sprintf("needs a buffer of %d MiB, the adapter allows %d MiB", s>>20, limits.MaxBufferSize>>20)
		}
		total += s
	}
	if free := mem.Budget - mem.Current; total > free {
		return fmt.Sprintf("needs %d MiB, %d MiB of the memory budget are free", total>>20, free>>20)
	}
	return ""
}

// pattern is n values in [-1, 1) without structure that a kernel could profit from.
func pattern(n int) []float32 {
	out := make([]float32, n)
	for i := range out {
		out[i] = float32(uint32(i)*2654435761>>8)/(1<<23) - 1
	}
	return out
}
