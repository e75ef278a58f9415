package coordinator

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"concord/internal/cluster/protocol"
	"concord/internal/cluster/store"
	"concord/transport"
)

// committed is the store's record of the run.
type committed struct {
	Next  int              `json:"next"` // step
	Last  *protocol.Commit `json:"last,omitempty"`
	Epoch uint32           `json:"epoch"`          // of the coordinator's latest plan
	Back  uint32           `json:"back,omitempty"` // the same when the run last went back to a checkpoint
	// Banned are the workers that were put out for good until then, with the reasons. Of equal
	// machines each leads by its own word, and none is kept.
	Banned map[uint32]string `json:"banned,omitempty"`
	// Finished: an elected coordinator has ended the run after this step.
	Finished bool `json:"finished,omitempty"`
}

// commit commits the step when all awaited members have all of it.
func (c *Coordinator) commit() {
	if len(c.awaited()) > 0 || !slices.ContainsFunc(c.sorted(), func(m *member) bool { return m.done != nil }) {
		c.waiting = fmt.Sprintf("%s: %s", c.named(c.step+1), c.describe(c.blocking()))
		return
	}
	c.stopDeadline()
	c.pending = c.summary(c.vote())
	c.record(c.outcome())
}

// outcome is the store's record when the pending step is committed.
func (c *Coordinator) outcome() committed {
	return committed{Next: c.step + 1, Last: c.pending, Epoch: c.epoch, Back: c.back, Banned: c.keptBans()}
}

// recordEnd writes to the store that the run is finished, where another machine may be elected
// next: one that was away must not do the rest again.
func (c *Coordinator) recordEnd() {
	var last committed
	var rev int64
	c.do(func() {
		last, rev = committed{Next: c.step, Last: c.last, Epoch: c.epoch, Back: c.back, Banned: c.keptBans(), Finished: true}, c.commitRev
	})
	if _, err := c.write(last, rev); err != nil {
		c.logf("the store does not know that the run is finished, and a machine that was away may do the rest again: %v", err)
	}
}

// keptBans are the bans of the store's record.
func (c *Coordinator) keptBans() map[uint32]string {
	if c.opt.Regather {
		return nil
	}
	return maps.Clone(c.banned)
}

// storeRetry is how long to wait before a commit is tried again.
const storeRetry = 500 * time.Millisecond

// record writes the pending commit, beside the loop: a store without a quorum
// takes its time, and the machines must hear of this one meanwhile. Until it is
// known whether the step is committed it is not planned anew, and next stays the same.
func (c *Coordinator) record(next committed) {
	rev := c.commitRev
	go func() {
		rev, err := c.write(next, rev)
		c.post(func() { c.recorded(next, rev, err) })
	}()
}

// storeLimit is how long the store may take to answer before it is asked again; the
// coordinator's end ends the question too.
const storeLimit = 10 * time.Second

// recorded goes on after an attempt to commit.
func (c *Coordinator) recorded(next committed, rev int64, err error) {
	switch {
	case c.err != nil: // it leads no more: its successor has read the commits that it wrote meanwhile
	case errors.Is(err, store.ErrConflict):
		c.fail(fmt.Errorf("%w: another coordinator has taken over: %w", ErrLostLeadership, err))
	case err != nil:
		waiting := fmt.Sprintf("the store, to commit %s: %v", c.named(c.step+1), err)
		if c.waiting != waiting {
			c.logf("waiting for %s", waiting)
		}
		c.waiting = waiting
		c.changed()
		time.AfterFunc(storeRetry, func() { c.post(func() { c.record(next) }) })
	default:
		k := c.pending
		c.commitRev, c.pending = rev, nil
		c.advance(k)
	}
}

// write stores the committed step, in this coordinator's term only, and returns its
// revision. An attempt whose answer was lost may have succeeded: then the same
// value is there.
func (c *Coordinator) write(k committed, rev int64) (int64, error) {
	b, err := json.Marshal(k)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(c.ctx, storeLimit)
	defer cancel()
	now, err := c.opt.Store.Put(ctx, keyCommitted, b, rev, store.Guard{Key: keyTerm, Rev: c.termRev})
	if !errors.Is(err, store.ErrConflict) {
		return now, err
	}
	there, at, getErr := c.opt.Store.Get(ctx, keyCommitted)
	switch {
	case getErr != nil:
		return 0, getErr
	case bytes.Equal(there, b):
		return at, nil
	}
	return 0, err
}

// summary adds up the step: the plan has the rows that count, and each worker the
// losses of its own.
func (c *Coordinator) summary(root transport.Hash) *protocol.Commit {
	k := &protocol.Commit{Step: c.step, Epoch: c.epoch, Root: root, Loss: make([]float64, c.work.Langs), Tokens: make([]int, c.work.Langs)}
	for _, s := range c.plan.Shares {
		if s.Size() == 0 {
			continue
		}
		k.Shares = append(k.Shares, s)
		for r := s.From; r < s.To; r++ {
			k.Tokens[c.work.Lang[r]] += c.work.Tokens[r]
		}
		for i, l := range c.members[s.Worker].done.Loss {
			k.Loss[i] += l
		}
	}
	return k
}

// countMissing counts the steps in a row in which nothing was counted of a language that the
// batch has, and tells the user.
func (c *Coordinator) countMissing(k *protocol.Commit) {
	missed := false
	for lang, planned := range c.work.LangTokens() {
		if planned > 0 && (lang >= len(k.Tokens) || k.Tokens[lang] == 0) {
			c.logf("%s was made without language %s", c.named(k.Step+1), c.language(lang))
			missed = true
		}
	}
	if c.missing++; !missed {
		c.missing = 0
	}
}

// advance tells everyone that the step is committed and learns from it.
func (c *Coordinator) advance(k *protocol.Commit) {
	took := time.Since(c.planned)
	c.history.add(took, c.heldUp())
	c.sizes = map[uint32]int{}
	for _, s := range c.plan.Shares {
		c.sizes[s.Worker] = s.Size()
	}
	for _, a := range c.plan.Members {
		if m := c.members[a.Worker]; m != nil {
			c.learn(m)
			c.send(m, transport.Pack(protocol.MsgCommit, k))
		}
	}
	c.countMissing(k)
	c.advanced = time.Now()
	c.applying.Heard(c.advanced)
	c.graceUntil = c.advanced.Add(max(graceLeast, took/4))
	c.step, c.last, c.plan, c.waiting = c.step+1, k, nil, ""
	c.forgetStep()
	c.repair(k.Step)
	for _, m := range c.sorted() {
		if why := c.banned[m.id]; why != "" {
			c.evict(m, why)
		} else if m.receive < 0 && m.step >= 0 { // came during the step and was not sent its buckets
			c.resync(m)
		}
	}
	c.changed()
}

// heldUp says that the present step waited for a machine that it went on without.
func (c *Coordinator) heldUp() bool {
	return len(c.without)+len(c.stalled) > 0 || slices.ContainsFunc(c.given, func(s protocol.Share) bool {
		return s.Size() > 0 && c.members[s.Worker] == nil
	})
}

// learn takes from a member's part of the step its pace, for the shares of the next ones.
func (c *Coordinator) learn(m *member) {
	m.counted = m.done != nil && m.rows > 0
	m.problems = 0
	if m.done != nil {
		m.last = m.done
	}
	if m.counted {
		if m.shaped == 0 {
			c.vain = 0
		}
		if m.shaped, m.passed = m.rows, 0; !c.stalled[m.id] {
			m.late = 0
		}
	} else if m.step == c.step {
		m.passed++
	}
	if m.counted && m.done.Compute > 0 {
		m.speed = float64(m.rows*c.opt.SeqLen) / m.done.Compute.Seconds()
		if !m.done.Cold {
			m.pace.add(m.rows, m.done.Compute.Seconds())
		} else if m.id == c.opt.Local {
			c.cold = max(c.cold, m.done.Compute)
		}
	}
}

// forgetStep drops the decisions for one step.
func (c *Coordinator) forgetStep() {
	clear(c.without)
	clear(c.stalled)
	clear(c.accusers)
	c.doubted = doubted{}
}
