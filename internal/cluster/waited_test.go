package cluster

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"concord/internal/cluster/coordinator"
	"concord/internal/cluster/protocol"
	"concord/internal/cluster/worker"
	"concord/internal/simrouter"
)

// A machine that joins and compiles its kernels in its first step, for several deadlines, is waited
// for: all of its rows count, it is not put out, and its next share is as large as that of the others.
func TestNewcomerThatCompilesIsWaitedFor(t *testing.T) {
	t.Parallel()
	const steps = 60
	one := reference(t, steps)
	simulate(t, 1, steps, fastNet, func(w *world, _ *simrouter.Router) {
		w.min, w.patience, w.deadline = 2, time.Hour, true
		w.slow = func(uint32, int, int) { time.Sleep(20 * time.Millisecond) }
		compiled := -1 // the step
		w.saving = func(n *node, s *worker.Step) {
			if n.id == 3 && s.Share.Size() > 0 && compiled < 0 {
				compiled = n.step
				time.Sleep(5 * time.Second)
				s.Cold()
			}
		}
		all := []*node{w.start(1), w.start(2)}
		w.at(20)
		all = append(all, w.start(3))
		w.wait(all...)
		w.allCount(all, one)
		if compiled < 20 || compiled > steps-2 {
			t.Fatalf("the newcomer has compiled in step %d", compiled)
		}
		for _, step := range []int{compiled, compiled + 1} {
			if n := protocol.ShareIn(w.record[step].Shares, 3).Size(); n < w.rows/4 {
				t.Errorf("step %d counts %d of %d rows of the newcomer", step, n, w.rows)
			}
		}
		w.close(all...)
		time.Sleep(30 * time.Second)
	})
}

// Two of three machines are late in one step: it goes on without one of them, and waits for the
// other, as half of the batch always counts.
func TestHalfOfTheBatchCounts(t *testing.T) {
	t.Parallel()
	const steps, late = 40, 20
	var kept *world
	var all []*node
	simulate(t, 1, steps, fastNet, func(w *world, _ *simrouter.Router) {
		w.min, w.patience, w.deadline, kept = 3, time.Hour, true, w
		w.slow = func(worker uint32, step, group int) {
			time.Sleep(20 * time.Millisecond)
			if step == late && worker != 1 && group == 1 {
				time.Sleep(3 * time.Second)
			}
		}
		all = []*node{w.start(1), w.start(2), w.start(3)}
		w.wait(all...)
		for _, n := range all {
			if why := w.evicted(n.id); why != "" {
				t.Errorf("worker %d is out: %s", n.id, why)
			}
		}
		w.close(all...)
		time.Sleep(30 * time.Second)
	})
	for step := range steps {
		if n, planned := protocol.Total(kept.record[step].Tokens), protocol.Total(kept.work(step).Tokens); 2*n < planned {
			t.Errorf("step %d counts %d of %d tokens", step, n, planned)
		} else if (n < planned) != (step == late) {
			t.Errorf("step %d counts %d of %d tokens; the machines are late in step %d", step, n, planned, late)
		}
	}
	one := kept.replay(t, steps)
	for _, n := range all {
		same(t, fmt.Sprint("worker ", n.id), one, n)
	}
}

// Machine 1 is away for nine minutes: the others wait for it, and when it is back without a state
// the run goes on from the last committed step.
func TestMachine1IsWaitedFor(t *testing.T) {
	t.Parallel()
	const steps = 30
	one := reference(t, steps)
	simulate(t, 1, steps, fastNet, func(w *world, network *simrouter.Router) {
		w.min, w.patience, w.waits = 3, time.Hour, 0 // as long as users' workers do
		w.slow = func(uint32, int, int) { time.Sleep(20 * time.Millisecond) }
		step := 0
		w.sampled = func(s coordinator.Status) {
			if s.Step < step {
				t.Errorf("step %d was committed; the run goes on from step %d", step, s.Step)
			}
			step = s.Step
		}
		all := []*node{w.start(1), w.start(2), w.start(3)}
		w.at(10)
		all[0].die()
		w.coord.Abandon()
		before := w.committed()
		time.Sleep(9 * time.Minute)
		if n := w.committed(); n > before+1 {
			t.Errorf("%d steps were committed while nobody could", n-before)
		}
		all[0] = restartFirst(w, network, fastNet)
		w.wait(all...)
		w.allCount(all, one)
		if strings.Count(w.text(), "the coordinator is back after 5") != 2 {
			t.Error(w.text())
		}
		w.close(all...)
		time.Sleep(30 * time.Second)
	})
}
