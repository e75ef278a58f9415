package protocol

import "time"

// Silence is how long another machine has not been heard of, in time in which this process
// could have heard it. A process without a free core sleeps with all of its connections, and
// its loop comes late: that says nothing of the others. The zero value has heard nobody: call Heard
// first. Not safe for concurrent use.
type Silence struct {
	from   time.Time // when the other was heard or looked for, the later
	length time.Duration
}

// mostBetween is how much of the time between two looks counts.
const mostBetween = 2 * Heartbeat

// Heard ends the silence.
func (s *Silence) Heard(now time.Time) { s.from, s.length = now, 0 }

// Look is how long the silence lasts; call it every Heartbeat.
func (s *Silence) Look(now time.Time) time.Duration {
	s.length += min(max(0, now.Sub(s.from)), mostBetween)
	s.from = now
	return s.length
}
