package cluster

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"concord/internal/cluster/protocol"
	"concord/internal/simrouter"
)

// replay makes the steps that are on record on one machine, without a network: of
// each step exactly the rows that it says were counted.
func (w *world) replay(t *testing.T, steps int) *node {
	t.Helper()
	one := &node{w: w}
	one.reset()
	for ; one.step < steps; one.step++ {
		k, told := w.work(one.step), w.record[one.step]
		tokens, losses := make([]int, k.Langs), make([]float64, k.Langs)
		for _, s := range told.Shares {
			for r := s.From; r < s.To; r++ {
				tokens[k.Lang[r]] += k.Tokens[r]
			}
			for i, l := range lossesOf(k, one.step, s) {
				losses[i] += l
			}
		}
		if !slices.Equal(told.Tokens, tokens) || !slices.Equal(told.Loss, losses) {
			t.Fatalf("step %d is recorded with tokens %v and losses %v; its rows %v have %v and %v", one.step, told.Tokens, told.Loss,
				told.Shares, tokens, losses)
		}
		one.redo(k, told.Shares, tokens)
	}
	return one
}

// redo is the update of a step of which shares were counted.
func (n *node) redo(k protocol.Work, shares []protocol.Share, counted []int) {
	planned := k.LangTokens()
	before := slices.Clone(n.weights)
	sums := make([][][]float32, len(n.w.groups))
	for u := range n.w.groups {
		sums[u] = make([][]float32, k.Segments)
		rows := map[int][]protocol.Addend{}
		for _, s := range shares {
			segments := slices.Sorted(maps.Keys(k.PartTokens(s)))
			x, _ := n.rows(k, s, segments, u)
			for i, seg := range segments {
				rows[seg] = append(rows[seg], protocol.Addend{Worker: s.Worker, Values: x[i], Scale: 1})
			}
		}
		for seg := range k.Segments {
			if rows[seg] == nil {
				continue
			}
			sums[u][seg] = protocol.Sum(rows[seg], planned[seg], counted[seg])
		}
	}
	for u := range n.w.groups {
		var weights []float32
		if from, to := n.w.leads().Range(u); to-from > 1 {
			var grams [][]float64
			for slice := from; slice < to; slice++ {
				grams = append(grams, gramOf(sums[slice]))
			}
			weights = weigh(grams, n.w.langs)
		}
		x := slices.Clone(before[u])
		for i, v := range n.w.combined(u, sums[u], weights) {
			x[i] -= 0.1 * v
		}
		n.weights[u] = x
	}
}

// With deadlines, machines that are too slow, killed, leave or join at any moment:
// the rows that are on record for a step, done again on one machine, give the
// recorded tokens and losses and the run's weights to the bit. No group of a step has
// seen other rows than the others.
func TestRecordIsReplayed(t *testing.T) {
	t.Parallel()
	dropped := 0
	for seed := range seeds(t, 6) {
		var kept *world
		var survivors []*node
		steps := 0
		simulate(t, 300+seed, 1<<30, simrouter.Line{Rate: 125e6, Delay: time.Millisecond, Loss: 0.001}, func(w *world, _ *simrouter.Router) {
			w.deadline, kept = true, w
			r := rand.New(rand.NewPCG(seed, 4))
			s := &soak{w: w, r: r, next: 2, noCoordinator: true}
			w.slow = func(worker uint32, step, group int) {
				time.Sleep(20 * time.Millisecond)
				if worker > 1 && w.length() == 1<<30 && (step+int(worker)+int(seed))%17 == 0 && group == int(seed)%4+1 {
					time.Sleep(2500 * time.Millisecond) // in the middle of its rows
				}
			}
			s.first = w.start(1)
			s.join()
			for range 20 {
				s.disturb()
			}
			steps = w.committed() + 30
			w.mu.Lock()
			w.steps = steps
			w.mu.Unlock()
			survivors = append(s.others, s.first)
			w.patience = time.Hour
			w.wait(survivors...)
			w.close(survivors...)
			time.Sleep(30 * time.Second)
		})
		one := kept.replay(t, steps)
		for _, n := range survivors {
			same(t, fmt.Sprint("seed ", seed, ", worker ", n.id), one, n)
		}
		for step := range steps {
			if n := len(kept.record[step].Shares); n == 0 || protocol.Total(kept.record[step].Tokens) == 0 {
				t.Errorf("seed %d: nothing was counted in step %d", seed, step)
			} else if protocol.Total(kept.record[step].Tokens) < protocol.Total(kept.work(step).Tokens) {
				dropped++
			}
		}
	}
	if dropped == 0 && !testing.Short() {
		t.Error("no step went on without a machine's rows: the test shows nothing")
	}
	t.Logf("%d steps went on without some rows", dropped)
}

// Without deadlines nothing is lost with a machine that is killed, and the weights are
// those of the recorded shares to the bit, which differ in the last bits from those of
// a run that nobody left: another machine has summed the rows in another grouping.
func TestBitsFollowTheRecord(t *testing.T) {
	t.Parallel()
	var runs []*node
	for _, victim := range []uint32{0, 2, 3} {
		var kept *world
		var first *node
		simulate(t, 1, 30, fastNet, func(w *world, _ *simrouter.Router) {
			w.min, w.inexact, w.patience, kept = 3, true, time.Hour, w
			w.slow = func(uint32, int, int) { time.Sleep(10 * time.Millisecond) }
			all := []*node{w.start(1), w.start(2), w.start(3)}
			w.at(10)
			var left []*node
			for _, n := range all {
				if n.id == victim {
					n.die()
				} else {
					left = append(left, n)
				}
			}
			w.wait(left...)
			w.close(left...)
			time.Sleep(30 * time.Second)
			first = all[0]
		})
		same(t, fmt.Sprint("without worker ", victim), kept.replay(t, 30), first)
		for step := range 30 {
			if protocol.Total(kept.record[step].Tokens) != protocol.Total(kept.work(step).Tokens) {
				t.Errorf("step %d lost tokens", step)
			}
		}
		runs = append(runs, first)
	}
	for _, n := range runs[1:] {
		differ, most := 0, 0.0
		for u, x := range n.weights {
			for i, v := range x {
				if d := math.Abs(float64(v - runs[0].weights[u][i])); d > 0 {
					differ, most = differ+1, max(most, d)
				}
			}
		}
		if differ == 0 || most > 1e-6 {
			t.Errorf("%d weights differ from a run without losses, by up to %g", differ, most)
		}
	}
}
