package coordinator

import (
	"slices"
	"time"
)

// The deadline of a step: median + 4·MAD of the last steps, at least 1.2 medians
// (proposed in hivemind #676), and at least a second, as short steps jitter.
const (
	deadlineSteps = 20
	deadlineMADs  = 4
	deadlineFloor = 1.2
	deadlineLeast = time.Second
	deadlineKnown = 5 // steps before there is one: shaders are compiled and tuned in the first
)

// history keeps the durations of the last steps.
type history struct{ steps []time.Duration }

func (h *history) add(d time.Duration) {
	h.steps = append(h.steps, d)
	h.steps = h.steps[max(0, len(h.steps)-deadlineSteps):]
}

// deadline is how long the next step may take, 0 where it is not known.
func (h *history) deadline() time.Duration {
	if len(h.steps) < deadlineKnown {
		return 0
	}
	m := median(h.steps)
	off := make([]time.Duration, len(h.steps))
	for i, d := range h.steps {
		off[i] = (d - m).Abs()
	}
	return max(m+deadlineMADs*median(off), time.Duration(deadlineFloor*float64(m)), deadlineLeast)
}

// median is the upper median of a list that is not empty.
func median(d []time.Duration) time.Duration {
	s := slices.Sorted(slices.Values(d))
	return s[len(s)/2]
}
