package cluster

import (
	"runtime"
	"testing"
	"time"
)

// Nothing of a committed step stays: the live heap of a run is flat, and so small
// that it cannot hold a second's steps.
func TestHeapIsFlat(t *testing.T) {
	const values, steps = 10_000, 90
	w := newWorld(t, steps)
	w.min, w.deadline, w.patience, w.groups, w.cut, w.rows = 2, true, time.Minute, []int{values}, nil, 4
	w.simulated = true // no probes
	live := func() float64 {
		runtime.GC()
		runtime.GC() // what pools keep
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc) / (1 << 20)
	}
	before := live()
	var measured []float64
	w.drift = func(n *node) {
		if n.id == 1 && n.step >= 20 && n.step%10 == 0 {
			measured = append(measured, live()-before)
		}
	}
	a, b := w.start(1), w.start(2)
	w.wait(a, b)
	w.close(a, b)
	t.Logf("MiB at every tenth step: %.1f", measured)
	const row = values * 4.0 / (1 << 20) // a step moves 3 to 5 rows each way, and sums of 4
	for _, mb := range measured {
		if mb > 60*row {
			t.Errorf("%.1f MiB live at some step, of rows of %.2f MiB", mb, row)
		}
	}
}
