package cluster

import (
	"errors"
	"time"

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
		if m.id == c.opt.Local && !(c.opt.Elected && errors.Is(err, ErrDeposed)) {
			c.send(m, transport.Pack(msgEnd, End{Text: err.Error()}))
		} else {
			m.conn.Close("the coordinator has stopped")
		}
	}
	c.plan = nil
	c.changed()
}

// goodbye is how long machines may take to hear how the run ended.
const goodbye = 2 * time.Second

// Close tells everyone how the run ended, and stops when they have heard it.
func (c *Coordinator) Close(e End) {
	c.do(func() {
		c.ended, c.end = true, &e
		for _, m := range c.members {
			if m.id != c.opt.Local {
				c.send(m, transport.Pack(msgEnd, e))
			}
		}
	})
	if c.opt.Changed != nil {
		c.do(func() { c.opt.Changed(c.status(), true) })
	}
	for limit := time.Now().Add(goodbye); time.Now().Before(limit); time.Sleep(10 * time.Millisecond) {
		left := 0
		c.do(func() { left = len(c.members) })
		if left <= 1 {
			break
		}
	}
	c.stop()
	c.wg.Wait()
}

// Abandon stops without a word: the machines look for another coordinator.
func (c *Coordinator) Abandon() {
	c.do(func() {
		c.ended = true
		for _, m := range c.members {
			m.conn.Close("the coordinator has stopped")
		}
	})
	c.stop()
	c.wg.Wait()
}
