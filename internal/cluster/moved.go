package cluster

import (
	"context"
	"slices"
)

// A machine whose address changes (another network, a new lease) keeps its connection to
// the coordinator, as QUIC follows a client. Connections that others dialled to its old
// address are dead, and would stay in use until they have been silent for long: so the
// coordinator plans the step with the new address, and both sides drop them.

// follow looks whether a member is at another address than it was dialled at.
func (c *Coordinator) follow(m *member) {
	at := m.conn.Remote().String()
	if m.id == c.opt.Local || at == m.at {
		return
	}
	c.logf("%s has moved from %s to %s", m.hello.Name, m.at, at)
	m.addr = ""
	c.reach(m)
	c.replanNow()
}

// replanNow plans the present step anew where it is not being committed.
func (c *Coordinator) replanNow() {
	if old := c.plan; old != nil && c.pending == nil {
		c.plan = nil
		c.replan(old)
	}
}

// dropMoved closes the connections to workers that plan p has elsewhere than the plan
// before, or not at all, and all of them where it is this machine that moved; called
// with the mutex.
func (m *Member) dropMoved(old, p *Plan) {
	if old == nil {
		return
	}
	moved := elsewhere(old, p, m.id)
	for worker, peer := range m.peers {
		if moved || elsewhere(old, p, worker) {
			for _, c := range peer.Conns() {
				go c.Close("it has another address now")
			}
		}
	}
}

// elsewhere says that a worker was a member of the old plan and is not of p, or had an
// address that it has no longer.
func elsewhere(old, p *Plan, worker uint32) bool {
	at := func(p *Plan) int {
		return slices.IndexFunc(p.Members, func(a Address) bool { return a.Worker == worker })
	}
	i, j := at(old), at(p)
	if i < 0 || j < 0 {
		return i >= 0
	}
	was := old.Members[i].Addr
	return was != "" && was != p.Members[j].Addr
}

// endWith wakes the waits for m.changed when ctx ends; stop undoes it.
func (m *Member) endWith(ctx context.Context) (stop func() bool) {
	return context.AfterFunc(ctx, func() { m.mu.Lock(); m.changed.Broadcast(); m.mu.Unlock() })
}
