package protocol

import (
	"testing"
	"testing/synctest"
	"time"
)

// A machine that is not heard of is silent for as long as it is looked for, and a sleep of
// the process that looks counts next to nothing, whenever it falls.
func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s Silence
		s.Heard(time.Now())
		for range 6 {
			time.Sleep(Heartbeat)
			s.Look(time.Now())
		}
		if d := s.Look(time.Now()); d != 6*Heartbeat {
			t.Errorf("silent for %v after six heartbeats", d)
		}
		time.Sleep(time.Minute)
		if d := s.Look(time.Now()); d != 6*Heartbeat+mostBetween {
			t.Errorf("silent for %v after a sleep of this process", d)
		}
		s.Heard(time.Now())
		time.Sleep(Heartbeat / 5)
		if d := s.Look(time.Now()); d != Heartbeat/5 {
			t.Errorf("silent for %v since it was heard", d)
		}
	})
}
