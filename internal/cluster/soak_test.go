package cluster

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"testing"
	"time"

	"concord/transport"
)

// Workers are killed and join all the time, and now and then the coordinator is,
// for as long as CONCORD_SOAK says (make soak: 30 minutes). No committed step is
// lost, every step has one root, the weights are those of a run without faults,
// and neither memory nor goroutines grow.
func TestSoak(t *testing.T) {
	d, err := time.ParseDuration(os.Getenv("CONCORD_SOAK"))
	if err != nil {
		t.Skip("set CONCORD_SOAK to a duration, such as 30m")
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	s := &soak{w: newWorld(t, 1<<30), r: rand.New(rand.NewPCG(seed, 0)), next: 2}
	s.w.roots = make(map[int]transport.Hash, 1<<15) // what the test itself remembers takes its room at once
	s.w.slow = func(uint32, int, int) { time.Sleep(2 * time.Millisecond) }
	s.first = s.w.start(1)
	s.join()
	s.join()
	var windows [6]footprint
	began := time.Now()
	for time.Since(began) < d {
		s.disturb()
		windows[min(int(6*time.Since(began)/d), 5)].add()
	}
	steps := s.w.committed()
	t.Logf("%v: %d steps committed, %d workers killed, %d left, %d joined, %d coordinators killed; in sixths of the time, on average: %v",
		d, steps, s.kills, s.leaves, s.next-2, s.coordinators, windows)
	early, late := windows[1], windows[5]
	if late.mean(late.mb) > 1.15*early.mean(early.mb)+1 || late.mean(late.goroutines) > 1.15*early.mean(early.goroutines)+10 {
		t.Errorf("memory or goroutines grow: %v, then %v", early, late)
	}
	s.allTakePart()
	s.finish(s.w.committed() + 20)
}

// soak is a run that is disturbed.
type soak struct {
	w                           *world
	r                           *rand.Rand
	first                       *node
	others                      []*node
	next                        uint32
	kills, leaves, coordinators int
	noCoordinator               bool   // is never killed
	reopen                      func() // the store, for a new coordinator; nil: it stays open
}

func (s *soak) join() {
	s.others = append(s.others, s.w.start(s.next))
	s.next++
}

// disturb does one thing to the run and waits for it to go on.
func (s *soak) disturb() {
	at := s.w.committed()
	switch n := s.r.IntN(20); {
	case n == 0 && !s.noCoordinator && s.otherHolds():
		port := s.first.conn.LocalAddr()
		s.first.die()
		s.w.coord.Abandon()
		time.Sleep(50 * time.Millisecond)
		s.w.rebind(port)
		if s.reopen != nil {
			s.reopen()
		}
		s.first = s.w.start(1)
		s.coordinators++
	case n < 8 && len(s.others) > 1:
		s.take().die()
		s.kills++
	case n < 11 && len(s.others) > 1:
		s.take().leave()
		s.leaves++
	case len(s.others) < 5:
		s.join()
	}
	s.w.at(at + 1 + s.r.IntN(8))
}

// otherHolds says that some other machine has all that is committed: only then can
// nothing be lost with machine 1, which has no checkpoints here.
func (s *soak) otherHolds() bool {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	for _, m := range s.w.status.Members { // who has rows of the present step has all before it
		if m.Worker != 1 && m.Rows > 0 && m.Step >= s.w.status.Step-1 && slices.ContainsFunc(s.others,
			func(n *node) bool { return n.id == m.Worker }) {
			return true
		}
	}
	return false
}

// allTakePart is awaitWorking of all machines of the run.
func (s *soak) allTakePart() { s.w.t.Helper(); s.w.awaitWorking(append(s.others, s.first)...) }

// take picks a worker that is not the first.
func (s *soak) take() *node {
	i := s.r.IntN(len(s.others))
	n := s.others[i]
	s.others = append(s.others[:i], s.others[i+1:]...)
	return n
}

// finish lets the run end at step n and compares it with one without faults.
func (s *soak) finish(n int) {
	s.w.mu.Lock()
	s.w.steps = n
	s.w.mu.Unlock()
	s.w.wait(append(s.others, s.first)...)
	w := newWorld(s.w.t, n)
	w.patience = 20 * time.Minute
	one := w.start(1)
	w.wait(one)
	for _, x := range append(s.others, s.first) {
		same(s.w.t, fmt.Sprint("worker ", x.id), one, x)
	}
	for step := range n {
		if s.w.roots[step] == [32]byte{} {
			s.w.t.Fatalf("step %d was never committed", step)
		}
	}
	s.w.close(append(s.others, s.first)...)
	w.close(one)
}

// footprint sums up what the process holds at so many moments.
type footprint struct{ mb, goroutines, n float64 }

func (f *footprint) add() {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	f.mb, f.goroutines, f.n = f.mb+float64(m.HeapAlloc)/1e6, f.goroutines+float64(runtime.NumGoroutine()), f.n+1
}

func (f footprint) mean(sum float64) float64 { return sum / max(f.n, 1) }

func (f footprint) String() string {
	return fmt.Sprintf("%.1f MB %.0f goroutines", f.mean(f.mb), f.mean(f.goroutines))
}
