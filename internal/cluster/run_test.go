package cluster

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"concord/internal/cluster/coordinator"
	"concord/internal/cluster/protocol"
	"concord/internal/cluster/worker"
)

// reference is the run by one machine.
func reference(t *testing.T, steps int) *node {
	w := newWorld(t, steps)
	w.patience = 5 * time.Minute // on a machine with much else to do
	n := w.start(1)
	w.wait(n)
	w.close(n)
	return n
}

// However many machines, the weights are those of one (reference case 33); the
// gradients of this world add up exactly in any split.
func TestAnyNumberOfWorkersIsOne(t *testing.T) {
	t.Parallel()
	one := reference(t, 8)
	for _, n := range []int{2, 3, 8} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			w := newWorld(t, 8)
			w.min = n
			var mu sync.Mutex
			r := rand.New(rand.NewPCG(1, uint64(n)))
			w.slow = func(uint32, int, int) { // arrival in any order
				mu.Lock()
				d := time.Duration(r.IntN(3000)) * time.Microsecond
				mu.Unlock()
				time.Sleep(d)
			}
			var nodes []*node
			for i := range n {
				nodes = append(nodes, w.start(uint32(i+1)))
			}
			w.wait(nodes...)
			for _, x := range nodes {
				same(t, fmt.Sprintf("worker %d", x.id), one, x)
			}
			w.close(nodes...)
		})
	}
}

// A worker that joins in the middle ends with the same weights.
func TestJoinInTheMiddle(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1<<30)
	w.slow = func(uint32, int, int) { time.Sleep(2 * time.Millisecond) }
	a := w.start(1)
	w.at(5)
	b := w.start(2)
	w.at(10)
	c := w.start(3)
	w.awaitWorking(a, b, c)
	w.goOn(10, a, b, c)
	one := reference(t, w.length())
	for _, x := range []*node{a, b, c} {
		same(t, fmt.Sprintf("worker %d", x.id), one, x)
	}
	w.close(a, b, c)
}

// kill -9 of a worker that owns buckets: the others finish, to the same weights
// among them, and the reason is on record (reference cases 1, 2, 5). Where steps
// may not depend on losses, the weights are those of a run without any; otherwise
// the step goes on with what was counted.
func TestWorkerDies(t *testing.T) {
	t.Parallel()
	one := reference(t, 40)
	for _, relaxed := range []bool{false, true} {
		t.Run(fmt.Sprint("relaxed ", relaxed), func(t *testing.T) {
			w := newWorld(t, 40)
			w.min, w.deadline = 3, relaxed
			w.slow = func(uint32, int, int) { time.Sleep(5 * time.Millisecond) }
			a, b, c := w.start(1), w.start(2), w.start(3)
			w.at(15)
			b.die()
			w.wait(a, c)
			same(t, "survivors", a, c)
			if !relaxed {
				same(t, "without the loss", one, a)
			}
			if e := w.evictions(1); e[0].Worker != 2 || !strings.Contains(e[0].Reason, "heard") {
				t.Errorf("evictions %+v", e)
			}
			w.close(a, c)
		})
	}
}

// Leaving and coming back, again and again (reference case 32): the weights are
// those of a run that nobody left.
func TestChurn(t *testing.T) {
	t.Parallel()
	one := reference(t, 60)
	w := newWorld(t, 60)
	w.slow = func(uint32, int, int) { time.Sleep(3 * time.Millisecond) }
	a, b := w.start(1), w.start(2)
	for i, at := range []int{6, 14, 22, 30} {
		w.at(at)
		c := w.start(uint32(3 + i))
		w.at(at + 4)
		if i%2 == 0 {
			c.die()
		} else {
			c.leave()
		}
	}
	w.wait(a, b)
	same(t, "worker 1", one, a)
	same(t, "worker 2", one, b)
	w.close(a, b)
}

// The coordinator dies between steps or within one and comes back with its
// store: no committed step is lost (reference case 7).
func TestCoordinatorComesBack(t *testing.T) {
	t.Parallel()
	one := reference(t, 30)
	w := newWorld(t, 30)
	w.min, w.regather = 3, true // but as b is left, nothing waits for c
	w.slow = func(uint32, int, int) { time.Sleep(5 * time.Millisecond) }
	a, b, c := w.start(1), w.start(2), w.start(3)
	w.at(4)
	w.at(7)
	w.lose(a, c)
	a = w.start(1)
	w.wait(a, b)
	same(t, "survivor", one, b)
	same(t, "machine 1", one, a)
	w.close(a, b)
}

// All machines die with the last steps, and a worker comes back with a later state
// than machine 1's checkpoint: the run goes on from that.
func TestGoesBackAsLittleAsItCan(t *testing.T) {
	t.Parallel()
	one := reference(t, 30)
	w := newWorld(t, 30)
	w.min, w.stateTimeout = 2, 2*time.Second
	w.slow = func(uint32, int, int) { time.Sleep(5 * time.Millisecond) }
	kept := [3]*saved{}
	keep := func(step int) func(*node) error {
		return func(n *node) (err error) {
			if n.step == step {
				kept[n.id], err = n.save()
			}
			return err
		}
	}
	a, b := w.startFrom(1, nil, keep(6)), w.startFrom(2, nil, keep(9))
	w.at(12)
	w.lose(a, b)
	w.gather = true // else the run goes back without worker 2 where that takes two seconds to come
	a, b = w.startFrom(1, kept[1], nil), w.startFrom(2, kept[2], nil)
	w.wait(a, b)
	same(t, "machine 1", one, a)
	same(t, "worker 2", one, b)
	if text := w.text(); !strings.Contains(text, "going on from the weights of w2 of step 9") {
		t.Error(text)
	}
	w.close(a, b)
}

// Equal machines that were all lost begin together again, those with a state and
// those without; where one of them is left it does not wait for the others.
func TestEqualMachinesBeginTogether(t *testing.T) {
	t.Parallel()
	one := reference(t, 12)
	w := newWorld(t, 12)
	w.min, w.regather = 3, true
	stop, kept := errors.New("stop"), [4]*saved{}
	last := func(n *node) (err error) {
		if n.step != 6 {
			return nil
		}
		if kept[n.id], err = n.save(); err != nil {
			return err
		}
		return stop
	}
	gone := []*node{w.startFrom(1, nil, last), w.startFrom(2, nil, last), w.startFrom(3, nil, last)}
	for _, n := range gone {
		if err := <-n.done; err != stop {
			t.Fatal(err)
		}
	}
	w.lose(gone[0], gone[1:]...)
	a := w.startFrom(1, kept[1], nil)
	time.Sleep(300 * time.Millisecond)
	b, c := w.startFrom(2, kept[2], nil), w.start(3)
	w.wait(a, b, c)
	for _, n := range []*node{a, b, c} {
		same(t, fmt.Sprint("worker ", n.id), one, n)
	}
	if text := w.text(); strings.Count(text, "step 7: 3 machines") != 1 || strings.Contains(text, "step 7: 2") {
		t.Error(text)
	}
	w.close(a, b, c)
}

// A replica that drifted is found and repaired; the second time its machine is
// put out.
func TestDriftIsRepaired(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1<<30)
	w.min, w.check = 3, 5
	w.slow = func(uint32, int, int) { time.Sleep(time.Millisecond) }
	const found = "the weights of w2 differ from those of w1 in 1 of 5 groups (the first: 2)"
	flipped := false
	w.drift = func(n *node) {
		if n.id == 2 && (n.step >= 12 && !flipped || n.step >= 27 && strings.Contains(w.text(), found)) {
			flipped = true
			n.weights[3][7] += 1e-3 // a bit of bad memory, and later in every step
		}
	}
	a, b, c := w.start(1), w.start(2), w.start(3)
	if e := w.evictions(1); e[0].Worker != 2 || !strings.Contains(e[0].Reason, "second time") {
		t.Errorf("%+v", e)
	}
	if !strings.Contains(w.text(), found) {
		t.Error(w.text())
	}
	w.goOn(5, a, c)
	if err := <-b.done; !errors.Is(err, worker.ErrBanned) {
		t.Errorf("the drifting machine: %v", err)
	}
	same(t, "those who did not drift", a, c)
	w.close(a, b, c)
}

// What is offered to newcomers is three times as large as the weights: it is let go
// when they have it.
func TestOfferedStateIsLetGo(t *testing.T) {
	w := newWorld(t, 1<<30)
	w.slow = func(uint32, int, int) { time.Sleep(2 * time.Millisecond) }
	a := w.start(1)
	w.at(3)
	b, c := w.start(2), w.start(3)
	w.awaitWorking(a, b, c)
	w.goOn(10, a, b, c)
	same(t, "who came later", a, c)
	for _, n := range []*node{a, b, c} {
		for i, p := range n.offered {
			for range 500 { // the last one may still be on its way
				if runtime.GC(); p.Value() == nil {
					break
				}
				time.Sleep(10 * time.Millisecond)
			}
			if p.Value() != nil {
				t.Errorf("worker %d still keeps its offer %d of %d", n.id, i+1, len(n.offered))
			}
		}
		if n == a && n.offered == nil {
			t.Error("machine 1 has given nothing")
		}
	}
	w.close(a, b, c)
}

// A run that ends, with the word on its way right behind the last commit, ends for
// everybody behind that step: what they keep of it is of the same state.
func TestEndBehindACommit(t *testing.T) {
	t.Parallel()
	stop := errors.New("stop")
	for _, params := range []bool{false, true} {
		for range 10 {
			w := newWorld(t, 1<<30)
			w.min, w.params = 2, params
			a := w.startFrom(1, nil, func(n *node) error {
				if n.step == 4 {
					go w.coord.Close(protocol.End{Text: "machine 1 has stopped"})
					return stop
				}
				return nil
			})
			b := w.start(2)
			if err := <-a.done; err != stop {
				t.Fatal(err)
			}
			e := (*worker.EndedError)(nil)
			if err := <-b.done; !errors.As(err, &e) || b.step != 4 {
				t.Errorf("worker 2 ends with %v before step %d", err, b.step+1)
			}
			a.leave()
			b.leave()
		}
	}
}

// Workers that look for a machine 1 that comes back find it before its own worker
// has connected.
func TestWorkersComeFirst(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 5)
	w.min = 2
	w.crash = func(n *node, where string) error {
		if n.id == 1 && where == "not connected" {
			return w.joined(2)
		}
		return nil
	}
	a, b := w.start(1), w.start(2)
	w.wait(a, b)
	same(t, "who came first", a, b)
	w.close(a, b)
}

// A machine that comes while the others are told of the run's end is told too.
func TestJoinAtTheEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1<<30)
	w.min = 2
	a, b := w.start(1), w.start(2)
	w.at(3)
	go w.coord.Close(protocol.End{Text: "the run is finished", Finished: true})
	e := (*worker.EndedError)(nil)
	if err := <-b.done; !errors.As(err, &e) {
		t.Fatal(err)
	}
	c := w.start(3) // b, which has not left yet, has the coordinator wait
	if err := <-c.done; !errors.As(err, &e) || !e.Finished {
		t.Errorf("who comes then hears: %v", err)
	}
	for _, n := range []*node{a, b, c} {
		n.leave()
	}
}

// The last status has everyone who took part, though they leave when they hear of the end.
func TestLastStatus(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1<<30)
	w.min = 4
	first := w.start(1)
	var left sync.WaitGroup
	for id := range uint32(3) {
		n := w.start(2 + id)
		left.Go(func() {
			<-n.done
			n.leave()
		})
	}
	w.at(2)
	w.close(first)
	left.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	if got := len(w.status.Members); got != 4 {
		t.Errorf("the last status has %d of 4 machines", got)
	}
}

// A coordinator that was paused does not write over the status of the one that has
// taken over; the term of an earlier run in the same folder is no obstacle.
func TestStatusOfTheLatestTerm(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	StatusTo(dir)(coordinator.Status{Time: time.Now(), Term: 5}, true)
	old := StatusTo(dir)
	old(coordinator.Status{Time: time.Now(), Term: 1, Step: 7}, true)
	if s, err := ReadStatus(dir); err != nil || s.Term != 1 || s.Step != 7 {
		t.Fatalf("a run of its own: %+v, %v", s, err)
	}
	StatusTo(dir)(coordinator.Status{Time: time.Now(), Term: 2, Step: 9}, true)
	old(coordinator.Status{Time: time.Now(), Term: 1, Step: 7}, true)
	if s, err := ReadStatus(dir); err != nil || s.Term != 2 || s.Step != 9 {
		t.Errorf("the paused one wrote %+v, %v", s, err)
	}
}

// A step in which a machine saves what only it holds is not committed before that is
// on its disk: a machine that is killed then has all of the last checkpoint.
func TestCommitWaitsForSaves(t *testing.T) {
	t.Parallel()
	for _, params := range []bool{false, true} {
		synctestWorld(t, func(w *world) {
			w.steps, w.min, w.params, w.patience = 10, 3, params, time.Hour
			written := time.Time{}
			w.saving = func(n *node, s *worker.Step) {
				if n.id == 2 && n.step == 5 {
					saved := s.Saving()
					time.AfterFunc(5*time.Second, func() { w.mu.Lock(); written = time.Now(); w.mu.Unlock(); saved() })
				}
			}
			w.committedAt = func(step int) { // with the mutex
				if step == 5 && written.IsZero() {
					t.Error("step 6 is committed before worker 2 has saved")
				}
			}
			all := []*node{w.start(1), w.start(2), w.start(3)}
			w.wait(all...)
			if written.IsZero() {
				t.Error("nothing was saved")
			}
			w.close(all...)
			time.Sleep(30 * time.Second)
		})
	}
}
