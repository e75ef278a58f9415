package cluster

import (
	"context"
	"strings"
	"testing"
	"time"

	"concord/internal/cluster/protocol"
	"concord/internal/simrouter"
	"concord/transport"
)

// idler joins, says that it is ready for a step, and does nothing but send heartbeats.
type idler struct {
	protocol.Nothing
	id    uint32
	ready int // the step that it will say to be ready for
}

func (x *idler) Offer(*transport.Conn, transport.Header) (transport.Verdict, string) {
	return transport.Have, ""
}

func (x *idler) Message(c *transport.Conn, m transport.Message) {
	var p protocol.Plan
	var k protocol.Commit
	switch {
	case m.Type == protocol.MsgPlan && m.Unpack(&p) == nil && p.Sources[x.id] != 0:
		x.ready = p.Step + 1
	case m.Type == protocol.MsgCommit && m.Unpack(&k) == nil && x.ready > 0 && k.Step+1 >= x.ready: // until a plan counts with it
		x.ready = k.Step + 1
		c.Send(transport.Pack(protocol.MsgReady, protocol.Ready{Step: x.ready}))
	}
}

// A machine that was given a share and never begins it, while its heartbeat goes on, does not
// compile: it is put out when the others have waited for 30 s, not after ten minutes.
func TestIdlerIsPutOut(t *testing.T) {
	simulate(t, 4, 1<<30, fastNet, func(w *world, _ *simrouter.Router) {
		w.min, w.patience = 2, time.Hour
		w.slow = func(uint32, int, int) { time.Sleep(5 * time.Millisecond) }
		all := []*node{w.start(1), w.start(2)}
		w.at(20)
		x := &idler{id: 9}
		identity, err := w.ca.NewIdentity(x.id)
		if err != nil {
			t.Fatal(err)
		}
		ep, err := transport.Open(w.listen(9), transport.Options{Identity: identity,
			Services: map[string]transport.Handler{protocol.ServiceWorker: x}})
		if err != nil {
			t.Fatal(err)
		}
		defer ep.Close()
		c, err := ep.Dial(context.Background(), w.addr, protocol.ServiceCoordinator, protocol.Hello{Name: "idler"}, nil, x)
		if err != nil {
			t.Fatal(err)
		}
		c.Send(transport.Pack(protocol.MsgReady, protocol.Ready{State: true}))
		began := time.Now()
		for c.Context().Err() == nil && time.Since(began) < 5*time.Minute {
			c.Send(transport.Message{Type: protocol.MsgHeartbeat})
			time.Sleep(protocol.Heartbeat)
		}
		if took := time.Since(began); x.ready == 0 || took > time.Minute {
			t.Errorf("ready for step %d, and out after %v", x.ready, took)
		}
		w.mu.Lock()
		out := w.status.Evicted
		w.mu.Unlock()
		if len(out) == 0 || out[0].Worker != 9 || !strings.Contains(out[0].Reason, "its rows are not there") {
			t.Errorf("%+v", out)
		}
		steps := w.committed() + 20
		w.mu.Lock()
		w.steps = steps
		w.mu.Unlock()
		w.wait(all...)
		w.close(all...)
		time.Sleep(30 * time.Second)
	})
}
