package cluster

import (
	"context"
	"encoding/json"
	"fmt"
)

// The keys of the store.
const (
	keyTerm      = "term"
	keyCommitted = "committed"
)

// takeOffice raises the term and takes up what is committed.
func (c *Coordinator) takeOffice(ctx context.Context) error {
	var o termRecord
	b, rev, err := c.opt.Store.Get(ctx, keyTerm)
	if err != nil {
		return err
	}
	if rev > 0 {
		if err := json.Unmarshal(b, &o); err != nil {
			return fmt.Errorf("cluster: the store's term: %w", err)
		}
	}
	var k committed
	if b, c.commitRev, err = c.opt.Store.Get(ctx, keyCommitted); err != nil {
		return err
	}
	if c.commitRev > 0 {
		if err := json.Unmarshal(b, &k); err != nil {
			return fmt.Errorf("cluster: the store's committed step: %w", err)
		}
		c.step, c.last, c.started = k.Next, k.Last, !c.opt.Gather && !c.opt.Regather
	}
	o = termRecord{Term: o.Term + 1, Epoch: max(o.Epoch, k.Epoch) + termEpochs}
	b, _ = json.Marshal(o)
	if c.termRev, err = c.opt.Store.Put(ctx, keyTerm, b, rev); err != nil {
		return fmt.Errorf("cluster: take office: %w", err)
	}
	c.term, c.epoch = o.Term, o.Epoch
	return nil
}

// termRecord is what the store tells of a coordinator.
type termRecord struct {
	Term  uint32 `json:"term"`
	Epoch uint32 `json:"epoch"` // all its plans have higher ones
}

// termEpochs is how much higher a coordinator's epochs are than the last that is on
// record: more plans than its predecessor can have made since, of one step.
const termEpochs = 1 << 16
