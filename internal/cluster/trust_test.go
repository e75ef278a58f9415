package cluster

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"concord/internal/cluster/protocol"
	"concord/internal/cluster/worker"
	"concord/internal/simrouter"
)

// fastNet is a simulated network that disturbs nothing.
var fastNet = simrouter.Line{Rate: 125e6, Delay: time.Millisecond}

// Two workers that reach machine 1 but not each other, as behind two routers: both
// compute and own no groups, and the run goes on; after a while they are tried again.
func TestWorkersThatCannotReachEachOther(t *testing.T) {
	t.Parallel()
	one := reference(t, 100)
	simulate(t, 1, 100, fastNet, func(w *world, _ *simrouter.Router) {
		w.min, w.patience = 4, time.Hour
		w.slow = func(uint32, int, int) { time.Sleep(400 * time.Millisecond) }
		all := []*node{w.start(1), w.start(2), w.start(3), w.start(4)}
		deny := func(a, b *node, addr string) {
			a.conn.mu.Lock()
			defer a.conn.mu.Unlock()
			if a.conn.deny = addr; addr == "" {
				return
			}
			a.conn.deny = b.conn.LocalAddr().String()
		}
		deny(all[2], all[1], "cut")
		deny(all[1], all[2], "cut")
		w.at(20)
		for i, n := range all {
			if owns := n.owns() > 0; owns != (i == 0 || i == 3) {
				t.Errorf("worker %d owns %d groups", n.id, n.owns())
			}
		}
		if !strings.Contains(w.text(), "cannot reach each other") {
			t.Error(w.text())
		}
		deny(all[2], all[1], "")
		deny(all[1], all[2], "")
		w.wait(all...)
		for _, n := range all {
			same(t, "apart", one, n)
			if n.owns() == 0 {
				t.Errorf("worker %d owns nothing for the rest of the run", n.id)
			}
		}
		w.close(all...)
		time.Sleep(30 * time.Second)
	})
}

// A worker that takes no part in a step is nobody to complain of, and one that reaches
// machine 1 alone, while all others reach each other, costs the others nothing.
func TestWhoReachesNobodyIsOut(t *testing.T) {
	t.Parallel()
	one := reference(t, 60)
	for _, idle := range short(false, true) {
		simulate(t, 1, 60, fastNet, func(w *world, _ *simrouter.Router) {
			w.min, w.patience = 4, time.Hour
			w.slow = func(uint32, int, int) { time.Sleep(50 * time.Millisecond) }
			w.crash = func(n *node, where string) error { // set before the machines start, which read it
				if n.id == 5 && where == "fetching" && idle {
					for about := range uint32(6) {
						n.m.Report(protocol.Problem{Kind: protocol.ProblemUnreachable, Worker: about, Text: "because I say so"})
					}
					<-n.ctx.Done()
					return n.ctx.Err()
				}
				return nil
			}
			all := []*node{w.start(1), w.start(2), w.start(3), w.start(4)}
			w.at(5)
			e := w.start(5)
			if !idle {
				e.conn.mu.Lock()
				e.conn.only = w.addr
				e.conn.mu.Unlock()
			}
			w.wait(all...)
			for _, n := range all {
				same(t, fmt.Sprint("worker ", n.id), one, n)
				if n.owns() == 0 {
					t.Errorf("idle %v: worker %d owns nothing: %s", idle, n.id, w.text())
				}
			}
			if out := strings.Contains(w.text(), "it reaches none of most others"); out == idle {
				t.Errorf("idle %v: %s", idle, w.text())
			}
			w.close(append(all, e)...)
			time.Sleep(30 * time.Second)
		})
	}
}

// A machine whose resolved groups are not those of most others, with whatever
// number, fetches the weights; the others go on, and after the third time it is out.
func TestMostRootsCount(t *testing.T) {
	t.Parallel()
	for _, id := range []uint32{1, 2} {
		t.Run(fmt.Sprint("machine ", id), func(t *testing.T) {
			one := reference(t, 40)
			simulate(t, 1, 40, fastNet, func(w *world, _ *simrouter.Router) {
				w.min, w.patience = 3, time.Hour
				w.slow = func(uint32, int, int) { time.Sleep(10 * time.Millisecond) }
				w.flip = func(worker uint32, step int) bool { return worker == id && step == 12 }
				all := []*node{w.start(1), w.start(2), w.start(3)}
				w.wait(all...)
				for _, n := range all {
					same(t, fmt.Sprint("worker ", n.id), one, n)
				}
				w.mu.Lock()
				if len(w.status.Evicted) > 0 {
					t.Errorf("%+v", w.status.Evicted)
				}
				w.mu.Unlock()
				if !strings.Contains(w.text(), fmt.Sprintf("the resolved groups of w%d are not those of most others", id)) {
					t.Error(w.text())
				}
				w.close(all...)
				time.Sleep(30 * time.Second)
			})
		})
	}
}

// A worker that hangs while its heartbeat goes on is named, and put out; the run goes
// on with the others.
func TestHungWorkerIsNamed(t *testing.T) {
	t.Parallel()
	places := []string{"planned", "pushed 2", "all is there"}
	for i, where := range places {
		for _, deadline := range short(i%2 > 0, i%2 == 0) {
			t.Run(fmt.Sprint("deadline ", deadline, ", ", where), func(t *testing.T) { hang(t, deadline, where) })
		}
	}
}

func hang(t *testing.T, deadline bool, where string) {
	simulate(t, 1, 40, fastNet, func(w *world, _ *simrouter.Router) {
		w.min, w.patience, w.deadline = 4, time.Hour, deadline
		w.slow = func(uint32, int, int) { time.Sleep(10 * time.Millisecond) }
		hung := make(chan struct{})
		w.crash = func(n *node, at string) error {
			if n.id == 3 && n.step == 20 && at == where {
				close(hung)
				<-n.ctx.Done()
				return n.ctx.Err()
			}
			return nil
		}
		all := []*node{w.start(1), w.start(2), w.start(3), w.start(4)}
		<-hung
		time.Sleep(10 * time.Second)
		w.mu.Lock()
		if s := w.status.Waiting; s != "" && s != "machine 1" && !strings.Contains(s, "w3") {
			t.Errorf("the coordinator waits for %q", s)
		} else if strings.Contains(s, "w3") && (strings.Contains(s, "w1") || strings.Contains(s, "w2") || strings.Contains(s, "w4")) {
			t.Errorf("innocents are named: %q", s)
		}
		w.mu.Unlock()
		w.wait(all[0], all[1], all[3])
		w.mu.Lock()
		e := w.status.Evicted
		w.mu.Unlock()
		for _, x := range e {
			if x.Worker != 3 {
				t.Errorf("worker %d is put out: %s", x.Worker, x.Reason)
			}
		}
		if len(e) == 0 && !deadline {
			t.Error("nobody is put out")
		}
		same(t, "the others", all[0], all[1])
		same(t, "the others", all[0], all[3])
		w.close(all...)
		time.Sleep(30 * time.Second)
	})
}

// A worker that joins, takes a share and does nothing but beat holds up the run for the
// time that compiling may take, once: it does not come back at once to do it again.
func TestIdlerDoesNotComeBack(t *testing.T) {
	t.Parallel()
	simulate(t, 1, 1<<30, fastNet, func(w *world, _ *simrouter.Router) {
		w.patience = 3 * time.Hour
		w.slow = func(uint32, int, int) { time.Sleep(time.Second) }
		a, b := w.start(1), w.start(2)
		w.at(12)
		w.mu.Lock()
		w.saving = func(n *node, s *worker.Step) {
			if n.id == 3 && s.Share.Size() > 0 {
				<-n.ctx.Done()
			}
		}
		w.mu.Unlock()
		c := w.start(3)
		began, before := time.Now(), w.committed()
		time.Sleep(30 * time.Minute)
		w.mu.Lock()
		w.steps = len(w.roots) + 5
		e := w.status.Evicted
		w.mu.Unlock()
		w.wait(a, b)
		if e[0].Worker != 3 || !strings.Contains(e[0].Reason, "its rows are not there") && !strings.Contains(e[0].Reason, "computes") {
			t.Errorf("%+v", e)
		}
		if n, all := w.committed()-before, int(time.Since(began).Seconds())/len(w.groups); n < all/2 {
			t.Errorf("%d steps were made; %d fit", n, all)
		}
		w.close(a, b, c)
		time.Sleep(30 * time.Second)
	})
}

// A worker that joins from far away gets rows, although the others are ready for every
// step before it is.
func TestDistantWorkerGetsRows(t *testing.T) {
	t.Parallel()
	one := reference(t, 40)
	synctest.Test(t, func(t *testing.T) {
		r := simrouter.New(1)
		w := newWorld(t, 40)
		w.simulated, w.patience = true, time.Hour
		n := 0
		w.listen = func(int) net.PacketConn {
			n++
			return r.Listen(n, simrouter.Line{Rate: 125e6, Delay: time.Duration(n*n) * 5 * time.Millisecond})
		}
		w.slow = func(uint32, int, int) { time.Sleep(20 * time.Millisecond) }
		a, b, c := w.start(1), w.start(2), w.start(3)
		w.wait(a, b, c)
		for _, n := range []*node{a, b, c} {
			same(t, fmt.Sprint("worker ", n.id), one, n)
			rows := 0
			for _, k := range w.record {
				for _, s := range k.Shares {
					if s.Worker == n.id {
						rows += s.Size()
					}
				}
			}
			if rows < 40 {
				t.Errorf("worker %d had %d of %d rows", n.id, rows, 40*w.rows)
			}
		}
		w.close(a, b, c)
		time.Sleep(30 * time.Second)
	})
}
