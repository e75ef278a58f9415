package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"concord/internal/cluster/store"
	"concord/internal/simrouter"
)

var errKilled = errors.New("killed")

// killer kills one machine at one state of a step.
type killer struct {
	w      *world
	victim *node
	where  string
	step   int
	mu     sync.Mutex
	hit    chan struct{}
}

// is kills the victim if this is the state.
func (k *killer) is(where string, step int) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.victim == nil || where != k.where || step != k.step && step >= 0 {
		return false
	}
	k.victim.die()
	if k.victim.id == 1 {
		go k.w.coord.Abandon() // nobody hears of it
	}
	k.victim = nil
	close(k.hit)
	return true
}

// killingStore is a coordinator's store, before or after whose commits a machine is
// killed.
type killingStore struct {
	store.Store
	k *killer
}

func (s killingStore) Put(ctx context.Context, key string, value []byte, rev int64, guards ...store.Guard) (int64, error) {
	var c struct{ Next int }
	if key != "committed" || json.Unmarshal(value, &c) != nil {
		return s.Store.Put(ctx, key, value, rev, guards...)
	}
	s.k.mu.Lock()
	coordinator := s.k.victim != nil && s.k.victim.id == 1
	s.k.mu.Unlock()
	if s.k.is("before the commit", c.Next-1) && coordinator {
		return 0, errKilled
	}
	rev, err := s.Store.Put(ctx, key, value, rev, guards...)
	s.k.is("behind the commit", c.Next-1)
	return rev, err
}

// kill -9 of a worker that owns buckets, and of machine 1, which coordinates too
// and is started again, at every state of a step: no committed step is lost and
// the weights are those of a run without faults (reference cases 1 to 7).
func TestKilledAtEveryState(t *testing.T) {
	t.Parallel()
	states := []string{"not ready", "planned", "pushed 0", "pushed 2", "pushed 4", "resolved one", "all is there", "before the commit",
		"behind the commit"}
	if testing.Short() {
		states = []string{"planned", "all is there", "before the commit"}
	}
	for _, params := range []bool{false, true} {
		var one *node
		if params {
			one = alone(t, 14)
		} else {
			one = reference(t, 14)
		}
		for _, id := range []uint32{1, 2} {
			all := states
			if !params && !testing.Short() {
				all = append(all[:len(all):len(all)], "told a Gram")
			}
			if params {
				all = append(all[:len(all):len(all)], "updated one", "updated all", "weights gathered")
			}
			for _, where := range all {
				t.Run(fmt.Sprintf("parameters %v/machine %d/%s", params, id, where), func(t *testing.T) { killAt(t, params, id, where, one) })
			}
		}
	}
}

func killAt(t *testing.T, params bool, id uint32, where string, one *node) {
	line := simrouter.Line{Rate: 125e6, Delay: time.Millisecond}
	simulate(t, 1, 14, line, func(w *world, network *simrouter.Router) {
		k := &killer{w: w, where: where, step: 5, hit: make(chan struct{})}
		w.params, w.min, w.store = params, 3, killingStore{w.store, k}
		w.crash = func(n *node, where string) error {
			k.mu.Lock()
			victim := k.victim == n
			k.mu.Unlock()
			if victim && k.is(where, n.step) {
				return errKilled
			}
			return nil
		}
		w.slow = func(uint32, int, int) { time.Sleep(2 * time.Millisecond) }
		nodes := []*node{w.start(1), w.start(2), w.start(3)}
		k.mu.Lock()
		k.victim = nodes[id-1]
		k.mu.Unlock()
		select {
		case <-k.hit:
		case <-time.After(30 * time.Second):
			t.Fatalf("no machine came to %q", where)
		}
		if id == 1 {
			nodes[0] = restartFirst(w, network, line)
		} else {
			nodes = []*node{nodes[0], nodes[2]}
		}
		w.wait(nodes...)
		for _, n := range nodes {
			same(t, fmt.Sprint("machine ", n.id), one, n)
		}
		if len(w.roots) != 14 {
			t.Errorf("%d steps were committed", len(w.roots))
		}
		w.close(nodes...)
		time.Sleep(30 * time.Second) // for what the killed machine leaves behind
	})
}

// restartFirst starts machine 1 again where it was.
func restartFirst(w *world, network *simrouter.Router, line simrouter.Line) *node {
	time.Sleep(100 * time.Millisecond)
	before := w.listen
	w.listen = func(int) net.PacketConn { w.listen = before; return network.Listen(1, line) }
	return w.start(1)
}

// kill -9 of a machine that fetches the weights, and of machine 1, which it fetches
// them from and which is started again.
func TestKilledWhileJoining(t *testing.T) {
	t.Parallel()
	one := reference(t, 14)
	for _, giver := range []bool{false, true} {
		line := simrouter.Line{Rate: 125e6, Delay: time.Millisecond}
		simulate(t, 1, 14, line, func(w *world, network *simrouter.Router) {
			k := &killer{w: w, where: "fetching", step: -1, hit: make(chan struct{})}
			w.min = 3
			w.slow = func(uint32, int, int) { time.Sleep(20 * time.Millisecond) }
			w.crash = func(n *node, where string) error {
				if k.is(where, -1) && !giver {
					return errKilled
				}
				return nil
			}
			nodes := []*node{w.start(1), w.start(2), w.start(3)}
			w.at(3)
			late := w.start(4)
			k.mu.Lock()
			if k.victim = late; giver {
				k.victim = nodes[0]
			}
			k.mu.Unlock()
			<-k.hit
			if giver {
				nodes[0] = restartFirst(w, network, line)
				nodes = append(nodes, late)
			}
			w.wait(nodes...)
			for _, n := range nodes {
				same(t, fmt.Sprint("giver ", giver, ", machine ", n.id), one, n)
			}
			w.close(nodes...)
			time.Sleep(30 * time.Second)
		})
	}
}

// kill -9 of a worker that owns nothing costs the rest of the deadline: the next
// commit is at most 1.3 usual steps behind the last (reference case 1). A language
// that nobody else has rows of is missing from that step, which is said, and there
// again in the next.
func TestKilledWorkerCostsLittle(t *testing.T) {
	t.Parallel()
	for _, langs := range []int{2, 4} {
		for _, pace := range []time.Duration{time.Second, 20 * time.Second} {
			t.Run(fmt.Sprint(langs, " languages, steps of ", pace), func(t *testing.T) { killCheaply(t, langs, pace) })
		}
	}
}

func killCheaply(t *testing.T, langs int, pace time.Duration) {
	synctestWorld(t, func(w *world) {
		w.steps, w.min, w.deadline, w.langs, w.patience = 30, 3, true, langs, time.Hour
		w.unreachable = 3
		w.perRow = func(uint32, int) time.Duration { return pace }
		var mu sync.Mutex
		var commits []time.Time
		w.committedAt = func(int) {
			mu.Lock()
			defer mu.Unlock()
			commits = append(commits, time.Now())
		}
		nodes := []*node{w.start(1), w.start(2), w.start(3)}
		w.at(20)
		if owned := nodes[2].owns(); owned != 0 {
			t.Fatalf("worker 3 owns %d groups", owned)
		}
		time.Sleep(pace / 3)
		nodes[2].die()
		killed := time.Now()
		w.wait(nodes[0], nodes[1])
		var usual []time.Duration
		for i := 5; i < 19; i++ {
			usual = append(usual, commits[i].Sub(commits[i-1]))
		}
		for i, at := range commits {
			if at.After(killed) {
				took := at.Sub(commits[i-1])
				t.Logf("a usual step takes %v; the one in which a worker was killed %v", middle(usual), took)
				if took > middle(usual)*13/10 {
					t.Errorf("more than 1.3 usual steps")
				}
				break
			}
		}
		if n := strings.Count(w.text(), "was made without language"); n != langs/4 {
			t.Errorf("%d times without a language", n)
		}
		same(t, "survivors", nodes[0], nodes[1])
		w.close(nodes[:2]...)
		time.Sleep(30 * time.Second)
	})
}

// synctestWorld is simulate on a fast network.
func synctestWorld(t *testing.T, f func(w *world)) {
	simulate(t, 1, 1, simrouter.Line{Rate: 125e6, Delay: time.Millisecond}, func(w *world, _ *simrouter.Router) { f(w) })
}

// owns is how many groups a machine owns.
func (n *node) owns() (groups int) {
	for _, w := range n.m.Plan().Owners {
		if w == n.id {
			groups++
		}
	}
	return groups
}

// middle is the upper median.
func middle(d []time.Duration) time.Duration { return slices.Sorted(slices.Values(d))[len(d)/2] }
