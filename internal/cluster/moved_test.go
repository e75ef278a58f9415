package cluster

import (
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"concord/internal/simrouter"
)

// A machine that owns buckets gets another address in the middle of the run: the others
// find it there within a second or two, nobody is lost, and the weights are those of a
// run without it.
func TestAddressChange(t *testing.T) {
	const steps, at = 30, 10
	one := reference(t, steps)
	simulate(t, 1, steps, simrouter.Line{Rate: 125e6, Delay: time.Millisecond}, func(w *world, r *simrouter.Router) {
		w.min = 3
		all := []*node{w.start(1), w.start(2), w.start(3)}
		w.reach(at)
		r.Move(all[1].conn.LocalAddr(), &net.UDPAddr{IP: net.IPv4(10, 9, 9, 9), Port: 4433})
		moved := time.Now()
		w.reach(at + 3)
		if d := time.Since(moved); d > 4*time.Second {
			t.Errorf("an address change costs %v", d)
		}
		w.wait(all...)
		for _, n := range all {
			same(t, "moved", one, n)
		}
		w.mu.Lock()
		if len(w.status.Evicted) > 0 {
			t.Errorf("evicted: %v", w.status.Evicted)
		}
		w.mu.Unlock()
		w.close(all...)
	})
}

// reach waits until so many steps are committed.
func (w *world) reach(step int) {
	for w.committed() < step {
		time.Sleep(5 * time.Millisecond)
	}
}

// A machine that cannot be sent the weights goes on asking for as long as the run's
// patience lasts: five failures in a row ended it.
func TestStateIsAskedForAgain(t *testing.T) {
	const failures = 8
	one := reference(t, 12)
	simulate(t, 1, 12, simrouter.Line{Rate: 125e6, Delay: time.Millisecond}, func(w *world, _ *simrouter.Router) {
		var mu sync.Mutex
		failed := 0
		w.crash = func(n *node, where string) error {
			mu.Lock()
			defer mu.Unlock()
			if n.id == 2 && where == "fetching" && failed < failures {
				failed++
				return errors.New("the disk is busy")
			}
			return nil
		}
		w.min = 2
		all := []*node{w.start(1), w.start(2)}
		w.wait(all...)
		if failed != failures {
			t.Errorf("asked %d times", failed)
		}
		for _, n := range all {
			same(t, "asked again", one, n)
		}
		w.close(all...)
	})
}
