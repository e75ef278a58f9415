package coordinator

import (
	"fmt"
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
// known of the run's steps.
const compileLimit = 10 * time.Minute

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
	for _, b := range c.blocking() {
		limit := c.stuckLimit()
		if b.m.compiles() && b.m.progress.Epoch == c.plan.Epoch { // who compiles has begun the step
			limit = max(limit, compileLimit)
		}
		if b.m.id != c.opt.Local && waited > limit {
			c.bar(b.m, fmt.Sprintf("%s: %s after %.0f s", c.named(c.step+1), b.what, waited.Seconds()))
		}
		if c.plan == nil {
			return
		}
	}
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
	x := c.barred[m.id]
	x.until = time.Now().Add(barFirst << min(x.times, 5))
	x.times++
	c.barred[m.id] = x
	c.evict(m, reason)
}
