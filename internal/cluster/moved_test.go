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
	t.Parallel()
	const steps, at = 30, 10
	one := reference(t, steps)
	simulate(t, 1, steps, simrouter.Line{Rate: 125e6, Delay: time.Millisecond}, func(w *world, r *simrouter.Router) {
		w.min = 3
		all := []*node{w.start(1), w.start(2), w.start(3)}
		w.at(at)
		r.Move(all[1].conn.LocalAddr(), &net.UDPAddr{IP: net.IPv4(10, 9, 9, 9), Port: 4433})
		moved := time.Now()
		w.at(at + 3)
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

// A machine that cannot be sent the weights goes on asking for as long as the run's
// patience lasts: five failures in a row ended it.
func TestStateIsAskedForAgain(t *testing.T) {
	t.Parallel()
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

// Machine 1 is killed in the middle of a step and resumed from an earlier state, to wait
// for as many machines as there were: those are all there and in that step, and one of
// them gives it the weights at once. It took a minute.
func TestResumeWaitsForNoMoreThanAreThere(t *testing.T) {
	t.Parallel()
	one := reference(t, 14)
	line := simrouter.Line{Rate: 125e6, Delay: time.Millisecond}
	simulate(t, 1, 14, line, func(w *world, network *simrouter.Router) {
		k := &killer{w: w, where: "pushed 0", step: 5, hit: make(chan struct{})}
		w.min = 3
		w.slow = func(uint32, int, int) { time.Sleep(20 * time.Millisecond) }
		w.crash = func(n *node, where string) error {
			k.mu.Lock()
			victim := k.victim == n
			k.mu.Unlock()
			if victim && k.is(where, n.step) {
				return errKilled
			}
			return nil
		}
		nodes := []*node{w.start(1), w.start(2), w.start(3)}
		k.mu.Lock()
		k.victim = nodes[0]
		k.mu.Unlock()
		<-k.hit
		time.Sleep(3 * time.Second) // the others have sent what they could
		w.gather = true
		began := time.Now()
		nodes[0] = restartFirst(w, network, line)
		w.at(7)
		if d := time.Since(began); d > 15*time.Second {
			t.Errorf("the next step was committed after %v", d)
		}
		w.wait(nodes...)
		for _, n := range nodes {
			same(t, "resumed", one, n)
		}
		w.close(nodes...)
	})
}
