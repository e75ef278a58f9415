package cluster

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"concord/internal/cluster/store"
	"concord/internal/cluster/store/storetest"
	"concord/internal/faultproxy"
)

// proxied puts a proxy in front of machine 1.
func (w *world) proxied() *faultproxy.Proxy {
	p, err := faultproxy.New(w.addr, 7)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(p.Close)
	w.addr = p.Addr()
	return p
}

// log is everything that was logged.
func (w *world) text() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.logged, "\n")
}

// Loss, duplicates, corruption and reordering between machine 1 and all others
// change nothing (reference case 14).
func TestBadNetwork(t *testing.T) {
	t.Parallel()
	one := reference(t, 12)
	w := newWorld(t, 12)
	w.min = 3
	a := w.start(1)
	w.proxied().Set(faultproxy.Faults{Loss: 0.01, Duplicate: 0.05, Corrupt: 0.01, Reorder: 0.05, Delay: 2 * time.Millisecond})
	b, c := w.start(2), w.start(3)
	w.wait(a, b, c)
	for _, n := range []*node{a, b, c} {
		same(t, "through a bad network", one, n)
	}
	w.close(a, b, c)
}

// A worker that is cut off for longer than it may be silent is out, comes back by
// itself and holds the run's weights in the end (reference case 10).
func TestPartition(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1<<30)
	w.min = 2
	w.slow = func(uint32, int, int) { time.Sleep(4 * time.Millisecond) }
	a := w.start(1)
	p := w.proxied()
	b := w.start(2)
	w.at(8)
	p.Set(faultproxy.Faults{ToTarget: true, FromTarget: true})
	if e := w.evictions(1); e[0].Worker != 2 || !strings.Contains(e[0].Reason, "heard") {
		t.Errorf("%+v", e)
	}
	w.at(w.committed() + 5) // the others go on
	p.Set(faultproxy.Faults{})
	deadline := time.Now().Add(20 * time.Second)
	for !strings.Contains(w.text(), "the coordinator is back") && time.Now().Before(deadline) {
		time.Sleep(20 * time.Millisecond)
	}
	w.awaitWorking(a, b)
	w.goOn(5, a, b)
	same(t, "healed", a, b)
	w.close(a, b)
}

// Values that cannot be added up are refused with worker, group and language, and
// the step goes on without them (reference case 19).
func TestBadValues(t *testing.T) {
	t.Parallel()
	for name, v := range map[string]float32{"NaN": float32(math.NaN()), "infinite": float32(math.Inf(1))} {
		w := newWorld(t, 10)
		w.min = 2
		w.tamper = func(worker uint32, step, group int, x [][]float32) {
			if worker == 2 && step == 5 && group == 2 {
				x[0][11] = v
			}
		}
		a, b := w.start(1), w.start(2)
		w.wait(a, b)
		same(t, name, a, b)
		if log := w.text(); !strings.Contains(log, "group 2") || !strings.Contains(log, "value 11 is") {
			t.Errorf("%s: %s", name, log)
		}
		w.close(a, b)
	}
}

// Two machines with the same identity: the second is told whose it is (case 28).
func TestCopiedIdentity(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1<<30)
	w.min = 2
	w.slow = func(uint32, int, int) { time.Sleep(4 * time.Millisecond) }
	a, b := w.start(1), w.start(2)
	w.at(4)
	copied := w.start(2)
	select {
	case err := <-copied.done:
		if err == nil || !strings.Contains(err.Error(), "in use from") {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("the copy was let in")
	}
	w.mu.Lock()
	w.steps = len(w.roots) + 5
	w.mu.Unlock()
	w.wait(a, b)
	copied.leave()
	w.close(a, b)
}

// A worker that hangs for a while: the step goes on without its rows at the
// deadline, says so, and the worker catches up (reference case 16).
func TestDeadline(t *testing.T) {
	t.Parallel()
	synctestWorld(t, func(w *world) {
		w.steps, w.min, w.deadline = 40, 3, true
		w.slow = func(worker uint32, step, group int) {
			time.Sleep(2 * time.Millisecond)
			if worker == 3 && step == 15 && group == 1 {
				time.Sleep(3500 * time.Millisecond)
			}
		}
		a, b, c := w.start(1), w.start(2), w.start(3)
		w.wait(a, b, c)
		same(t, "who hung", a, c)
		same(t, "who did not", a, b)
		if log := w.text(); !strings.Contains(log, "step 16 goes on without rows of w3") {
			t.Errorf("%s", log)
		}
		w.close(a, b, c)
		time.Sleep(30 * time.Second)
	})
}

// A worker that is ten times slower gets less to do.
func TestSlowWorkerGetsLess(t *testing.T) {
	t.Parallel()
	synctestWorld(t, func(w *world) {
		w.steps, w.min, w.patience = 25, 2, time.Hour
		w.perRow = func(worker uint32, rows int) time.Duration {
			if worker == 2 {
				return time.Duration(rows) * 10 * time.Millisecond
			}
			return time.Duration(rows) * time.Millisecond
		}
		a, b := w.start(1), w.start(2)
		w.wait(a, b)
		w.mu.Lock()
		s := w.status
		w.mu.Unlock()
		if s.Members[1].Rows > 3 || s.Members[1].Rows < 1 {
			t.Errorf("%d of %d rows for the slow one", s.Members[1].Rows, w.rows)
		}
		w.close(a, b)
		time.Sleep(30 * time.Second)
	})
}

// unsteady is a store whose answers get lost: some requests are done all the same.
type unsteady struct {
	store.Store
	mu sync.Mutex
	r  *rand.Rand
}

func (u *unsteady) Put(ctx context.Context, key string, value []byte, rev int64, guards ...store.Guard) (int64, error) {
	u.mu.Lock()
	n := u.r.IntN(6)
	u.mu.Unlock()
	if key != "committed" || n > 1 {
		return u.Store.Put(ctx, key, value, rev, guards...)
	}
	if n == 0 {
		u.Store.Put(ctx, key, value, rev, guards...)
	}
	return 0, errors.New("no answer")
}

// A store that does not answer holds up commits, and nothing else: nobody is put
// out, no step has two roots, whatever was done unseen (reference case 9). A worker
// that dies meanwhile is no reason to plan a step anew that may be committed.
func TestUnsteadyStore(t *testing.T) {
	t.Parallel()
	one := reference(t, 25)
	w := newWorld(t, 25)
	w.min, w.store = 3, &unsteady{Store: storetest.NewMemory(), r: rand.New(rand.NewPCG(5, 5))}
	w.slow = func(uint32, int, int) { time.Sleep(2 * time.Millisecond) }
	a, b, c := w.start(1), w.start(2), w.start(3)
	w.at(10)
	c.die()
	w.wait(a, b)
	same(t, "worker 1", one, a)
	same(t, "worker 2", one, b)
	if !strings.Contains(w.text(), "waiting for the store") {
		t.Error(w.text())
	}
	w.close(a, b)
}
