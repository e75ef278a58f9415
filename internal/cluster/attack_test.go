package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"concord/internal/cluster/protocol"
	"concord/internal/cluster/worker"
	"concord/internal/simrouter"
	"concord/transport"
)

// A member proves who it is and is sent everything that a run has; what it says may be
// anything. These tests are members that mean harm.

// attacker is a member of which a test decides all that it says.
type attacker struct {
	protocol.Nothing
	w    *world
	ep   *transport.Endpoint
	c    *transport.Conn // to the coordinator
	id   uint32
	plan func(p *protocol.Plan) // is told of every plan, may be nil
	in   bool                   // it says that it is ready for every step, once it was sent one
	mu   sync.Mutex
	last *protocol.Plan
}

func (x *attacker) Offer(*transport.Conn, transport.Header) (transport.Verdict, string) {
	return transport.Have, ""
}

func (x *attacker) Message(c *transport.Conn, m transport.Message) {
	p, k := new(protocol.Plan), new(protocol.Commit)
	switch {
	case m.Type == protocol.MsgPlan && m.Unpack(p) == nil:
		x.mu.Lock()
		x.last = p
		x.in = x.in || p.Sources[x.id] != 0
		x.mu.Unlock()
		if x.plan != nil {
			x.plan(p)
		}
	case m.Type == protocol.MsgCommit && x.in && m.Unpack(k) == nil:
		go c.Send(transport.Pack(protocol.MsgReady, protocol.Ready{Step: k.Step + 1}))
	}
}

// beat sends heartbeats for so long, or until it is put out: with what is said of the latest
// plan, which may be nil.
func (x *attacker) beat(long time.Duration, says func(p *protocol.Plan) protocol.Progress) {
	for began := time.Now(); time.Since(began) < long && x.c.Context().Err() == nil; time.Sleep(protocol.Heartbeat / 5) {
		x.mu.Lock()
		p := x.last
		x.mu.Unlock()
		x.c.Send(transport.Pack(protocol.MsgHeartbeat, says(p)))
	}
}

// attack has an attacker join.
func (w *world) attack(id uint32, plan func(p *protocol.Plan)) *attacker {
	w.t.Helper()
	identity, err := w.ca.NewIdentity(id)
	if err != nil {
		w.t.Fatal(err)
	}
	x := &attacker{w: w, id: id, plan: plan}
	x.ep, err = transport.Open(w.listen(int(id)), transport.Options{Identity: identity,
		Services: map[string]transport.Handler{protocol.ServiceWorker: x}})
	if err != nil {
		w.t.Fatal(err)
	}
	if err := x.dial(); err != nil {
		w.t.Fatal(err)
	}
	return x
}

// dial introduces the attacker to the coordinator.
func (x *attacker) dial() (err error) {
	x.c, err = x.ep.Dial(context.Background(), x.w.addr, protocol.ServiceCoordinator, protocol.Hello{Name: "attacker"}, nil, x)
	return err
}

// evicted says why a worker was put out, "" where it was not.
func (w *world) evicted(id uint32) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.status.Evicted {
		if e.Worker == id {
			return e.Reason
		}
	}
	return ""
}

// goOn ends the run n steps from now, with the machines that are given.
func (w *world) goOn(n int, all ...*node) {
	w.t.Helper()
	n += w.committed()
	w.mu.Lock()
	w.steps = n
	w.mu.Unlock()
	w.wait(all...)
}

// A member that talks without end is heard at a bounded rate, and the others are heard
// meanwhile: nobody is taken for silent.
func TestFloodOfMessages(t *testing.T) {
	t.Parallel()
	simulate(t, 5, 1<<30, fastNet, func(w *world, _ *simrouter.Router) {
		w.min, w.patience = 2, time.Hour
		w.slow = func(uint32, int, int) { time.Sleep(20 * time.Millisecond) }
		a, b := w.start(1), w.start(2)
		w.at(5)
		x := w.attack(9, nil)
		const long, most = 20 * time.Second, 50_000
		sent, before := 0, w.committed()
		for began := time.Now(); time.Since(began) < long && sent < most && x.c.Send(transport.Message{Type: protocol.MsgHeartbeat}) == nil; {
			sent++
		}
		if sent == most {
			t.Errorf("%d messages were taken in %v", sent, long)
		}
		if steps := w.committed() - before; steps < 100 {
			t.Errorf("%d steps were made in %v", steps, long)
		}
		w.goOn(5, a, b)
		for id := range uint32(3) {
			if why := w.evicted(id); why != "" {
				t.Errorf("worker %d is out: %s", id, why)
			}
		}
		x.ep.Close()
		w.close(a, b)
		time.Sleep(30 * time.Second)
	})
}

// A message that is larger than a member has cause to send puts it out for a while,
// unread: reading eight megabytes of JSON takes longer than many a step.
func TestLargeMessages(t *testing.T) {
	t.Parallel()
	simulate(t, 6, 1<<30, fastNet, func(w *world, _ *simrouter.Router) {
		w.min, w.patience = 2, time.Hour
		w.slow = func(uint32, int, int) { time.Sleep(20 * time.Millisecond) }
		a, b := w.start(1), w.start(2)
		w.at(5)
		x := w.attack(9, nil)
		b8, _ := json.Marshal(protocol.Progress{Rows: make([]uint32, 1<<20)})
		x.c.Send(transport.Message{Type: protocol.MsgHeartbeat, Body: b8})
		select {
		case <-x.c.Context().Done():
		case <-time.After(10 * time.Second):
			t.Error("it is still a member")
		}
		w.goOn(5, a, b)
		if why := w.evicted(9); !strings.Contains(why, "a message of") {
			t.Errorf("it is out: %q", why)
		}
		if err := x.dial(); err == nil || !strings.Contains(err.Error(), "has blocked the run") {
			t.Errorf("when it comes again: %v", err)
		}
		x.ep.Close()
		w.close(a, b)
		time.Sleep(30 * time.Second)
	})
}

// Members that say that they compile, for as long as they may, and others that come when
// these are put out: what they cost is bounded by what machine 1 took to compile, and
// the next one costs less. None of the others is put out.
func TestCompilersForEver(t *testing.T) {
	t.Parallel()
	for _, deadline := range []bool{true, false} {
		t.Run(fmt.Sprint("deadline ", deadline), func(t *testing.T) { compileForEver(t, deadline) })
	}
}

func compileForEver(t *testing.T, deadline bool) {
	simulate(t, 7, 1<<30, fastNet, func(w *world, _ *simrouter.Router) {
		w.min, w.patience, w.deadline = 3, 3*time.Hour, deadline
		w.slow = func(uint32, int, int) { time.Sleep(20 * time.Millisecond) }
		w.saving = func(n *node, s *worker.Step) {
			if n.step == 0 {
				time.Sleep(4 * time.Second)
				s.Cold()
			}
		}
		all := []*node{w.start(1), w.start(2), w.start(3)}
		w.at(20)
		stalls := time.Duration(0)
		for id := uint32(10); id < 18; id++ {
			x, began, before := w.attack(id, nil), time.Now(), w.committed()
			x.c.Send(transport.Pack(protocol.MsgReady, protocol.Ready{State: true}))
			x.beat(20*time.Minute, func(p *protocol.Plan) protocol.Progress {
				if p == nil {
					return protocol.Progress{}
				}
				return protocol.Progress{Epoch: p.Epoch, Computing: p.ShareOf(id).Size() > 0}
			})
			if x.c.Context().Err() == nil {
				t.Fatalf("attacker %d is still a member; %d steps in 20 minutes", id, w.committed()-before)
			}
			stalls += time.Since(began)
			x.ep.Close()
		}
		if most := 3 * time.Minute; stalls > most {
			t.Errorf("eight attackers, one after the other, held the run for %v", stalls)
		}
		w.goOn(10, all...)
		for _, n := range all {
			if why := w.evicted(n.id); why != "" {
				t.Errorf("worker %d is out: %s", n.id, why)
			}
		}
		w.close(all...)
		time.Sleep(30 * time.Second)
	})
}

// An owner that sends groups which no machine can use, to all or to one, is put out, or
// kept apart from that one; the run goes on, and its bits are those of one without it.
func TestSpoiltGroups(t *testing.T) {
	t.Parallel()
	const steps = 100 // longer than two workers are kept apart for the first time
	one := reference(t, steps)
	for name, c := range map[string]struct {
		spoil func(d []float32, meta []byte) []byte
	}{
		"a value that is not finite": {spoil: func(d []float32, meta []byte) []byte {
			d[len(d)-1] = float32(math.NaN())
			return meta
		}},
		"a message that cannot be": {spoil: func([]float32, []byte) []byte { return []byte("{") }},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, 8, steps, fastNet, func(w *world, _ *simrouter.Router) {
				w.min, w.patience = 3, time.Hour
				w.slow = func(uint32, int, int) { time.Sleep(400 * time.Millisecond) }
				w.spoil = func(worker uint32, step int, d []float32, meta []byte) []byte {
					if worker == 2 && step > 10 {
						return c.spoil(d, meta)
					}
					return meta
				}
				a, b, d := w.start(1), w.start(2), w.start(3)
				w.wait(a, d)
				if err := <-b.done; err == nil {
					t.Error("the owner is still in the run")
				}
				same(t, "machine 1", one, a)
				same(t, "worker 3", one, d)
				if why := w.evicted(2); !strings.Contains(why, "group") {
					t.Errorf("worker 2 is out: %q\n%s", why, w.text())
				}
				if why := w.evicted(3); why != "" {
					t.Errorf("worker 3 is out: %s", why)
				}
				w.close(a, b, d)
				time.Sleep(30 * time.Second)
			})
		})
	}
}

// A member that takes a share and never begins it costs one deadline a step, not the time
// that compiling may take, and is out after a few steps.
func TestIdlerCostsADeadline(t *testing.T) {
	t.Parallel()
	simulate(t, 9, 1<<30, fastNet, func(w *world, _ *simrouter.Router) {
		w.min, w.patience, w.deadline = 3, time.Hour, true
		w.slow = func(uint32, int, int) { time.Sleep(20 * time.Millisecond) }
		all := []*node{w.start(1), w.start(2), w.start(3)}
		w.at(20)
		x, began := w.attack(9, nil), time.Now()
		x.c.Send(transport.Pack(protocol.MsgReady, protocol.Ready{State: true}))
		x.beat(10*time.Minute, func(*protocol.Plan) protocol.Progress { return protocol.Progress{} })
		if took := time.Since(began); took > 40*time.Second {
			t.Errorf("it is out after %v", took)
		}
		if why := w.evicted(9); !strings.Contains(why, "went on without it") && !strings.Contains(why, "not resolved") {
			t.Errorf("it is out: %q", why)
		}
		w.goOn(10, all...)
		x.ep.Close()
		w.close(all...)
		time.Sleep(30 * time.Second)
	})
}

// An owner of slices that tells Grams without a number, or as a leader solutions that cannot be
// read, does not end the run of the others, which go on with the weights that their record gives.
func TestSpoiltSlices(t *testing.T) {
	t.Parallel()
	for _, bad := range []uint32{2, 3} {
		var kept *world
		var left []*node
		simulate(t, 10, 60, fastNet, func(w *world, _ *simrouter.Router) {
			w.groups, w.cut = []int{640, 17, 200, 200, 200, 64}, protocol.Leads{0, 1, 2, 2, 2, 5}
			w.min, w.patience, w.deadline, kept = 3, time.Hour, true, w
			w.slow = func(uint32, int, int) { time.Sleep(20 * time.Millisecond) }
			w.spoilTold = func(worker uint32, step int) bool { return worker == bad && step > 10 }
			all := []*node{w.start(1), w.start(2), w.start(3)}
			for _, n := range all {
				if n.id != bad {
					left = append(left, n)
				}
			}
			w.wait(left...)
			for _, n := range left {
				if why := w.evicted(n.id); why != "" {
					t.Errorf("worker %d is out: %s", n.id, why)
				}
			}
			if text := w.text(); !strings.Contains(text, "a Gram in which none") && !strings.Contains(text, "unexpected end of JSON") {
				t.Errorf("nobody has complained of worker %d:\n%s", bad, text)
			}
			w.close(all...)
			time.Sleep(30 * time.Second)
		})
		one := kept.replay(t, 60)
		for _, n := range left {
			same(t, fmt.Sprint("without worker ", bad), one, n)
		}
	}
}
