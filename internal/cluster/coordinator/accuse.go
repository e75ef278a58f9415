package coordinator

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"concord/internal/cluster/protocol"
	"concord/transport"
)

// pair is two workers, the lower number first.
type pair [2]uint32

func pairOf(a, b uint32) pair {
	if cmp.Less(b, a) {
		a, b = b, a
	}
	return pair{a, b}
}

// separation is a pair that cannot exchange transfers: neither owns groups, as owners
// send to everyone. It is tried again, each time later.
type separation struct {
	until time.Time
	tries int
	asked *question // that is not answered, nil: none
	quiet time.Time // until when no other one is asked, as the last was answered well
}

// separationOf is that of two workers, made where there is none.
func (c *Coordinator) separationOf(a, b uint32) *separation {
	key := pairOf(a, b)
	if c.apart[key] == nil {
		c.apart[key] = &separation{}
	}
	return c.apart[key]
}

// question asks a member whether it reaches one that complains of it. Only the member
// that is asked can answer.
type question struct{ by, of *member }

// mostQuestions is how many complaints of one member are looked into at one time.
const mostQuestions = 8

// How long a pair stays apart, at first and at most, and how long its other end may
// take to answer.
const (
	apartFirst  = time.Minute
	apartMost   = 16 * time.Minute
	reachAnswer = 10 * time.Second
)

// accusation is a complaint that several workers may have of one.
type accusation struct {
	worker uint32
	kind   protocol.ProblemKind
}

// problemsLogged is how many reports of one worker are logged between two commits.
const problemsLogged = 5

// problem takes a member's report, of itself or of another.
func (c *Coordinator) problem(m *member, p protocol.Problem) {
	p.Text = protocol.Plain(p.Text[:min(len(p.Text), 500)])
	if m.problems++; m.problems <= problemsLogged {
		c.logf("%s: %s", m.hello.Name, p.Text)
	}
	bad := c.members[p.Worker]
	switch {
	case bad == nil || p.Kind == "":
	case p.Kind == protocol.ProblemUnreachable:
		c.unreachable(m, bad)
	case c.plan == nil || c.pending != nil || p.Step != c.step:
	case p.Generation != c.plan.Generation:
		if d := c.doubted; d.plan != nil && d.plan.Generation == p.Generation && p.Kind == protocol.ProblemContradiction &&
			c.mayAccuse(m, bad, p, d) && c.majority(m, bad, p) {
			c.ban(bad, p.Text)
		}
	case p.Kind == protocol.ProblemResolved:
		c.spoilt(m, bad, p)
	case bad != m && !c.sees(m, bad, p, doubted{c.plan, c.given}):
		c.baseless(m)
	case c.work.PartTokens(protocol.ShareIn(c.given, bad.id))[p.Row] == 0:
	case p.Kind == protocol.ProblemValues && bad == m && c.without[m.id] == "": // of itself, a machine is believed
		c.drop(map[uint32]string{m.id: p.Text})
	case c.mayAccuse(m, bad, p, doubted{c.plan, c.given}):
		c.accused(m, bad, p)
	}
}

// doubted is a plan that was made anew because an owner was believed. Complaints of it
// may be under way: they count in the step all the same, or a majority would never be
// reached where the coordinator's own worker complains first.
type doubted struct {
	plan  *protocol.Plan
	given []protocol.Share // everyone's shares in it, whether they count or not
}

// mayAccuse says that m can have such a complaint, and that it is heard.
func (c *Coordinator) mayAccuse(m, bad *member, p protocol.Problem, d doubted) bool {
	return bad != m && bad.id != c.opt.Local && c.sees(m, bad, p, d)
}

// sees says that m owns the group that it complains of, and that bad has rows of it.
func (c *Coordinator) sees(m, bad *member, p protocol.Problem, d doubted) bool {
	return p.Group >= 0 && p.Group < len(d.plan.Owners) && d.plan.Owners[p.Group] == m.id &&
		c.work.PartTokens(protocol.ShareIn(d.given, bad.id))[p.Row] > 0
}

// mostBaseless is in how many steps, of baselessWithin, a member may complain of rows that it
// was not to be sent.
const (
	mostBaseless   = 3
	baselessWithin = 100
)

// baseless counts the steps in which a member complains of rows that nobody was to send it. An honest
// one may where the plan has changed under way; in a plan that has not, it lies, and is out for a while.
func (c *Coordinator) baseless(m *member) {
	if c.plan.Epoch != c.plan.Generation || m.baselessAt == c.step || m.id == c.opt.Local {
		return
	}
	if c.step-m.baselessAt > baselessWithin {
		m.baseless = 0
	}
	m.baselessAt = c.step
	if m.baseless++; m.baseless > mostBaseless {
		c.bar(m, "step after step it complains of rows that it was not sent")
	}
}

// majority counts a complaint, and says whether most members have the same in this step.
func (c *Coordinator) majority(by, bad *member, p protocol.Problem) bool {
	key := accusation{bad.id, p.Kind}
	if c.accusers[key] == nil {
		c.accusers[key] = map[uint32]bool{}
	}
	c.accusers[key][by.id] = true
	return 2*len(c.accusers[key]) > len(c.members)-1
}

// accused weighs an owner's complaint of rows that it was sent. The coordinator's
// own worker is believed, and a majority is; one other is not: the two are kept
// apart, and the group's next owner sees for itself.
func (c *Coordinator) accused(by, bad *member, p protocol.Problem) {
	majority := c.majority(by, bad, p)
	switch believed := majority || by.id == c.opt.Local; {
	case p.Kind == protocol.ProblemContradiction && majority:
		c.ban(bad, p.Text)
	case believed && c.without[bad.id] == "":
		c.doubted = doubted{c.plan, c.given}
		c.drop(map[uint32]string{bad.id: p.Text})
	case believed:
	default:
		c.separate(by, bad, "contradict each other")
		if c.members[bad.id] == bad && c.without[bad.id] == "" && c.mayOwn(by) { // it is so with several: no other owner gets the group
			c.drop(map[uint32]string{bad.id: p.Text})
		}
	}
}

// unreachable asks the other end whether it reaches the member that complains. The
// coordinator's own worker is reached by all members.
func (c *Coordinator) unreachable(m, bad *member) {
	p := c.plan
	if m == bad || m.id == c.opt.Local || bad.id == c.opt.Local || c.isApart(m.id, bad.id) || p == nil || !p.HasMember(m.id) ||
		!p.HasMember(bad.id) ||
		!slices.Contains(p.Owners, m.id) && !slices.Contains(p.Owners, bad.id) {
		return // there is nothing to be sent between the two
	}
	x := c.separationOf(m.id, bad.id)
	if x.asked != nil || time.Now().Before(x.quiet) || c.questions(m) >= mostQuestions {
		return
	}
	q := &question{by: m, of: bad}
	x.asked = q
	c.send(bad, transport.Pack(protocol.MsgReach, protocol.Reach{Worker: m.id, Addr: m.addr}))
	time.AfterFunc(reachAnswer, func() {
		c.post(func() {
			if x.asked == q {
				c.reached(bad, protocol.Reached{Worker: m.id})
			}
		})
	})
}

// questions counts those that a member's complaints have raised and nobody has answered.
func (c *Coordinator) questions(m *member) (n int) {
	for _, x := range c.apart {
		if x.asked != nil && x.asked.by == m {
			n++
		}
	}
	return n
}

// reached takes the other end's answer.
func (c *Coordinator) reached(m *member, r protocol.Reached) {
	x := c.apart[pairOf(m.id, r.Worker)]
	if x == nil || x.asked == nil || x.asked.of != m {
		return
	}
	x.asked = nil
	other := c.members[r.Worker]
	switch {
	case other == nil || c.members[m.id] != m:
	case r.OK:
		x.quiet = time.Now().Add(reachAnswer)
		c.logf("%s reaches %s", m.hello.Name, other.hello.Name)
	default:
		c.separate(m, other, "cannot reach each other")
	}
}

// separate has two members own no groups for a while, or the one of them that cannot exchange
// with several.
func (c *Coordinator) separate(a, b *member, why string) {
	if c.isApart(a.id, b.id) {
		return
	}
	x := c.separationOf(a.id, b.id)
	d := min(apartFirst<<min(x.tries, 10), apartMost)
	x.until, x.asked = time.Now().Add(d), nil
	x.tries++
	for _, m := range []*member{a, b} {
		if c.isolated(m) {
			text := "it reaches none of most others, which reach each other"
			if !c.opt.Relay {
				text += "; with cluster.relay = true machine 1 would relay"
			}
			c.bar(m, text)
			return
		}
	}
	out, rest := "both compute, but own", "" // the subject, and the object
	for _, m := range []*member{a, b} {
		if c.odd(m.id) {
			c.alignApart(m.id)
			out, rest = m.hello.Name+" computes, but owns", fmt.Sprintf(", as it is so with %d machines", len(c.apartFrom(m.id)))
		}
	}
	c.logf("%s and %s %s: %s no groups%s; tried again in %v", a.hello.Name, b.hello.Name, why, out, rest, d)
	if old := c.plan; old != nil && slices.ContainsFunc(c.present(old.Owners), func(m *member) bool { return !c.mayOwn(m) }) {
		c.replanNow()
	}
}

// odd says that a member is apart from two others at least, and from more than each of them is:
// then the cause is with it. Where machine 1 relays the others own groups all the same.
func (c *Coordinator) odd(w uint32) bool {
	from := c.apartFrom(w)
	return len(from) >= 2 && !slices.ContainsFunc(from, func(x uint32) bool { return len(c.apartFrom(x)) >= len(from) })
}

// alignApart has all separations of a member end with the last of them: in between, each of the
// others would in turn own no groups for a while.
func (c *Coordinator) alignApart(w uint32) {
	var last time.Time
	for _, x := range c.apartFrom(w) {
		if until := c.apart[pairOf(w, x)].until; until.After(last) {
			last = until
		}
	}
	for _, x := range c.apartFrom(w) {
		c.apart[pairOf(w, x)].until = last
	}
}

// isolated says that a member is apart from most of the others, which are not from each other:
// then it is the one that cannot be reached.
func (c *Coordinator) isolated(m *member) bool {
	others := 0
	for _, x := range c.members {
		if x != m && x.id != c.opt.Local {
			others++
		}
	}
	return c.odd(m.id) && 2*len(c.apartFrom(m.id)) > others
}

// isApart says that two workers are kept apart now.
func (c *Coordinator) isApart(a, b uint32) bool {
	x := c.apart[pairOf(a, b)]
	return x != nil && time.Now().Before(x.until)
}

// apartFrom are the members that a worker is kept apart from now. It is asked of every member for every plan
// and status, so it looks at the pairs that are apart, and not at all members.
func (c *Coordinator) apartFrom(w uint32) (out []uint32) {
	for p, x := range c.apart {
		other := p[0]
		if other == w {
			other = p[1]
		} else if p[1] != w {
			continue
		}
		if c.members[other] != nil && time.Now().Before(x.until) {
			out = append(out, other)
		}
	}
	slices.Sort(out)
	return out
}

// mayOwn says that a member can send to everyone and be sent to, be it over this machine: those that
// it is apart from do not count where they are odd.
func (c *Coordinator) mayOwn(m *member) bool {
	return m.reachable() && !c.stalled[m.id] &&
		!slices.ContainsFunc(c.apartFrom(m.id), func(w uint32) bool { return !c.opt.Relay || !c.odd(w) })
}

// mostDissents is how often a machine's resolved groups may differ from those of
// most others before it is put out for good.
const mostDissents = 2

// vote is the root that most have; with a tie, that of the coordinator's own worker
// if it is among them. Members with another fetch the weights when they hear of
// the commit.
func (c *Coordinator) vote() (root transport.Hash) {
	votes, voters := map[transport.Hash]int{}, 0
	for _, m := range c.sorted() {
		if m.done != nil {
			votes[m.done.Root]++
			voters++
		}
	}
	most := 0
	for _, m := range c.sorted() {
		if m.done == nil {
			continue
		}
		if n := votes[m.done.Root]; n > most || n == most && m.id == c.opt.Local {
			root, most = m.done.Root, n
		}
	}
	for _, m := range c.sorted() {
		if m.done != nil && m.done.Root != root {
			m.dissents++
			c.logf("%s: the resolved groups of %s are not those of most others (%x, not %x)", c.named(c.step+1), m.hello.Name,
				m.done.Root[:4],
				root[:4])
			if m.dissents > mostDissents && m.id != c.opt.Local && 2*most > voters {
				c.banned[m.id] = fmt.Sprintf("its resolved groups were not those of most others %d times: bad memory or a driver's fault",
					m.dissents)
			}
		}
	}
	return root
}
