package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"concord/internal/cluster/store"
	"concord/transport"
)

// committed is what the store holds.
type committed struct {
	Next int     `json:"next"` // step
	Last *Commit `json:"last,omitempty"`
}

// commit commits the step when everyone who is waited for has all of it.
func (c *Coordinator) commit() {
	var waits []string
	var root *transport.Hash
	for _, m := range c.sorted() {
		if m.done == nil {
			if c.plan.share(m.id).Size() > 0 && c.late[m.id] == "" || m.id == c.opt.Local || slices.Contains(c.plan.Owners, m.id) {
				waits = append(waits, m.hello.Name)
			}
			continue
		}
		if root == nil {
			root = &m.done.Root
		}
		if *root != m.done.Root {
			c.evict(m, fmt.Sprintf("step %d: its resolved buckets are not those of the others (%x, not %x)", c.step+1, m.done.Root[:4], root[:4]))
			return
		}
	}
	if len(waits) > 0 || root == nil {
		c.waiting = fmt.Sprintf("step %d: %v", c.step+1, waits)
		return
	}
	k := c.summary(*root)
	if err := c.write(committed{Next: c.step + 1, Last: k}); err != nil {
		if errors.Is(err, store.ErrConflict) {
			c.fail(fmt.Errorf("cluster: another coordinator has taken over: %w", err))
			return
		}
		c.waiting = fmt.Sprintf("the store, to commit step %d: %v", c.step+1, err)
		c.changed()
		return // tried again with the next event
	}
	c.advance(k)
}

// write stores what is committed, in this coordinator's term only.
func (c *Coordinator) write(k committed) error {
	b, err := json.Marshal(k)
	if err != nil {
		return err
	}
	rev, err := c.opt.Store.Put(context.Background(), keyCommitted, b, c.commitRev, store.Guard{Key: keyTerm, Rev: c.termRev})
	if err == nil {
		c.commitRev = rev
	}
	return err
}

// summary adds up what the workers computed, in the order of their numbers.
func (c *Coordinator) summary(root transport.Hash) *Commit {
	k := &Commit{Step: c.step, Epoch: c.epoch, Root: root}
	for _, m := range c.sorted() {
		if m.done == nil || m.rows == 0 || c.late[m.id] != "" {
			continue
		}
		if k.Loss == nil {
			k.Loss, k.Tokens = make([]float64, len(m.done.Loss)), make([]int, len(m.done.Tokens))
		}
		for i := range min(len(k.Loss), len(m.done.Loss), len(m.done.Tokens)) {
			k.Loss[i] += m.done.Loss[i]
			k.Tokens[i] += m.done.Tokens[i]
		}
	}
	return k
}

// advance tells everyone that the step is committed and learns from it.
func (c *Coordinator) advance(k *Commit) {
	took := time.Since(c.planned)
	c.history.add(took)
	c.sizes = map[uint32]int{}
	for _, s := range c.plan.Shares {
		c.sizes[s.Worker] = s.Size()
	}
	for _, a := range c.plan.Members {
		m := c.members[a.Worker]
		if m == nil {
			continue
		}
		m.counted = m.done != nil && m.rows > 0
		if m.counted && m.done.Compute > 0 {
			m.speed = float64(m.rows*c.opt.SeqLen) / m.done.Compute.Seconds()
			if !m.done.Cold {
				m.pace.add(m.rows, m.done.Compute.Seconds())
			}
		}
		c.tell(m, transport.Pack(msgCommit, k))
	}
	c.settled = time.Now().Add(max(settleLeast, took/4))
	c.step, c.last, c.plan, c.waiting = c.step+1, k, nil, ""
	c.repair(k.Step)
	for _, m := range c.members {
		if m.receive < 0 && m.step >= 0 { // came during the step and was not sent its buckets
			c.resync(m)
		}
	}
	c.changed()
}
