package coordinator

import "concord/internal/cluster/protocol"

// mostSpoilt is how many groups an owner may spoil, each in another step, before it is put out.
const mostSpoilt = 3

// spoilt weighs a member's complaint of a resolved group that it was sent. Where the coordinator's
// own worker says so, or most members do, others resolve the owner's groups in this step; another
// one alone is kept apart from the owner.
func (c *Coordinator) spoilt(by, bad *member, p protocol.Problem) {
	local := by.id == c.opt.Local // believed also where others said it first, and another one owns the group by now
	owns := p.Group >= 0 && p.Group < len(c.plan.Owners) && c.plan.Owners[p.Group] == bad.id
	switch {
	case bad == by || bad.id == c.opt.Local || c.stalled[bad.id] || !c.plan.HasMember(by.id) || !owns && !local:
	case !local && !c.majority(by, bad, p):
		c.separate(by, bad, "do not agree on a resolved group")
	default:
		c.stalled[bad.id] = true
		if bad.spoilt++; bad.spoilt >= mostSpoilt {
			c.ban(bad, p.Text)
			return
		}
		c.logf("%s: others resolve the groups of %s", c.named(c.step+1), bad.hello.Name)
		c.relieved()
	}
}
