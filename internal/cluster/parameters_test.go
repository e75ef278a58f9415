package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// sharded is a world in which owners keep the momentum and send weights.
func sharded(t testing.TB, steps int) *world {
	w := newWorld(t, steps)
	w.params = true
	return w
}

// alone is a sharded run by one machine.
func alone(t *testing.T, steps int) *node {
	w := sharded(t, steps)
	w.patience = 5 * time.Minute // as reference
	n := w.start(1)
	w.wait(n)
	w.close(n)
	return n
}

// However many machines share the optimizer's state, the weights are those of one.
func TestParametersOfAnyNumberOfWorkers(t *testing.T) {
	t.Parallel()
	one := alone(t, 8)
	for _, n := range []int{2, 3, 8} {
		w := sharded(t, 8)
		w.min = n
		var nodes []*node
		for i := range n {
			nodes = append(nodes, w.start(uint32(i+1)))
		}
		w.wait(nodes...)
		for _, x := range nodes {
			same(t, fmt.Sprintf("%d machines, worker %d", n, x.id), one, x)
			for u, k := range x.kept {
				if b, err := x.m.Moments(t.Context(), 8, u); err != nil || !bytes.Equal(b, k) {
					t.Errorf("worker %d holds other moments of group %d: %v", x.id, u, err)
				}
			}
			if n == 8 && len(x.kept) == len(w.groups) {
				t.Errorf("worker %d of %d holds all groups", x.id, n)
			}
		}
		w.close(nodes...)
	}
}

// A machine that owns buckets is killed, others join: the momentum moves, to the
// same bits.
func TestOwnerOfMomentsDies(t *testing.T) {
	t.Parallel()
	one := alone(t, 40)
	w := sharded(t, 40)
	w.min = 3
	w.slow = func(uint32, int, int) { time.Sleep(4 * time.Millisecond) }
	a, b, c := w.start(1), w.start(2), w.start(3)
	w.at(10)
	b.die()
	w.at(15)
	d := w.start(4)
	w.at(25)
	c.leave()
	w.wait(a, d)
	same(t, "machine 1", one, a)
	same(t, "the one that joined", one, d)
	w.close(a, d)
}

// Machine 1 dies with the moments that it owned; its backups have them.
func TestCoordinatorWithMomentsComesBack(t *testing.T) {
	t.Parallel()
	one := alone(t, 30)
	w := sharded(t, 30)
	w.min = 3
	w.slow = func(uint32, int, int) { time.Sleep(5 * time.Millisecond) }
	a, b, c := w.start(1), w.start(2), w.start(3)
	w.at(7)
	w.lose(a)
	a = w.startFrom(1, nil, func(*node) error { return errors.Join(w.joined(2), w.joined(3)) })
	w.wait(a, b, c)
	for _, n := range []*node{a, b, c} {
		same(t, fmt.Sprint("worker ", n.id), one, n)
	}
	w.close(a, b, c)
}

// An owner and its backup die together: the run says what is lost, and machine 1
// goes on from its checkpoint, with everybody else, to the same bits.
func TestMomentsAreLost(t *testing.T) {
	t.Parallel()
	one := alone(t, 30)
	w := sharded(t, 30)
	w.min, w.stateTimeout = 4, 2*time.Second
	w.slow = func(uint32, int, int) { time.Sleep(5 * time.Millisecond) }
	var k *saved
	a := w.startFrom(1, nil, func(n *node) (err error) {
		if n.step == 6 {
			k, err = n.save()
		}
		return err
	})
	b, c, d := w.start(2), w.start(3), w.start(4)
	w.at(12)
	b.die()
	c.die()
	var err error
	select {
	case err = <-a.done:
	case <-time.After(20 * time.Second):
		a.dump()
		t.Fatalf("machine 1 goes on without the moments; the coordinator waits for %q", w.status.Waiting)
	}
	if err == nil || !strings.Contains(err.Error(), "optimizer's state") || !strings.Contains(err.Error(), "resume") {
		t.Fatalf("machine 1 ended with %v", err)
	}
	w.mu.Lock()
	for n := 6; n < 30; n++ { // are made again: the others' roots need not be those of the run that was lost
		delete(w.roots, n)
	}
	w.mu.Unlock()
	w.lose(a)
	a = w.startFrom(1, k, func(*node) error { return w.joined(4) }) // else machine 1 may be at the end before the survivor has found it
	w.wait(a, d)
	same(t, "machine 1", one, a)
	same(t, "the survivor", one, d)
	w.close(a, d)
}

// TestSimulatedChurn in parameters mode.
func TestSimulatedChurnOfMoments(t *testing.T) {
	t.Parallel()
	for seed := range seeds(t, 3) {
		churn(t, seed, 200+seed, 20, true)
	}
}
