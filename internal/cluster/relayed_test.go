package cluster

import (
	"fmt"
	"testing"
	"time"

	"concord/internal/cluster/protocol"
	"concord/internal/simrouter"
)

// Two workers between which a firewall lets nothing through reach each other over machine 1
// and own buckets all the while; when the firewall is gone they dial each other again by
// themselves, and the relayed connection ends. The bits are those of one machine.
func TestRelayedMeanwhile(t *testing.T) {
	t.Parallel()
	const steps = 150
	one := reference(t, steps)
	simulate(t, 2, steps, fastNet, func(w *world, _ *simrouter.Router) {
		w.min, w.relay = 3, true
		w.slow = func(uint32, int, int) { time.Sleep(150 * time.Millisecond) }
		all := []*node{w.start(1), w.start(2), w.start(3)}
		between(all[1], all[2], true)
		w.at(30)
		if n := owners(all[0]); n != 3 {
			t.Errorf("%d machines own buckets, not 3", n)
		}
		if got := w.path(2, 3); got != protocol.PathRelayed {
			t.Errorf("behind a firewall the two reach each other %q", got)
		}
		between(all[1], all[2], false)
		for step := 50; step <= 140; step += 30 { // a minute and more
			w.at(step)
		}
		if got := w.path(2, 3); got != protocol.PathDirect {
			t.Errorf("without it the two reach each other %q", got)
		}
		w.wait(all...)
		for _, n := range all {
			same(t, fmt.Sprint("worker ", n.id), one, n)
		}
		w.close(all...)
		time.Sleep(30 * time.Second)
	})
}

// Machine 1, which relays, is killed and started again: the two machines that it relays
// between go on over the new one, and nothing of the run is lost.
func TestRelayOutlivesMachine1(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1<<30)
	w.min, w.relay = 3, true
	w.slow = func(uint32, int, int) { time.Sleep(5 * time.Millisecond) }
	s := &soak{w: w, first: w.start(1), others: []*node{w.start(2), w.start(3)}}
	between(s.others[0], s.others[1], true)
	w.at(20)
	for !s.otherHolds() {
		time.Sleep(time.Millisecond)
	}
	port := s.first.conn.LocalAddr()
	s.first.die()
	w.coord.Abandon()
	w.rebind(port)
	s.first = w.start(1)
	w.at(w.committed() + 40)
	if got := w.path(2, 3); got != protocol.PathRelayed {
		t.Errorf("the two reach each other %q", got)
	}
	steps := w.committed() + 20
	w.mu.Lock()
	w.steps = steps
	w.mu.Unlock()
	all := append(s.others, s.first)
	w.wait(all...)
	one := w.replay(t, steps)
	for _, n := range all {
		same(t, fmt.Sprint("worker ", n.id), one, n)
	}
	w.close(all...)
}

// between has nothing, or everything, pass between two machines.
func between(a, b *node, off bool) {
	for _, x := range [][2]*node{{a, b}, {b, a}} {
		x[0].conn.mu.Lock()
		if x[0].conn.deny = ""; off {
			x[0].conn.deny = x[1].conn.LocalAddr().String()
		}
		x[0].conn.mu.Unlock()
	}
}

// path is how the status has two workers reach each other.
func (w *world) path(a, b uint32) protocol.Path {
	w.mu.Lock()
	defer w.mu.Unlock()
	return pathOf(w.status, a, b)
}

// owners is how many machines own buckets.
func owners(n *node) int {
	all := map[uint32]bool{}
	for _, o := range n.m.Plan().Owners {
		all[o] = true
	}
	return len(all)
}
