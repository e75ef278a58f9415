package cluster

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"concord/internal/simrouter"
)

// simulate runs f in virtual time with a world on a simulated network.
func simulate(t *testing.T, seed uint64, steps int, l simrouter.Line, f func(w *world, net *simrouter.Router)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		t.Logf("seed %d", seed)
		r := simrouter.New(seed)
		w := newWorld(t, steps)
		w.simulated = true
		n := 0
		w.listen = func(int) net.PacketConn { n++; return r.Listen(n, l) }
		f(w, r)
	})
}

// Four workers on a network that loses packets end with the bits of one.
func TestSimulatedLoss(t *testing.T) {
	t.Parallel()
	one := reference(t, 12)
	for seed := range seeds(t, 3) {
		simulate(t, seed, 12, simrouter.Line{Rate: 12.5e6, Delay: 10 * time.Millisecond, Loss: 0.01}, func(w *world, _ *simrouter.Router) {
			w.min = 4
			var all []*node
			for id := range uint32(4) {
				all = append(all, w.start(id+1))
			}
			w.wait(all...)
			for _, n := range all {
				same(t, fmt.Sprint("worker ", n.id), one, n)
			}
			w.close(all...)
		})
	}
}

// seeds is how many are tried; one with -short, as under the race detector.
func seeds(t *testing.T, usual uint64) uint64 {
	if s := os.Getenv("CONCORD_SEEDS"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if testing.Short() {
		return 1
	}
	return usual
}

// short is the cases of a test: with -short, as under the race detector, which makes simulations take
// ten times as long, only the first. The others take the same goroutines through it.
func short[T any](cases ...T) []T {
	if testing.Short() {
		return cases[:1]
	}
	return cases
}

// Workers join, leave and are killed at random moments, seed by seed: every step
// has one root and the weights are those of a run without faults (invariants 1 to
// 3, 6 and 7; reference case 32). CONCORD_SEEDS says how many seeds are tried.
func TestSimulatedChurn(t *testing.T) {
	t.Parallel()
	for seed := range seeds(t, 4) {
		churn(t, seed, 100+seed, 25, false)
	}
}

// churn disturbs a simulated run so many times and compares it with one machine's.
func churn(t *testing.T, seed, network uint64, times int, params bool) {
	t.Helper()
	var steps int
	var survivors []*node
	simulate(t, network, 1<<30, simrouter.Line{Rate: 125e6, Delay: time.Millisecond, Loss: 0.001}, func(w *world, _ *simrouter.Router) {
		w.params = params
		s := &soak{w: w, r: rand.New(rand.NewPCG(seed, 9)), next: 2, noCoordinator: true}
		w.slow = func(uint32, int, int) { time.Sleep(4 * time.Millisecond) }
		s.first = w.start(1)
		s.join()
		for range times {
			s.disturb()
		}
		s.allTakePart()
		steps = w.committed() + 20
		w.mu.Lock()
		w.steps = steps
		w.mu.Unlock()
		survivors = append(s.others, s.first)
		w.wait(survivors...)
		t.Logf("%d steps, %d killed, %d left, %d joined", steps, s.kills, s.leaves, s.next-2)
		w.close(survivors...)
		time.Sleep(30 * time.Second) // for what killed workers leave behind
	})
	single := reference
	if params {
		single = alone
	}
	one := single(t, steps)
	for _, n := range survivors {
		same(t, fmt.Sprint("seed ", seed, ", worker ", n.id), one, n)
	}
}
