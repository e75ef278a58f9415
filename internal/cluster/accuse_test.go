package cluster

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"concord/internal/cluster/protocol"
	"concord/internal/simrouter"
)

// One worker that says the worst of everybody, step after step, puts nobody out. For a complaint of a
// transfer of its own it is kept apart from the first that it accuses: these two own nothing, so nobody
// else sends it rows to complain of. When it goes on, it complains of what it cannot have seen, and is out;
// until then every row counts. Whatever else it says changes nothing.
func TestOneAccuserIsNotBelieved(t *testing.T) {
	t.Parallel()
	one := reference(t, 60)
	for _, c := range []struct {
		name string
		out  bool // after some steps, and then the one that it was kept apart from owns groups again
		lie  func(n *node, about uint32) protocol.Problem
	}{
		{"contradiction in my groups", true, func(n *node, about uint32) protocol.Problem {
			return ofOwnUnit(n, protocol.ProblemContradiction, about)
		}},
		{"values in my groups", true, func(n *node, about uint32) protocol.Problem {
			return ofOwnUnit(n, protocol.ProblemValues, about)
		}},
		{"contradiction in the groups of others", true, func(n *node, about uint32) protocol.Problem {
			return ofUnit(n, protocol.ProblemContradiction, about, func(owner uint32) bool { return owner != n.id })
		}},
		{"unreachable", false, func(_ *node, about uint32) protocol.Problem {
			return protocol.Problem{Kind: protocol.ProblemUnreachable, Worker: about, Text: "because I say so"}
		}},
		{"contradiction of nothing", false, func(_ *node, about uint32) protocol.Problem {
			return protocol.Problem{Kind: protocol.ProblemContradiction, Worker: about, Text: "because I say so"}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var kept *world
			var honest []*node
			simulate(t, 1, 60, fastNet, func(w *world, _ *simrouter.Router) {
				w.min, w.patience, w.deadline, kept = 4, time.Hour, true, w
				w.slow = func(uint32, int, int) { time.Sleep(10 * time.Millisecond) }
				w.crash = func(n *node, where string) error {
					if n.id == 3 && n.step > 5 && n.step < 50 && where == "planned" {
						for _, about := range []uint32{0, 1, 2, 4, 5} { // of itself it would be believed
							n.m.Report(c.lie(n, about))
						}
					}
					return nil
				}
				all := []*node{w.start(1), w.start(2), w.start(3), w.start(4)}
				honest = []*node{all[0], all[1], all[3]}
				w.wait(honest...)
				if why := w.evicted(3); (why != "") != c.out || c.out && !strings.Contains(why, "it was not sent") {
					t.Errorf("the accuser is out: %q", why)
				}
				for _, n := range honest {
					if n.owns() == 0 {
						t.Errorf("worker %d owns nothing", n.id)
					}
				}
				w.close(all...)
				time.Sleep(30 * time.Second)
			})
			if !c.out {
				kept.allCount(honest, one)
				return
			}
			fewer, replayed := 0, kept.replay(t, 60)
			for _, n := range honest {
				same(t, fmt.Sprint("worker ", n.id), replayed, n)
			}
			for step := range 60 {
				if protocol.Total(kept.record[step].Tokens) != protocol.Total(kept.work(step).Tokens) {
					fewer++
				}
			}
			if fewer > 1 { // in which it was put out
				t.Errorf("%d steps go on without some rows", fewer)
			}
		})
	}
}

// allCount checks that none of these is out, that no step is without rows, and that the weights are those of one machine.
func (w *world) allCount(all []*node, one *node) {
	w.t.Helper()
	for _, n := range all {
		same(w.t, fmt.Sprint("worker ", n.id), one, n)
	}
	for _, n := range all {
		if why := w.evicted(n.id); why != "" {
			w.t.Errorf("worker %d is out: %s", n.id, why)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for step := range w.steps {
		if protocol.Total(w.record[step].Tokens) != protocol.Total(w.work(step).Tokens) {
			w.t.Errorf("step %d counts %v", step, w.record[step].Shares)
		}
	}
}

// ofOwnUnit is an accusation that is about a transfer between the two.
func ofOwnUnit(n *node, kind protocol.ProblemKind, about uint32) protocol.Problem {
	return ofUnit(n, kind, about, func(owner uint32) bool { return owner == n.id })
}

// ofUnit is an accusation that is about a transfer from one worker to an owner such as whose says.
func ofUnit(n *node, kind protocol.ProblemKind, about uint32, whose func(owner uint32) bool) protocol.Problem {
	p, plan := protocol.Problem{Kind: kind, Worker: about, Text: "because I say so"}, n.m.Plan()
	if plan == nil {
		return p
	}
	p.Step, p.Generation = plan.Step, plan.Generation
	for u, w := range plan.Owners {
		if whose(w) {
			p.Group = u
		}
	}
	for row := range n.w.work(p.Step).PartTokens(plan.ShareOf(about)) {
		p.Row = row
	}
	return p
}

// A worker that contradicts itself to most others is put out for good, in the step in which
// they say so: also where machine 1 says it first, and the step is made anew before the
// others' words come.
func TestMajorityBans(t *testing.T) {
	t.Parallel()
	simulate(t, 1, 40, fastNet, func(w *world, _ *simrouter.Router) {
		w.min, w.patience = 4, time.Hour
		w.slow = func(uint32, int, int) { time.Sleep(20 * time.Millisecond) }
		w.crash = func(n *node, where string) error {
			if n.step > 10 && n.id != 4 && where == "planned" {
				n.m.Report(ofOwnUnit(n, protocol.ProblemContradiction, 4))
			}
			return nil
		}
		a, b, c := w.start(1), w.start(2), w.start(3)
		d := w.start(4)
		w.wait(a, b, c)
		if err := <-d.done; err == nil || !strings.Contains(err.Error(), "because I say so") {
			t.Errorf("the machine that is put out ends with %v", err)
		}
		if strings.Contains(w.text(), "step 13 goes on without") {
			t.Errorf("it was not put out in step 12:\n%s", w.text())
		}
		w.close(a, b, c, d)
		time.Sleep(30 * time.Second)
	})
}

// Machine 1 is not put out, whatever all others say of it in a step that goes on: its rows count and
// it owns groups.
func TestMachine1IsNotAccused(t *testing.T) {
	t.Parallel()
	one := reference(t, 40)
	for _, kind := range short(protocol.ProblemContradiction, protocol.ProblemValues) {
		t.Run(string(kind), func(t *testing.T) {
			simulate(t, 1, 40, fastNet, func(w *world, _ *simrouter.Router) {
				w.min, w.patience = 4, time.Hour
				w.slow = func(uint32, int, int) { time.Sleep(20 * time.Millisecond) }
				w.crash = func(n *node, where string) error {
					if n.step > 10 && n.id != 1 && where == "planned" {
						n.m.Report(ofOwnUnit(n, kind, 1))
					}
					return nil
				}
				all := []*node{w.start(1), w.start(2), w.start(3), w.start(4)}
				w.wait(all...)
				w.allCount(all, one)
				for _, n := range all {
					if n.owns() == 0 {
						t.Errorf("worker %d owns nothing", n.id)
					}
				}
				w.close(all...)
				time.Sleep(30 * time.Second)
			})
		})
	}
}
