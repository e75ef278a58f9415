package gpu

import (
	"testing"
	"time"
)

// A GPU is late after the deadline. A software rasterizer that gets no core is not, as one
// beside many other programs, until it has computed for so long or ten deadlines are over.
func TestLate(t *testing.T) {
	now, ok := processorTime()
	if !ok {
		t.Skip("the system does not tell the processor time of a process")
	}
	for name, c := range map[string]struct {
		adapter    AdapterType
		took, work time.Duration
		late       bool
	}{
		"GPU in time":               {Discrete, 50 * time.Second, 0, false},
		"GPU":                       {Discrete, 61 * time.Second, 0, true},
		"software in time":          {CPU, 50 * time.Second, 100 * time.Second, false},
		"software without a core":   {CPU, 70 * time.Second, 5 * time.Second, false},
		"software that computes":    {CPU, 70 * time.Second, 61 * time.Second, true},
		"software without any time": {CPU, 601 * time.Second, 0, true},
	} {
		w := &waiter{d: &Device{info: AdapterInfo{Type: c.adapter}, opt: Options{ReadDeadline: time.Minute}},
			last: time.Now().Add(-c.took), worked: now - c.work}
		if w.late() != c.late {
			t.Errorf("%s: late %v", name, !c.late)
		}
	}
}
