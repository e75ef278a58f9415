package coordinator

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"concord/internal/cluster/protocol"
	"concord/transport"
)

// waitLocal is said while the machine that leads is not ready itself: it loads,
// evaluates or saves.
const waitLocal = "machine 1"

// begin plans the next step when enough machines are ready for it.
func (c *Coordinator) begin() {
	before := c.waiting
	if c.waiting = c.blockedOn(); c.waiting != "" {
		if !c.started && c.waiting != before && c.waiting != waitLocal {
			which := "first"
			if c.step > 0 {
				which = "next"
			}
			c.logf("the %s step waits for %s", which, c.waiting)
		}
		return
	}
	if !c.started {
		c.started, c.boot = true, time.Now().Add(bootFor)
		if !c.survived() && c.initialSync() {
			return
		}
	}
	c.makePlan()
}

// survived says that a machine is here that was in the run before this coordinator:
// with Regather it goes on without waiting for others.
func (c *Coordinator) survived() bool {
	return c.opt.Regather && slices.ContainsFunc(c.sorted(), func(m *member) bool { return m.trained })
}

// initialSync has the machines that are there before the first step fetch its weights,
// so that all of them take part in it.
func (c *Coordinator) initialSync() bool {
	none := make([]uint32, len(c.opt.Groups))
	p := &protocol.Plan{InitialSync: true, Step: c.step, Sources: map[uint32]uint32{}, Owners: none, Since: none, Backups: none,
		Holders: none}
	for _, m := range c.sorted() {
		p.Members = append(p.Members, protocol.Address{Worker: m.id, Name: m.hello.Name, Addr: m.addr, Punch: m.punched})
	}
	source := uint32(0)
	for _, m := range c.sorted() {
		if m.current(c.step) && m.reachable() && (source == 0 || m.id == c.opt.Local) {
			source = m.id
		}
	}
	for _, m := range c.members {
		if m.state {
			m.first, m.state, m.receive = true, false, c.step
			p.Sources[m.id] = source
		}
	}
	if len(p.Sources) == 0 {
		return false
	}
	c.epoch++
	p.Epoch, p.Generation = c.epoch, c.epoch
	c.known(p)
	for _, m := range c.members {
		c.send(m, transport.Pack(protocol.MsgPlan, p))
	}
	return true
}

// blockedOn names the cause of the next step's wait, "" for none.
func (c *Coordinator) blockedOn() string {
	here, current, dialled := 0, 0, 0
	var applying []string
	for _, m := range c.sorted() {
		if m.current(c.step) {
			current++
			if m.reachable() {
				dialled++
			}
		}
		if m.current(c.step) || m.state {
			here++
		}
		if c.applies(m) || m.first && !m.state && time.Now().Before(c.boot) && !m.current(c.step) {
			applying = append(applying, m.hello.Name)
		}
	}
	if current > 0 {
		c.rollback = nil
	}
	local := c.members[c.opt.Local]
	switch {
	case c.opt.Local != 0 && (local == nil || !local.current(c.step) && !local.state):
		return waitLocal
	case !c.started && here < c.expected() && !c.survived():
		return fmt.Sprintf("%d of %d machines to join", c.expected()-here, c.expected())
	case current == 0:
		return c.awaitCommittedState(local)
	case dialled == 0: // an owner must be dialled by the others
		return "a machine that the others can reach"
	case len(applying) > 0:
		if c.step == 0 || c.last == nil {
			return fmt.Sprintf("%v to fetch the weights", applying)
		}
		return fmt.Sprintf("%v to apply %s", applying, c.named(c.step))
	}
	return c.awaitMoments(local)
}

// expected is how many machines the start of the run waits for: those that were put out for good
// do not come.
func (c *Coordinator) expected() int { return max(1, c.opt.Workers-len(c.banned)) }

// applies says that a member applies the last step, and that the next one waits for it:
// for those whose rows counted, and for a few steps for those who came since and have
// the weights, as else the more distant ones would always be late.
func (c *Coordinator) applies(m *member) bool {
	early := time.Now().Before(c.graceUntil)
	if m.counted {
		return m.step >= 0 && m.step < c.step && (c.opt.NoDeadline || early)
	}
	return m.step >= 0 && m.step == c.step-1 && m.receive >= 0 && m.passed < mostPassed && early
}

// mostPassed is how many steps in a row wait for a member that has no rows yet.
const mostPassed = 3

// graceLeast is how long the next step waits, at least, for those who did the
// last one to apply it.
const graceLeast = 250 * time.Millisecond

// bootFor bounds how long the machines that were there before the first step may
// take to fetch its weights before it begins without them.
const bootFor = 2 * time.Minute

// makePlan plans the step anew, shares and all.
func (c *Coordinator) makePlan() {
	c.epoch++
	var candidates []protocol.Candidate
	for _, m := range c.sorted() {
		m.done = nil
		if m.current(c.step) {
			m.first = false
		}
		if m.current(c.step) && c.without[m.id] == "" {
			x := protocol.Candidate{Worker: m.id}
			if !c.opt.Equal {
				x.Pace = m.pace.pace()
			}
			candidates = append(candidates, x)
		}
	}
	c.work = c.opt.Work(c.step)
	p := &protocol.Plan{Generation: c.epoch, Step: c.step, Saved: c.saved == c.step, Shares: protocol.Assign(c.work, candidates, c.sizes)}
	p.Check = c.opt.CheckEvery > 0 && c.step > 0 && c.step%c.opt.CheckEvery == 0
	c.planned, c.given = time.Now(), p.Shares
	c.working.Heard(c.planned)
	c.sendPlan(p, nil)
	c.stopDeadline()
	if c.deadline = c.history.deadline(); c.deadline > 0 && !c.opt.NoDeadline {
		c.armDeadline(c.deadline)
	}
}

// replan goes on with a step after a machine was lost, or after it was decided that
// its rows do not count or that it owns nothing. Rows that are computed stay valid,
// unless a language has nobody left to compute it (and had not in the last
// steps either), or the result may
// not depend on losses, or moments went with the machine: then the step is done again
// by those who are there.
func (c *Coordinator) replan(old *protocol.Plan) {
	gone := func(w uint32) bool { return c.members[w] == nil || !c.mayOwn(c.members[w]) }
	counts := func(s protocol.Share) bool { return c.members[s.Worker] != nil && c.without[s.Worker] == "" }
	fewer := slices.ContainsFunc(old.Shares, func(s protocol.Share) bool { return s.Size() > 0 && !counts(s) })
	switch {
	case c.opt.Parameters && slices.ContainsFunc(old.Owners, gone):
		c.logf("%s is done again, as an owner was lost", c.named(c.step+1))
		c.plan = nil
		c.begin()
		return
	case c.opt.Parameters && fewer, c.opt.NoDeadline && slices.ContainsFunc(old.Shares, func(s protocol.Share) bool {
		return s.Size() > 0 &&
			c.members[s.Worker] == nil
	}):
		c.logf("%s is done again, as one of its machines was lost", c.named(c.step+1))
		c.makePlan()
		return
	case !slices.ContainsFunc(c.sorted(), func(m *member) bool { return old.HasMember(m.id) && m.current(c.step) && m.reachable() }):
		c.makePlan() // by those who came meanwhile
		return
	}
	p := &protocol.Plan{Generation: old.Generation, Step: old.Step, Check: old.Check, Saved: old.Saved}
	for _, s := range old.Shares {
		if counts(s) {
			p.Shares = append(p.Shares, s)
		}
	}
	if !c.goesOnWith(p.Shares) {
		c.makePlan()
		return
	}
	c.epoch++
	c.sendPlan(p, old)
}

// goesOnWith says that the step may be made of so many shares: that each language is in
// them, or may be missed.
func (c *Coordinator) goesOnWith(shares []protocol.Share) bool {
	alive := map[int]bool{}
	for _, s := range shares {
		for seg := range c.work.SegmentTokens(s) {
			alive[seg] = true
		}
	}
	for seg := range c.work.SegmentTokens(protocol.Share{From: 0, To: len(c.work.Lang)}) {
		switch {
		case alive[seg]:
		case !c.opt.NoDeadline && c.missing < mostMissing && len(alive) > 0:
			c.logf("%s goes on without language %s: nobody else has rows of it", c.named(c.step+1), c.segment(seg))
		default:
			c.logf("%s is done again: nobody else has rows of language %s", c.named(c.step+1), c.segment(seg))
			return false
		}
	}
	return true
}

// mostMissing is for how many steps in a row there may be languages that nothing was
// counted of.
const mostMissing = 3

// sendPlan completes a plan with owners, members and sources, and sends it.
func (c *Coordinator) sendPlan(p, old *protocol.Plan) {
	p.Epoch = c.epoch
	owners, source := c.enlist(p, old)
	for _, m := range c.sorted() {
		if m.receive == c.step && m.step < 0 && (old == nil || old.HasMember(m.id)) {
			if p.Sources == nil {
				p.Sources = map[uint32]uint32{}
			}
			p.Sources[m.id] = source
		}
	}
	p.Revoked, p.Without = c.revocations(), maps.Clone(c.without)
	c.place(p, old, owners)
	c.plan = p
	c.known(p)
	for _, m := range c.members {
		m.groups, m.slices = ownedBy(p.Owners, c.opt.Leads, m.id)
	}
	for _, a := range p.Members {
		c.send(c.members[a.Worker], transport.Pack(protocol.MsgPlan, p))
	}
	c.explain(p)
}

// enlist puts into a plan the machines that are sent the step, and gives those of them that
// may own groups, and the one that gives its state to machines that lack it.
func (c *Coordinator) enlist(p, old *protocol.Plan) (owners []uint32, source uint32) {
	for _, m := range c.sorted() {
		if old != nil && !old.HasMember(m.id) { // came in the middle: it was not sent the step so far
			continue
		}
		if m.current(c.step) || m.state || m.receive >= 0 {
			if m.receive < 0 {
				m.receive = c.step
			}
			m.state = false
			p.Members = append(p.Members, protocol.Address{Worker: m.id, Name: m.hello.Name, Addr: m.addr, Punch: m.punched})
		}
		if m.current(c.step) && m.reachable() {
			if c.mayOwn(m) {
				owners = append(owners, m.id)
			}
			if source == 0 || m.id == c.opt.Local {
				source = m.id
			}
		}
		m.rows, m.done = p.ShareOf(m.id).Size(), nil
	}
	if len(owners) == 0 {
		owners = []uint32{source}
	}
	return owners, source
}

// place divides the groups among the workers that may own them, and says since when each
// owner has its groups.
func (c *Coordinator) place(p, old *protocol.Plan, workers []uint32) {
	p.Owners = c.owners(old, workers)
	if c.opt.Parameters {
		p.Holders = c.holders()
		p.Owners, p.Backups = protocol.Place(c.opt.Groups, workers, p.Holders)
		if old != nil && old.Generation == p.Generation {
			p.Owners, p.Backups, p.Holders = old.Owners, old.Backups, old.Holders
		}
	}
	again := old == nil || old.Generation != p.Generation || len(p.Shares) != len(old.Shares) // sums begin again
	for u := range p.Owners {
		since := c.epoch
		if from, to := c.opt.Leads.Range(u); !again && slices.Equal(old.Owners[from:to], p.Owners[from:to]) {
			since = old.Since[u]
		}
		p.Since = append(p.Since, since)
	}
}

// owners keeps the groups of those who are still there where they are.
func (c *Coordinator) owners(old *protocol.Plan, workers []uint32) []uint32 {
	fresh := protocol.Owners(c.opt.Groups, c.opt.Leads, workers)
	if old == nil {
		return fresh
	}
	out := slices.Clone(old.Owners)
	for u, w := range out {
		if !slices.Contains(workers, w) {
			out[u] = fresh[u]
		}
	}
	return out
}
