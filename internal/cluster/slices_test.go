package cluster

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"concord/internal/cluster/protocol"
	"concord/internal/simrouter"
)

// A worker that leads a group of several slices is killed when it has told a Gram, or a solution
// that others may have combined by: the group begins anew everywhere, and the weights are those that
// the record gives on one machine.
func TestLeaderOfAGroupIsKilled(t *testing.T) {
	t.Parallel()
	for _, where := range []string{"planned", "told a Gram", "told a solution", "resolved one"} {
		var kept *world
		var left []*node
		simulate(t, 3, 14, simrouter.Line{Rate: 125e6, Delay: time.Millisecond}, func(w *world, _ *simrouter.Router) {
			w.groups, w.cut = []int{640, 17, 200, 200, 200, 64}, protocol.Leads{0, 1, 2, 2, 2, 5}
			w.min, w.patience, kept = 3, time.Hour, w
			var killed atomic.Bool
			w.crash = func(n *node, at string) error {
				if n.id == 3 && n.step == 5 && at == where {
					if p := n.m.Plan(); p.Owners[2] != 3 || p.Owners[3] == 3 {
						t.Errorf("machine 3 does not lead the group: its slices belong to %v", p.Owners[2:5])
					}
					killed.Store(true)
					n.die()
					return errors.New("killed")
				}
				return nil
			}
			all := []*node{w.start(1), w.start(2), w.start(3)}
			<-all[2].done
			left = all[:2]
			w.wait(left...)
			w.close(left...)
			if !killed.Load() {
				t.Errorf("%s: machine 3 was not killed", where)
			}
			time.Sleep(30 * time.Second)
		})
		one := kept.replay(t, 14)
		for _, n := range left {
			same(t, where, one, n)
		}
	}
}

// The owner of a slice computes for ever and goes on with its heartbeats: the others, who wait for
// its Gram, are not to blame, and another machine takes its slices.
func TestOwnerOfASliceHangs(t *testing.T) {
	t.Parallel()
	var kept *world
	var left []*node
	simulate(t, 4, 40, simrouter.Line{Rate: 125e6, Delay: time.Millisecond}, func(w *world, _ *simrouter.Router) {
		w.groups, w.cut = []int{640, 17, 200, 200, 200, 64}, protocol.Leads{0, 1, 2, 2, 2, 5}
		w.min, w.deadline, w.patience, kept = 3, true, time.Hour, w
		w.slow = func(uint32, int, int) { time.Sleep(20 * time.Millisecond) }
		woken := make(chan struct{})
		w.crash = func(n *node, at string) error {
			if n.id == 2 && n.step == 20 && at == "summed" {
				<-woken
				return errors.New("hung")
			}
			return nil
		}
		all := []*node{w.start(1), w.start(2), w.start(3)}
		left = []*node{all[0], all[2]}
		w.wait(left...)
		w.close(left...)
		close(woken)
		<-all[1].done
		all[1].leave()
		for _, e := range w.status.Evicted {
			if e.Worker != 2 {
				t.Errorf("worker %d was put out: %s", e.Worker, e.Reason)
			}
		}
		time.Sleep(30 * time.Second)
	})
	one := kept.replay(t, 40)
	for _, n := range left {
		same(t, "without worker 2", one, n)
	}
}
