package coordinator

import (
	"encoding/json"
	"errors"
	"slices"
	"time"

	"concord/internal/cluster/protocol"
	"concord/transport"
)

// fail ends this coordinator: the worker of its own process ends with it, unless
// another machine leads now; the others look for another one.
func (c *Coordinator) fail(err error) {
	if c.err != nil {
		return
	}
	c.err, c.waiting = err, err.Error()
	close(c.failed)
	c.logf("%v", err)
	for _, m := range c.members {
		if m.id == c.opt.Local && !(c.opt.Lost != nil && errors.Is(err, ErrLostLeadership)) {
			c.send(m, transport.Pack(protocol.MsgEnd, protocol.End{Text: err.Error()}))
		} else {
			m.conn.Close("the coordinator has stopped")
		}
		c.relay.Drop(m.id)
	}
	c.plan = nil
	c.changed()
}

// goodbye is how long machines may take to hear how the run ended.
const goodbye = 2 * time.Second

// Close tells everyone how the run ended, and stops when they have heard it. An elected coordinator
// notes in the store that the run is finished, for which a store that does not answer has storeLimit.
func (c *Coordinator) Close(e protocol.End) {
	noted := make(chan struct{})
	go func() {
		defer close(noted)
		if e.Finished && c.opt.Lost != nil {
			c.recordEnd()
		}
	}()
	c.do(func() {
		c.ended, c.end = true, &e
		if c.opt.Changed != nil { // before anyone leaves
			c.opt.Changed(c.status(), true)
		}
		for _, m := range c.members {
			if m.id != c.opt.Local {
				c.send(m, transport.Pack(protocol.MsgEnd, e))
			}
		}
	})
	for limit := time.Now().Add(goodbye); time.Now().Before(limit); time.Sleep(10 * time.Millisecond) {
		left := 0
		c.do(func() { left = len(c.members) })
		if left <= 1 {
			break
		}
	}
	c.do(func() { // who got no core until now learns it from the connection's end
		word, _ := json.Marshal(protocol.End{Text: e.Text[:min(len(e.Text), 500)], Finished: e.Finished})
		for _, m := range c.members {
			if m.id != c.opt.Local {
				m.conn.CloseWith(string(word))
			}
		}
	})
	<-noted
	c.stop()
	c.wg.Wait()
}

// Abandon stops without a word: the machines look for another coordinator.
func (c *Coordinator) Abandon() {
	c.do(func() {
		c.ended = true
		for _, m := range c.members {
			m.conn.Close("the coordinator has stopped")
			c.relay.Drop(m.id)
		}
	})
	c.stop()
	c.wg.Wait()
}

// ErrFinished says that another machine has finished the run that this one took part in.
var ErrFinished = errors.New("another machine has finished the run")

// ErrLostLeadership says that a coordinator was elected and is no more.
var ErrLostLeadership = errors.New("this machine leads no longer")

// keepEvictions is how many the status shows.
const keepEvictions = 50

// evict takes a member out of the run and tells everyone why.
func (c *Coordinator) evict(m *member, reason string) {
	if c.members[m.id] != m {
		return
	}
	delete(c.members, m.id)
	m.conn.Close(reason)
	c.relay.Drop(m.id)
	if c.ended {
		return
	}
	c.logf("%s (worker %d) is out: %s", m.hello.Name, m.id, reason)
	c.evicted = append(c.evicted, Eviction{Time: time.Now(), Worker: m.id, Name: m.hello.Name, Reason: reason})
	c.evicted = c.evicted[max(0, len(c.evicted)-keepEvictions):]
	if p := c.plan; p != nil && c.pending == nil {
		c.plan = nil
		if slices.ContainsFunc(c.sorted(), func(x *member) bool { return x.current(c.step) && x.reachable() }) {
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
