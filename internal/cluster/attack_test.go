package cluster

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"concord/internal/cluster/protocol"
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
}

func (x *attacker) Offer(*transport.Conn, transport.Header) (transport.Verdict, string) {
	return transport.Have, ""
}

func (x *attacker) Message(_ *transport.Conn, m transport.Message) {
	p := new(protocol.Plan)
	if m.Type == protocol.MsgPlan && x.plan != nil && m.Unpack(p) == nil {
		x.plan(p)
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
