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
type history struct {
	took  []time.Duration
	steps []time.Duration // as they count for deadlines
}

// add keeps the duration of a step. One that was held up by a machine that it went on without
// counts for deadlines as no longer than the shortest there may be: each deadline that strikes
// would make the next ones several times as long. If all machines became slower, deadlines still follow.
func (h *history) add(d time.Duration, heldUp bool) {
	h.took = latest(h.took, d)
	if heldUp {
		if len(h.steps) == 0 {
			return
		}
		d = min(d, time.Duration(deadlineFloor*float64(median(h.steps))))
	}
	h.steps = latest(h.steps, d)
}

// latest are the last durations with one more.
func latest(all []time.Duration, d time.Duration) []time.Duration {
	all = append(all, d)
	return all[max(0, len(all)-deadlineSteps):]
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

// shown is the median time of the latest steps, held up or not, in seconds; 0 before the first.
func (h *history) shown() float64 {
	if len(h.took) == 0 {
		return 0
	}
	return median(h.took).Seconds()
}
