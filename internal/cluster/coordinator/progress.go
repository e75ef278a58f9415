package coordinator

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"concord/internal/cluster/protocol"
	"concord/transport"
)

// The shares that count are chosen here, once a step and for all groups alike; so are
// the machines that are put out because a step does not end. Both go by the workers'
// reports in their heartbeats. No worker is believed about another: rows that most owners lack, or the
// coordinator's own worker, are not there; for rows that only a few owners lack these
// have to answer.

// blame is a worker that a step waits for, with the cause.
type blame struct {
	m     *member
	of    *member // whose rows or groups it says it lacks, nil: it is to blame for its own
	what  string
	least time.Duration // for which it is waited for
}

// savingLimit is how long a member may take to write its state to its disk.
const savingLimit = 10 * time.Minute

// missingAt are those workers whose reports on this plan list w.
func (c *Coordinator) missingAt(among []*member, w uint32, list func(protocol.Progress) []uint32) (out []*member) {
	for _, m := range among {
		if c.knows(m) && slices.Contains(list(m.progress), w) {
			out = append(out, m)
		}
	}
	return out
}

// knows says that a member's report is about the present plan, and newer than the
// question, if one is open.
func (c *Coordinator) knows(m *member) bool {
	return m.done == nil && m.progress.Epoch == c.plan.Epoch && !m.reported.Before(c.asked)
}

// answerable blames for something of w that some of so many workers lack: w, or where they are
// few those who say so.
func (c *Coordinator) answerable(w *member, lack []*member, of int, what, things string) (out []blame) {
	if 2*len(lack) > of || slices.ContainsFunc(lack, func(m *member) bool { return m.id == c.opt.Local || m == w }) {
		return []blame{{m: w, what: what}}
	}
	for _, x := range lack {
		out = append(out, blame{m: x, of: w, what: "it lacks " + things + " of " + w.hello.Name + " that others have"})
	}
	return out
}

// lateRows are those whose rows the present plan waits for.
func (c *Coordinator) lateRows() (out []blame) {
	owners := c.present(c.plan.Owners)
	for _, s := range c.plan.Shares {
		m := c.members[s.Worker]
		if m == nil || s.Size() == 0 {
			continue
		}
		lack := c.missingAt(owners, m.id, func(p protocol.Progress) []uint32 { return p.Rows })
		switch {
		case c.knows(m) && m.progress.Computing:
			out = append(out, blame{m: m, what: "it computes its rows"})
		case len(lack) > 0:
			out = append(out, c.answerable(m, lack, len(owners), "its rows are not there", "rows")...)
		}
	}
	return out
}

// lateGroups are the owners whose groups the present plan waits for, when no rows are
// missing: those who wait for the owners of other slices only where nobody else is to blame.
func (c *Coordinator) lateGroups() []blame {
	if out := c.lateOwners(false); len(out) > 0 {
		return out
	}
	return c.lateOwners(true)
}

// waitsForOthers says that an owner has done its part of all that it has not resolved.
func (c *Coordinator) waitsForOthers(o *member) bool {
	return c.knows(o) && len(o.progress.Waits) > 0 && !slices.Contains(o.progress.Groups, o.id)
}

// lateOwners is lateGroups, with all those who wait for others or without.
func (c *Coordinator) lateOwners(all bool) (out []blame) {
	members := c.present(c.plan.Workers()) // those who have all of the step speak for its owners
	for _, o := range c.present(c.plan.Owners) {
		lack := c.missingAt(members, o.id, func(p protocol.Progress) []uint32 { return slices.Concat(p.Groups, p.Waits) })
		if len(lack) > 0 && (all || !c.waitsForOthers(o)) {
			out = append(out, c.answerable(o, lack, len(members), "its groups are not resolved", "groups")...)
		}
	}
	return out
}

// blocking lists the workers that the present plan waits for.
func (c *Coordinator) blocking() []blame {
	if out := c.lateRows(); len(out) > 0 {
		return out
	}
	if out := c.lateGroups(); len(out) > 0 {
		return out
	}
	var out []blame
	for _, m := range c.awaited() {
		switch p := m.progress; {
		case p.Epoch != c.plan.Epoch:
			out = append(out, blame{m: m, what: "it does not work on the step"})
		case p.Saving:
			out = append(out, blame{m: m, what: "it saves its state", least: savingLimit})
		case len(p.Rows)+len(p.Groups)+len(p.Waits) > 0: // of nobody who is to blame: it is believed of itself only
			out = append(out, blame{m: m, what: "it waits for what no machine of the step owes it"})
		default:
			out = append(out, blame{m: m, what: "it has all of the step and does not end it"})
		}
	}
	return out
}

// present are the members among workers, each once.
func (c *Coordinator) present(workers []uint32) (out []*member) {
	for _, m := range c.sorted() {
		if slices.Contains(workers, m.id) {
			out = append(out, m)
		}
	}
	return out
}

// awaited are the members without whose word the step is not committed.
func (c *Coordinator) awaited() (out []*member) {
	for _, m := range c.sorted() {
		if m.done == nil && (c.plan.ShareOf(m.id).Size() > 0 || m.id == c.opt.Local || slices.Contains(c.plan.Owners, m.id) ||
			slices.Contains(c.plan.Backups, m.id)) {
			out = append(out, m)
		}
	}
	return out
}

// describe names those that are blamed, or else those that are awaited.
func (c *Coordinator) describe(b []blame) string {
	var out []string
	for _, x := range b {
		out = append(out, fmt.Sprintf("%s (%s)", x.m.hello.Name, x.what))
	}
	if out == nil {
		for _, m := range c.awaited() {
			out = append(out, m.hello.Name)
		}
	}
	return strings.Join(out, ", ")
}

// compiles says that a member is the first time at a step, or at a share of this
// size: it compiles kernels and tunes them, which says nothing of its pace.
func (m *member) compiles() bool { return m.shaped == 0 || m.rows > 0 && m.rows != m.shaped }

// armDeadline has the coordinator look at d from now whose rows are late.
func (c *Coordinator) armDeadline(d time.Duration) { c.arm(d, true) }

// arm is armDeadline; again says that one which strikes late is put off once: this process has slept,
// and the words of the others lie unread.
func (c *Coordinator) arm(d time.Duration, again bool) {
	generation, due := c.plan.Generation, time.Now().Add(d)
	c.stopDeadline()
	c.timer = time.AfterFunc(d, func() {
		c.post(func() {
			slept := time.Since(due)
			if again && slept > protocol.Heartbeat && c.plan != nil && c.plan.Generation == generation && c.pending == nil {
				c.planned = c.planned.Add(slept) // it says nothing of the others' pace
				c.arm(d, false)
				return
			}
			c.askAll(generation)
		})
	})
}

func (c *Coordinator) stopDeadline() {
	if c.timer != nil {
		c.timer.Stop()
	}
	c.timer, c.asked = nil, time.Time{}
}

// askAll asks everyone how far it is; the answers decide, or the reports that are there
// shortly after.
func (c *Coordinator) askAll(generation uint32) {
	if c.plan == nil || c.plan.Generation != generation || c.pending != nil {
		return
	}
	c.asked = time.Now()
	for _, a := range c.plan.Members {
		if m := c.members[a.Worker]; m != nil {
			c.send(m, transport.Message{Type: protocol.MsgAsk})
		}
	}
	c.timer = time.AfterFunc(max(c.deadline/20, answerLeast), func() { c.post(func() { c.decide(generation) }) })
}

// answerLeast is how long the answers may take, at least; it is a twentieth of the
// deadline where that is longer.
const answerLeast = 50 * time.Millisecond

// answered decides when all have answered.
func (c *Coordinator) answered() {
	if c.plan == nil || c.asked.IsZero() {
		return
	}
	for _, a := range c.plan.Members {
		if m := c.members[a.Worker]; m != nil && m.done == nil && m.reported.Before(c.asked) {
			return
		}
	}
	c.decide(c.plan.Generation)
}

// decide does without the rows that are late, for all groups alike, where the rest
// is enough: half of the batch, so that machines do not time each other out,
// and every language but those that may be missing.
func (c *Coordinator) decide(generation uint32) {
	if c.plan == nil || c.plan.Generation != generation || c.pending != nil || c.asked.IsZero() {
		return
	}
	waited := time.Since(c.planned)
	last := waited >= 3*c.deadline
	rows := c.lateRows()
	c.armDeadline(max(c.deadline/2, protocol.Heartbeat))
	without := map[uint32]string{}
	for _, b := range rows {
		if c.plan.ShareOf(b.m.id).Size() > 0 && b.m.id != c.opt.Local && !c.excused(b.m, waited) && c.spare(b.m.id, without, last) {
			without[b.m.id] = fmt.Sprintf("rows of worker %d not there after %.1f s", b.m.id, waited.Seconds())
			c.late(b.m)
			b.m.slower(waited)
			if !c.opt.Parameters && (b.m.shaped == 0 || b.m.late > 1) { // nor will it resolve its groups in time
				c.stalled[b.m.id] = true
			}
		}
	}
	switch {
	case len(without) > 0:
		c.drop(without)
		c.barLate()
	case len(rows) == 0 && last && !c.opt.Parameters:
		c.moveGroups(c.lateGroups(), waited)
		c.barLate()
	}
}

// excused says that a step's deadline is not for a member: it compiles, and was never late.
// It must have begun the step, but where it may have to fetch moments first.
func (c *Coordinator) excused(m *member, waited time.Duration) bool {
	begun := m.progress.Epoch >= c.plan.Generation || c.opt.Parameters
	return m.compiles() && m.late == 0 && begun && waited < c.patience(m)
}

// spare says that the step can do without one more worker's share.
func (c *Coordinator) spare(w uint32, without map[uint32]string, last bool) bool {
	left, all, alive := 0, protocol.Total(c.work.Tokens), map[int]bool{}
	for _, s := range c.plan.Shares {
		if s.Worker == w || without[s.Worker] != "" {
			continue
		}
		for seg, tokens := range c.work.SegmentTokens(s) {
			left, alive[seg] = left+tokens, true
		}
	}
	if 2*left < all {
		return false
	}
	if last || c.missing < mostMissing {
		return true
	}
	for seg := range c.work.SegmentTokens(c.plan.ShareOf(w)) {
		if !alive[seg] {
			return false
		}
	}
	return true
}

// drop goes on without the rows of workers, in this step.
func (c *Coordinator) drop(without map[uint32]string) {
	for w, why := range without {
		c.without[w] = why
		if m := c.members[w]; m != nil {
			c.logf("%s goes on without rows of %s: %s", c.named(c.step+1), m.hello.Name, why)
		}
	}
	c.relieved()
}

// relieved plans the step anew without those that it waited for: the others have
// until now waited with it, and are given time.
func (c *Coordinator) relieved() {
	c.working.Heard(time.Now())
	c.replanNow()
}

// moveGroups takes their groups from owners that do not resolve them, in this step.
func (c *Coordinator) moveGroups(late []blame, waited time.Duration) {
	moved := false
	for _, b := range late {
		if b.m.id != c.opt.Local && !c.excused(b.m, waited) && slices.Contains(c.plan.Owners, b.m.id) {
			c.stalled[b.m.id], moved = true, true
			c.late(b.m)
			c.logf("%s: others resolve the groups of %s: it has not after %.1f s", c.named(c.step+1), b.m.hello.Name,
				waited.Seconds())
		}
	}
	if moved {
		c.relieved()
	}
}
