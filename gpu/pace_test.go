package gpu

import (
	"testing"
	"time"
)

// TestMaxWork follows the bound of one dispatch: that of a slow GPU at first,
// 100 ms of the learned rate then, 1 s on a software rasterizer, never tiny.
func TestMaxWork(t *testing.T) {
	for _, c := range []struct {
		adapter      AdapterType
		measured     float64 // float operations per second; 0 = nothing yet
		least, limit int64
	}{
		{Discrete, 0, 5e9, 5e9},
		{Integrated, 0, 5e9, 5e9},
		{CPU, 0, 4e9, 4e9},
		{Discrete, 1e13, 9e11, 1e12},
		{Integrated, 3e10, 3e9, 4e9},
		{Integrated, 1e6, leastWork, leastWork},
		{CPU, 2e10, 1.9e10, 2e10},
	} {
		var p pace
		p.init(c.adapter)
		for range 40 {
			if c.measured > 0 {
				p.learn(load{work: c.measured / 10}, 100*time.Millisecond, true)
			}
		}
		if got := p.maxWork(c.adapter); got < c.least || got > c.limit {
			t.Errorf("%s at %g op/s: %d, want %d to %d", c.adapter, c.measured, got, c.least, c.limit)
		}
	}
}
