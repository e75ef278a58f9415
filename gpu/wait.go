package gpu

import (
	"fmt"
	"time"
)

// progress polls the driver once and returns the number of completed submits.
// exact says that the caller looks often, so that the time of a completion is known.
func (d *Device) progress(exact bool) uint64 {
	d.n.poll()
	done := d.n.completed()
	s := &d.stream
	if done == s.seen {
		return done
	}
	now := time.Now()
	d.learn(int(done-s.seen), now, exact)
	s.seen, s.lastDone, s.exact = done, now, exact
	kept := s.staging[:0]
	for _, b := range s.staging {
		if b.submit > done {
			kept = append(kept, b)
		} else {
			d.mem.remove(RoleStaging, b.n)
		}
	}
	s.staging = kept
	d.reap()
	return done
}

// learn updates the rate from n submits that completed by now. A time that was
// not seen exactly is only an upper bound, so it may only raise the rate.
func (d *Device) learn(n int, now time.Time, exact bool) {
	s := &d.stream
	n = min(n, len(s.times))
	if n == 0 {
		return
	}
	begin := s.times[0].at
	known := exact && (s.exact || begin.After(s.lastDone))
	if s.lastDone.After(begin) {
		begin = s.lastDone
	}
	var work float64
	for _, t := range s.times[:n] {
		work += t.work
	}
	s.times = append(s.times[:0], s.times[n:]...)
	span := now.Sub(begin).Seconds()
	if work <= 0 || span < 1e-3 {
		return // too short to measure
	}
	rate := work / span
	if rate > s.rate {
		s.rate += 0.3 * (min(rate, 8*s.rate) - s.rate)
	} else if known {
		s.rate += 0.5 * (max(rate, s.rate/8) - s.rate)
	}
}

// waitFor waits until submit number n has completed. The deadline is the longest
// time without any completion, not the whole wait.
func (d *Device) waitFor(n uint64) error {
	return d.wait(func() bool { return d.progress(true) >= n })
}

func (d *Device) waitIdle() error { return d.waitFor(d.stream.submitted) }

// wait polls until done, with sleeps from 50 µs to 1 ms. The library's own wait is
// never used: it reports success after 5 s whatever the GPU does.
func (d *Device) wait(done func() bool) error {
	last, seen, pause := time.Now(), d.n.completed(), 50*time.Microsecond
	for !done() {
		if d.n.lost() {
			_, msg := d.n.takeError()
			return fmt.Errorf("gpu: wait: %w: %s", ErrDeviceLost, msg)
		}
		if c := d.n.completed(); c != seen {
			last, seen, pause = time.Now(), c, 50*time.Microsecond
		}
		if time.Since(last) > d.opt.ReadDeadline {
			return fmt.Errorf("gpu: wait: %w: nothing completed in %v: a kernel hangs, or one dispatch is too long for this adapter", ErrTimeout, d.opt.ReadDeadline)
		}
		time.Sleep(pause)
		pause = min(pause*5/4, time.Millisecond)
	}
	return nil
}
