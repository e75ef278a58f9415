package coordinator

import (
	"fmt"
	"strings"
	"time"

	"concord/internal/cluster/protocol"
)

// holders are, by group, the machine that has the moments before the present step
// and is ready for it: its owner rather than its backup, and a machine that can be
// dialled rather than another; 0 for none.
func (c *Coordinator) holders() []uint32 {
	out, rank := make([]uint32, len(c.opt.Groups)), make([]int, len(c.opt.Groups))
	for _, m := range c.sorted() {
		if !m.current(c.step) || len(m.moments) != len(out) {
			continue
		}
		for u := range out {
			r := 0
			switch m.moments[u] {
			case protocol.HoldsOwner:
				r = 4
			case protocol.HoldsBackup:
				r = 2
			default:
				continue
			}
			if m.addr != "" {
				r++
			}
			if r > rank[u] {
				out[u], rank[u] = m.id, r
			}
		}
	}
	return out
}

// awaitMoments names the cause of the next step's wait where no ready machine has some
// groups' moments, "" for nothing. When nobody can have them any more, the run
// goes back to machine 1's checkpoint, or ends.
func (c *Coordinator) awaitMoments(local *member) string {
	lost := 0
	if c.opt.Parameters {
		for _, w := range c.holders() {
			if w == 0 {
				lost++
			}
		}
	}
	if lost == 0 {
		c.momentsMissing = nil
		return ""
	}
	var behind []string
	for _, m := range c.sorted() {
		if m.step >= 0 && m.step < c.step && !m.state {
			behind = append(behind, m.hello.Name)
		}
	}
	if c.momentsMissing == nil {
		c.momentsMissing = new(protocol.Silence)
		c.momentsMissing.Heard(time.Now())
	}
	waited := c.momentsMissing.Look(time.Now())
	switch {
	case len(behind) > 0 && waited < c.stuckLimit():
		return fmt.Sprintf("%s to apply %s: the optimizer's state of %d groups is nowhere else", strings.Join(behind, ", "),
			c.named(c.step), lost)
	case waited < c.opt.StateTimeout: // a machine that was not heard of for a while comes back with its state
		return fmt.Sprintf("a machine that holds the optimizer's state of %d groups", lost)
	case local != nil && local.state:
		return c.goBack(local)
	}
	c.fail(fmt.Errorf("cluster: %s: the optimizer's state of %d of %d groups is lost with the machines that held it, an owner and its "+
		"backup: resume machine 1 to go on from its last checkpoint, and the others follow",
		c.named(c.step+1), lost, len(c.opt.Groups)))
	return c.waiting
}
