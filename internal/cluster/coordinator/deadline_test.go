package coordinator

import (
	"testing"
	"time"
)

// Steps that end by their deadline do not make the next deadlines many times as long; where all
// machines have become slower they follow in the end.
func TestDeadlineOfHeldUpSteps(t *testing.T) {
	var h history
	for range deadlineSteps {
		h.add(time.Second, false)
	}
	first := h.deadline()
	for range deadlineSteps / 2 {
		h.add(4*h.deadline(), true)
	}
	if d := h.deadline(); d > 2*first {
		t.Errorf("after ten held up steps the deadline is %v, was %v", d, first)
	}
	for range 20 * deadlineSteps {
		h.add(10*time.Second, h.deadline() < 10*time.Second)
	}
	if d := h.deadline(); d < 10*time.Second || d > 13*time.Second {
		t.Errorf("steps of 10 s have a deadline of %v", d)
	}
	h = history{}
	if h.add(time.Hour, true); h.deadline() != 0 || len(h.steps) != 0 || h.shown() != time.Hour.Seconds() {
		t.Errorf("a held up step alone counts as %v, and took %v", h.steps, h.took)
	}
}
