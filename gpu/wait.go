package gpu

import (
	"fmt"
	"time"
)

// progress polls the driver once and returns the number of completed submits.
// exact says that the caller looks often, so that the time of a completion is known.
func (d *Device) progress(exact bool) uint64 {
	d.drv.poll()
	done := d.drv.completed()
	s := &d.stream
	if done == s.seen {
		return done
	}
	s.pace.completed(int(done-s.seen), time.Now(), exact)
	s.seen = done
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

// waitFor waits until submit number n has completed. The deadline is the longest
// time without any completion, not the whole wait.
func (d *Device) waitFor(n uint64) error {
	return d.wait(func() bool { return d.progress(true) >= n })
}

func (d *Device) waitIdle() error { return d.waitFor(d.stream.submitted) }

// wait polls until done, with sleeps from 50 µs to 1 ms. The library's own wait is
// never used: it reports success after 5 s in any case. The mutex stays
// held, so that others do not see a caller's half-done work.
func (d *Device) wait(done func() bool) error {
	w := d.newWaiter()
	for !done() {
		if err := w.check(); err != nil {
			return err
		}
		time.Sleep(w.pause())
	}
	return nil
}

// waiter watches the deadline of one wait.
type waiter struct {
	d      *Device
	last   time.Time     // when something completed
	worked time.Duration // the process's processor time then, of software rasterizers
	seen   uint64
	next   time.Duration
}

const leastPause = 50 * time.Microsecond

func (d *Device) newWaiter() *waiter {
	w := &waiter{d: d, seen: d.drv.completed(), next: leastPause}
	w.restart()
	return w
}

// restart begins the deadline anew.
func (w *waiter) restart() {
	w.last = time.Now()
	if w.software() {
		w.worked, _ = processorTime()
	}
}

// software says that this process makes the device's computations.
func (w *waiter) software() bool { return w.d.info.Type == CPU }

// starved bounds the deadline of a software rasterizer that gets no processor time, in
// deadlines.
const starved = 10

// late says that nothing has completed for the deadline. A software rasterizer compiles
// and computes in this process, and beside other programs it may wait long for a core: it
// is late when the process has had so much processor time too, or after ten deadlines.
func (w *waiter) late() bool {
	limit, took := w.d.opt.ReadDeadline, time.Since(w.last)
	if took <= limit || !w.software() || took > starved*limit {
		return took > limit
	}
	now, ok := processorTime()
	return !ok || now-w.worked > limit
}

// check returns why waiting is pointless, or nil.
func (w *waiter) check() error {
	d := w.d
	if d.drv == nil {
		return d.err
	}
	if d.drv.lost() {
		d.ok() // the loss becomes the sticky error
		return d.err
	}
	if c := d.drv.completed(); c != w.seen {
		w.seen, w.next = c, leastPause
		w.restart()
	}
	if w.late() {
		return deviceError{fmt.Errorf("gpu: wait: %w: nothing completed in %v: "+
			"a kernel hangs, or one dispatch is too long for this adapter", ErrTimeout, d.opt.ReadDeadline)}
	}
	return nil
}

func (w *waiter) pause() time.Duration {
	p := w.next
	w.next = min(p*5/4, time.Millisecond)
	return p
}
