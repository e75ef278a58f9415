package cluster

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"concord/internal/cluster/etcd"
	"concord/internal/cluster/etcd/etcdtest"
	"concord/internal/cluster/protocol"
	"concord/internal/cluster/store"
	"concord/internal/cluster/store/file"
)

// A few random kills, stops and joins, or as many as CONCORD_EVENTS says (make soak: 100), machine
// 1's death among them, with deadlines, with the store in a file and in an etcd of its own. Every
// step is on record once; the record, done again on one machine, which counts exactly the
// recorded tokens of every step, gives the recorded tokens and losses and the weights of every
// machine to the bit.
func TestEvents(t *testing.T) {
	t.Parallel()
	events := 6
	if s := os.Getenv("CONCORD_EVENTS"); s != "" {
		var err error
		if events, err = strconv.Atoi(s); err != nil {
			t.Fatal("CONCORD_EVENTS is the number of kills, stops and joins: ", err)
		}
	}
	for name, open := range map[string]func(t *testing.T) func() (store.Store, error){"embedded": embedded, "external": external} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			disturbed(t, events, open(t))
		})
	}
}

func embedded(t *testing.T) func() (store.Store, error) {
	dir := t.TempDir()
	return func() (store.Store, error) { return file.Open(dir) }
}

func external(t *testing.T) func() (store.Store, error) {
	c := etcdtest.Start(t, 1, "http", nil)
	return func() (store.Store, error) { return etcd.Open(c.Endpoints(), "events") }
}

// disturbed makes a run with so many events on a store that is opened anew with every
// coordinator.
func disturbed(t *testing.T, events int, open func() (store.Store, error)) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	s := &soak{w: newWorld(t, 1<<30), r: rand.New(rand.NewPCG(seed, 0)), next: 2}
	s.w.deadline, s.w.patience = true, 5*time.Minute
	s.reopen = func() {
		if s.w.store != nil {
			s.w.store.Close()
		}
		var err error
		if s.w.store, err = open(); err != nil {
			t.Fatal(err)
		}
	}
	s.w.store = nil
	s.reopen()
	late := rand.New(rand.NewPCG(seed, 1)).Uint64()
	s.w.slow = func(worker uint32, step, group int) {
		if time.Sleep(2 * time.Millisecond); (uint64(step)+uint64(worker)+late)%61 == 0 && group == 2 && worker > 1 && s.w.length() == 1<<30 {
			time.Sleep(2 * time.Second) // in the middle of its rows: the step may go on without it
		}
	}
	s.first = s.w.start(1)
	s.join()
	s.join()
	for s.kills+s.leaves+s.coordinators+int(s.next)-4 < events {
		s.disturb()
	}
	s.allTakePart()
	steps := s.w.committed() + 20
	s.w.mu.Lock()
	s.w.steps = steps
	s.w.mu.Unlock()
	all := append(s.others, s.first)
	s.w.wait(all...)
	one, fewer, tokens := s.w.replay(t, steps), 0, 0
	for _, n := range all {
		same(t, fmt.Sprint("worker ", n.id), one, n)
	}
	for step := range steps {
		if s.w.roots[step] == [32]byte{} {
			t.Errorf("step %d was never committed", step)
		}
		counted := protocol.Total(s.w.record[step].Tokens)
		if tokens += counted; counted < protocol.Total(s.w.work(step).Tokens) {
			fewer++
		}
	}
	t.Logf("%d steps, each on record once; %d workers killed, %d left, %d joined, %d coordinators killed; %d steps without some rows; "+
		"%d tokens counted, the same as of the replay on one machine, and the same bits on %d machines", steps, s.kills, s.leaves, s.next-4,
		s.coordinators, fewer, tokens, len(all))
	s.w.close(all...)
	s.w.store.Close()
}
