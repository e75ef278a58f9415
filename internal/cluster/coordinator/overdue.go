package coordinator

import (
	"fmt"
	"slices"
	"time"
)

// stuckLimit is how long a step may make no progress before those that block it are
// put out.
func (c *Coordinator) stuckLimit() time.Duration {
	if d := c.history.deadline(); d > 0 {
		return max(10*d, 30*time.Second)
	}
	return compileLimit
}

// compileLimit is the same for machines that compile kernels, and where nothing is
// known of the run's steps: at most, and as a multiple of the time that it took the coordinator's own
// worker.
const (
	compileLimit  = 10 * time.Minute
	compileFactor = 10
)

// patienceLeast is how long the step waits for a member at least before it is put out.
const patienceLeast = 3 * time.Second

// patience is how long the present step waits for a member from when its shares were
// sent. A machine that says that it compiles must have begun the step. One that has never done
// a step may be one that never will: the more of those the run has waited for in vain,
// the shorter it waits for the next one.
func (c *Coordinator) patience(m *member) time.Duration {
	limit := c.stuckLimit()
	if m.compiles() && m.progress.Epoch == c.plan.Epoch {
		longest := compileLimit
		if c.cold > 0 {
			longest = min(compileFactor*c.cold, compileLimit)
		}
		limit = max(limit, longest)
	}
	if m.shaped == 0 {
		limit >>= min(c.vain, 10)
	}
	return max(limit, c.history.deadline(), patienceLeast)
}

// mostLate is how many steps in a row may go on without a member's rows, or have others
// resolve its groups, before it is put out.
const mostLate = 4

// late notes that the step goes on without a member's rows, or that others resolve its
// groups, or both.
func (c *Coordinator) late(m *member) {
	if m.late > 0 && m.lateAt == c.step {
		return
	}
	if m.late++; m.late == 1 && m.shaped == 0 {
		c.vain++
	}
	m.lateAt = c.step
}

// slower has the next share of a member whose rows were late be smaller: all that is known of its pace
// is that this one takes longer than so many seconds.
func (m *member) slower(waited time.Duration) {
	if m.shaped > 0 {
		m.pace = measured{}
		m.pace.add(m.rows, 2*waited.Seconds())
	}
}

// barLate puts out those who were late too often.
func (c *Coordinator) barLate() {
	for _, m := range c.sorted() {
		if m.late >= mostLate && c.members[m.id] == m {
			c.bar(m, fmt.Sprintf("%d steps in a row went on without it", m.late))
		}
	}
}

// overdue evicts those who block a step for too long, although they are heard of.
func (c *Coordinator) overdue(now time.Time) {
	waited, applying := c.working.Look(now), c.applying.Look(now)
	if c.plan == nil {
		c.overdueBetween(applying)
		return
	}
	if c.pending != nil {
		return
	}
	all := c.blocking()
	for _, b := range all {
		if b.m.id != c.opt.Local && waited > max(c.patience(b.m), b.least) {
			if b = c.answers(b, all); b.m == nil {
				continue
			}
			if b.m.shaped == 0 {
				c.vain++
			}
			c.bar(b.m, fmt.Sprintf("%s: %s after %.0f s", c.named(c.step+1), b.what, waited.Seconds()))
		}
		if c.plan == nil {
			return
		}
	}
}

// answers puts the blame where a member lacks rows or groups of one other alone: on nobody, as either of the two
// may lie. They are kept apart, so that others do the work; one that is at odds with several is to blame.
func (c *Coordinator) answers(b blame, all []blame) blame {
	several := slices.ContainsFunc(all, func(x blame) bool { return x.m == b.m && x.of != b.of })
	switch {
	case b.of == nil || b.of.id == c.opt.Local || several:
		return b
	case c.members[b.m.id] != b.m || c.members[b.of.id] != b.of:
		return blame{} // one of them was put out just now
	case !c.isApart(b.m.id, b.of.id):
		c.working.Heard(time.Now())
		c.separate(b.m, b.of, "do not agree on what was sent")
		return blame{}
	case c.odd(b.of.id):
		return blame{m: b.of, what: "several lack its rows or its groups"}
	}
	return b
}

// overdueBetween is overdue between two steps: those who did the last one are to
// apply it.
func (c *Coordinator) overdueBetween(waited time.Duration) {
	if c.advanced.IsZero() || waited < c.stuckLimit() {
		return
	}
	for _, m := range c.sorted() {
		if m.counted && m.step >= 0 && m.step < c.step && m.id != c.opt.Local {
			c.bar(m, fmt.Sprintf("%s is not applied %.0f s after its commit", c.named(m.step+1), waited.Seconds()))
		}
	}
}

// barFirst is how long a worker that has blocked the run stays out at first; it doubles
// each time.
const barFirst = 2 * time.Minute

// bars are the times that a worker has blocked the run, and until when it stays out.
type bars struct {
	times int
	until time.Time
}

// bar evicts a worker that blocks the run, and keeps it out for a while: it would
// block it again.
func (c *Coordinator) bar(m *member, reason string) {
	if c.members[m.id] != m {
		return // it is out already
	}
	x := c.barred[m.id]
	x.until = time.Now().Add(barFirst << min(x.times, 5))
	x.times++
	c.barred[m.id] = x
	c.evict(m, reason)
}
