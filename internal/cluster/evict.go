package cluster

import (
	"slices"
	"time"
)

// keepEvictions is how many the status shows.
const keepEvictions = 50

// evict takes a member out of the run and tells everyone why.
func (c *Coordinator) evict(m *member, reason string) {
	if c.members[m.id] != m {
		return
	}
	delete(c.members, m.id)
	m.conn.Close(reason)
	if c.ended {
		return
	}
	c.logf("%s (worker %d) is out: %s", m.hello.Name, m.id, reason)
	c.evicted = append(c.evicted, Eviction{Time: time.Now(), Worker: m.id, Name: m.hello.Name, Reason: reason})
	c.evicted = c.evicted[max(0, len(c.evicted)-keepEvictions):]
	if p := c.plan; p != nil && c.pending == nil {
		c.plan = nil
		if slices.ContainsFunc(c.sorted(), func(x *member) bool { return x.current(c.step) && x.addr != "" }) {
			c.replan(p)
		} else {
			c.stopDeadline()
		}
	}
	c.changed()
}

// ban evicts a member whose machine is at fault: it may not come back.
func (c *Coordinator) ban(m *member, reason string) {
	c.banned[m.id] = reason
	c.evict(m, reason)
}
