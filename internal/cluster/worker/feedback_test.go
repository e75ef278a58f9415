package worker

import (
	"slices"
	"testing"

	"concord/transport"
)

// What int8 rounds away is added to the next step's row, and not to the same step's
// when that is done again.
func TestFeedback(t *testing.T) {
	m := New(Options{})
	x := []float32{1, 0.001, -0.3, 0.0042}
	send := func() []float32 {
		r := &outRow{group: 2, row: 1, values: slices.Clone(x)}
		m.quantizeWithFeedback(r, transport.Int8)
		return r.values
	}
	m.startFeedback(0)
	first := send()
	m.startFeedback(0)
	if again := send(); !slices.Equal(again, first) {
		t.Errorf("done again: %v, then %v", first, again)
	}
	sum := make([]float64, len(x))
	for i, v := range first {
		sum[i] = float64(v)
	}
	const steps = 200
	for n := 1; n < steps; n++ {
		m.startFeedback(n)
		for i, v := range send() {
			sum[i] += float64(v)
		}
	}
	for i, v := range x { // what is sent in the long run is what there was to send
		if d := sum[i]/steps - float64(v); d > 1e-4 || d < -1e-4 {
			t.Errorf("value %d: %v on average, not %v", i, sum[i]/steps, v)
		}
	}
}
