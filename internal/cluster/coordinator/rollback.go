package coordinator

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"concord/internal/cluster/protocol"
	"concord/transport"
)

// awaitCommittedState waits for somebody with the committed state. When nobody comes, or where the
// run's machines are all here without it, the run goes back: everything later is lost
// with the machines that held it.
func (c *Coordinator) awaitCommittedState(local *member) string {
	if local == nil {
		return "a machine that holds the weights"
	}
	if c.rollback == nil {
		c.rollback = new(protocol.Silence)
		c.rollback.Heard(time.Now())
	}
	if c.rollback.Look(time.Now()) < c.opt.StateTimeout && !c.allNeedState() {
		return fmt.Sprintf("a machine that holds the weights of %s", c.named(c.step))
	}
	return c.goBack(local)
}

// allNeedState says that no machine is left that was in the run, and that as many as it
// waits for are here and want the state of another.
func (c *Coordinator) allNeedState() bool {
	return c.opt.Regather && !c.survived() && len(c.members) >= c.expected() &&
		!slices.ContainsFunc(c.sorted(), func(m *member) bool { return !m.state })
}

// goBack has the run go on from the latest state that a machine has: machine 1's
// checkpoint, as a rule.
func (c *Coordinator) goBack(local *member) string {
	from, what := c.furthest(local), "machine 1's checkpoint"
	if from != local {
		what = "the weights of " + from.hello.Name
	}
	c.logf("no machine holds the state of the committed %s any more: going on from %s of %s", c.named(c.step), what, c.named(from.holds))
	c.step, c.last, from.step, from.state, from.asked = from.holds, nil, -1, false, false
	c.forgetStep()
	c.started = c.started && !c.opt.Regather
	c.rollback, c.momentsMissing = nil, nil
	c.back = c.epoch
	rev, err := c.write(committed{Next: c.step, Epoch: c.epoch, Back: c.back, Banned: c.keptBans()}, c.commitRev)
	if err != nil {
		c.fail(fmt.Errorf("%w: %w", ErrLostLeadership, err))
		return err.Error()
	}
	c.commitRev = rev
	c.send(from, transport.Pack(protocol.MsgResync, protocol.Ready{Step: c.step}))
	for _, m := range c.members {
		if m.hashes = nil; m != from && !m.state { // else it waits for the state already
			c.resync(m)
		}
	}
	return from.hello.Name
}

// furthest is the machine whose own state is of the latest step, machine 1 among
// equals: others may have come with nothing. Nobody can have more than was committed.
func (c *Coordinator) furthest(local *member) *member {
	best := local
	for _, m := range c.sorted() {
		whole := !c.opt.Parameters || len(m.moments) == len(c.opt.Groups) && !strings.ContainsRune(m.moments, protocol.HoldsNone)
		if m.state && m.holds > best.holds && m.holds <= c.step && m.reachable() && whole {
			best = m
		}
	}
	return best
}
