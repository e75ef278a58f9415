package coordinator

import (
	"encoding/json"
	"testing"

	"concord/internal/cluster/protocol"
	"concord/internal/cluster/store/storetest"
)

// A machine that comes back after the run has gone back to a checkpoint, and has made as many
// steps anew as the machine had applied, has other weights than the run: it fetches them.
func TestStepsThatWereLost(t *testing.T) {
	c := bare(1, 3, 4)
	c.opt.Store, c.ctx, c.plan, c.pending = storetest.NewMemory(), t.Context(), nil, nil
	c.step, c.epoch = 12, 20
	local, there, away := c.members[1], c.members[3], c.members[4]
	local.step, local.state, local.holds = -1, true, 6
	there.step, away.step = 12, -1 // and 4 has not said where it stands
	c.banned = map[uint32]string{6: "bad memory"}
	if who := c.goBack(local); c.step != 6 || c.err != nil {
		t.Fatalf("step %d, waiting for %s: %v", c.step, who, c.err)
	}
	for _, m := range []*member{there, away} {
		var r protocol.Ready
		if msg := <-m.out; msg.Type != protocol.MsgResync || msg.Unpack(&r) != nil || !r.State || m.step >= 0 {
			t.Errorf("worker %d at step %d is told %d, %+v", m.id, m.step, msg.Type, r)
		}
	}
	var back committed
	if b, _, err := c.opt.Store.Get(t.Context(), keyCommitted); err != nil || json.Unmarshal(b, &back) != nil || back.Banned[6] == "" {
		t.Errorf("the record is %s, %v", b, err)
	}
	c.step, c.epoch = 12, 40 // all made again
	for epoch, want := range map[uint32]bool{20: false, 31: true, 0: true} {
		away.asked = false // it has connected anew
		if err := c.ready(away, protocol.Ready{Step: 12, Epoch: epoch}); err != nil || away.current(12) != want {
			t.Errorf("weights of step 12 by a plan of epoch %d: at step %d, %v", epoch, away.step, err)
		}
	}
	c.plan, c.pending = &protocol.Plan{}, &protocol.Commit{Step: 12}
	c.record(c.outcome())
	(<-c.events)()
	next, err := New(t.Context(), Options{Store: c.opt.Store}, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer next.Abandon()
	if next.Step() != 13 || next.back != 20 {
		t.Errorf("the next coordinator begins at step %d and knows of epoch %d", next.Step(), next.back)
	}
	if len(next.banned) != 1 || next.banned[6] != "bad memory" || next.expected() != 1 {
		t.Errorf("the next coordinator knows of these that were put out: %v", next.banned)
	}
}

// A machine that is told to fetch weights may have said just before that it is ready for the next
// step: it is not planned with, as it will not do it.
func TestReadyBeforeTheAnswer(t *testing.T) {
	c := bare(1, 2, 3)
	c.step = 16
	m := c.members[2]
	c.resync(m)
	for _, r := range []struct {
		protocol.Ready
		state bool
	}{{protocol.Ready{Step: 16}, false}, {protocol.Ready{Step: 16, State: true}, true}, {protocol.Ready{Step: 15}, true}} {
		if err := c.ready(m, r.Ready); err != nil || m.current(16) || m.state != r.state || m.step >= 0 {
			t.Errorf("after %+v it is at step %d, wants the state: %v, %v", r.Ready, m.step, m.state, err)
		}
	}
	c.resync(m)
	if len(m.out) != 1 { // it is told once
		t.Errorf("%d messages", len(m.out))
	}
	m.state, m.receive = false, 17 // a plan names it and a machine that gives the state
	if err := c.ready(m, protocol.Ready{Step: 16}); err != nil || !m.current(16) {
		t.Errorf("with the state it is at step %d: %v", m.step, err)
	}
}
