package coordinator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"concord/internal/cluster/store"
)

// The keys of the store.
const (
	keyTerm      = "term"
	keyCommitted = "committed"
)

// acquireTerm raises the term and takes up the committed step. An earlier coordinator
// may commit a step meanwhile: then it begins anew. One that has finished the run which this
// process took part in leaves nothing to lead: ErrFinished.
func (c *Coordinator) acquireTerm(ctx context.Context) error {
	for range 10 {
		err := c.tryTerm(ctx)
		if !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
	return errors.New("cluster: acquire the term: other coordinators write to the store all the time")
}

func (c *Coordinator) tryTerm(ctx context.Context) error {
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
		if maps.Copy(c.banned, k.Banned); len(k.Banned) > 0 {
			c.logf("put out for good earlier in the run: workers %v", slices.Sorted(maps.Keys(k.Banned)))
		}
		switch {
		case k.Finished && c.opt.TookPart:
			return ErrFinished
		case k.Finished:
			c.logf("the store says that the run was finished, after %s", c.named(k.Next))
		}
		c.step, c.last, c.back, c.started = k.Next, k.Last, k.Back, !c.opt.Gather && !c.opt.Regather
	}
	o = termRecord{Term: o.Term + 1, Epoch: max(o.Epoch, k.Epoch) + termEpochs}
	b, _ = json.Marshal(o)
	if c.termRev, err = c.opt.Store.Put(ctx, keyTerm, b, rev, store.Guard{Key: keyCommitted, Rev: c.commitRev}); err != nil {
		return fmt.Errorf("cluster: acquire the term: %w", err)
	}
	c.term, c.epoch = o.Term, o.Epoch
	return nil
}

// termRecord is the store's record of a coordinator.
type termRecord struct {
	Term  uint32 `json:"term"`
	Epoch uint32 `json:"epoch"` // all its plans have higher ones
}

// termEpochs is how much higher a coordinator's epochs are than the last that is on
// record: more plans than its predecessor can have made since, of one step.
const termEpochs = 1 << 16

// Term is the coordinator's: later ones have higher ones.
func (c *Coordinator) Term() uint32 { return c.term }
