package worker

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"time"

	"concord/internal/cluster/protocol"
	"concord/transport"
)

// stateRequest asks for a part of the weights as they were before a step.
type stateRequest struct {
	Step  int    `json:"step"`
	Part  string `json:"part"`
	Group *int   `json:"group,omitempty"` // instead: the group's moments
}

// offeredState holds the parts of one step's state for those who join there.
type offeredState struct {
	step  int
	parts map[string][]byte
	waits map[uint32]int // parts that newcomers are still to be sent
	gone  bool           // it was there
	drop  *time.Timer
}

// take waits, for a while, for the state to be there.
func (s *offeredState) take(ctx context.Context, m *Member, q stateRequest) ([]byte, error) {
	m.await(ctx, stateWait, func() bool { return s.step >= q.Step && (s.parts != nil || s.gone) })
	b, ok := s.parts[q.Part]
	switch {
	case s.gone && s.step >= q.Step:
		return nil, fmt.Errorf("no state of %s here any more", m.named(q.Step))
	case s.step != q.Step || !ok:
		return nil, fmt.Errorf("no %q of %s here", q.Part, m.named(q.Step))
	}
	return b, nil
}

// stateWait is how long a newcomer waits for the state: the source may be in the
// middle of a step or of an evaluation.
const stateWait = time.Minute

// Offer puts the state before step n on the cache, in named parts, for those who
// join there. It stays until they have it, at most for stateKeep.
func (m *Member) Offer(n int, parts map[string][]byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := &m.states
	s.clear()
	s.step, s.parts, s.waits, s.gone = n, parts, map[uint32]int{}, false
	if p := m.plan; p != nil && p.Step == n {
		for newcomer, source := range p.Sources {
			if source == m.id {
				s.waits[newcomer] = len(parts)
			}
		}
	}
	s.drop = time.AfterFunc(stateKeep, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if s.step == n {
			s.clear()
		}
	})
	m.changed.Broadcast()
}

// clear empties the cache, with the mutex.
func (s *offeredState) clear() {
	if s.drop != nil {
		s.drop.Stop()
	}
	s.parts, s.gone = nil, true
}

// sentPart is a part on its way to a newcomer.
type sentPart struct {
	*bytes.Reader
	m    *Member
	step int
	to   uint32
}

// Close implements io.Closer: a state that everybody has is let go, as it is three
// times as large as the weights.
func (r *sentPart) Close() error {
	r.m.mu.Lock()
	defer r.m.mu.Unlock()
	s := &r.m.states
	if r.Len() > 0 || s.step != r.step || s.waits[r.to] == 0 {
		return nil
	}
	if s.waits[r.to]--; s.waits[r.to] == 0 {
		delete(s.waits, r.to)
		if len(s.waits) == 0 {
			s.clear()
		}
	}
	return nil
}

// stateKeep is how long an offered state is kept for those who do not come for it.
const stateKeep = 10 * time.Minute

// State fetches the run's state from a machine that has it: it calls open for
// each of the named parts and returns the step that comes next. holds is the step
// of this machine's own weights, which the run goes back to when no machine has later
// ones any more: then State returns it without having opened anything.
func (m *Member) State(ctx context.Context, holds int, parts []string,
	open func(part string) (io.WriteCloser, error)) (step int, err error) {
	for tries := (Attempts{}); ; {
		plan, err := m.source(ctx, holds)
		switch {
		case err != nil:
			return 0, err
		case plan == nil:
			return holds, nil
		}
		step, source := plan.Step, plan.Sources[m.id]
		there, end := m.during(ctx, func() bool { return !m.resync && m.plan.HasMember(source) })
		err = m.fetchState(there, source, step, parts, open)
		gone := there.Err() != nil
		if end(); err == nil {
			m.mu.Lock()
			m.applied, m.under = step, plan.Epoch
			clear(m.cache)
			m.mu.Unlock()
			return step, nil
		}
		if gone { // or the run has gone on without this machine: another is asked, at once
			continue
		}
		if text := fmt.Sprintf("the weights of %s from worker %d: %v", m.named(step), source, err); tries.News(text) {
			m.logf("%s; asking again", text)
		}
		if !tries.Again(ctx, m.opt.Patience) {
			return 0, fmt.Errorf("cluster: the weights of %s from worker %d: %w", m.named(step), source, err)
		}
	}
}

// source asks for a machine to fetch from, and returns the plan that names it; nil: there is
// none, and this machine goes on from its own weights. Steps that it knew of, and whose
// groups it was sent, are those of others until then: the run may have gone back.
func (m *Member) source(ctx context.Context, holds int) (*protocol.Plan, error) {
	defer m.endWith(ctx)()
	m.mu.Lock()
	m.resync, m.own, m.cur, m.applied, m.holds, m.under = false, false, nil, -1, holds, 0
	after := uint32(0) // plans from before the question do not count
	if m.plan != nil {
		after = m.plan.Epoch
	}
	clear(m.plans)
	clear(m.commits)
	m.inbox, m.inboxBytes = map[int]map[groupKey]*resolved{}, 0
	m.mu.Unlock()
	m.send(m.needState(holds))
	m.mu.Lock()
	defer m.mu.Unlock()
	for {
		if err := m.over(); err != nil {
			return nil, err
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if p := m.sourcePlan(after); p != nil {
			m.forget(p.Step)
			return p, nil
		}
		if m.own { // the coordinator gave up looking for another machine
			return nil, nil
		}
		m.resync = false // it asks for the state as it is
		m.changed.Wait()
	}
}

// sourcePlan is the latest plan after an epoch that names a machine with the state for this one, nil where
// none has come. Plans of later steps, which do not name it again, may have come since; called with
// the mutex.
func (m *Member) sourcePlan(after uint32) (latest *protocol.Plan) {
	for p := range maps.Values(m.plans) {
		if p.Epoch > after && p.Sources[m.id] != 0 && (latest == nil || p.Epoch > latest.Epoch) {
			latest = p
		}
	}
	if p := m.plan; p != nil && p.InitialSync && p.Epoch > after && p.Sources[m.id] != 0 && (latest == nil || p.Epoch > latest.Epoch) {
		latest = p
	}
	return latest
}

func (m *Member) fetchState(ctx context.Context, source uint32, step int, parts []string, open func(string) (io.WriteCloser, error)) error {
	p, err := m.peer(ctx, source)
	if err != nil {
		return err
	}
	c := p.Least()
	if c == nil {
		return transport.ErrClosed
	}
	for _, part := range parts {
		var w io.WriteCloser
		err := c.Fetch(ctx, stateRequest{Step: step, Part: part}, stateWait+5*time.Second, func(size int64) (io.Writer, error) {
			if most := m.shape.mostState(); size > most {
				return nil, fmt.Errorf("%w: worker %d sends %d bytes; the state of this model has %d at most", transport.ErrFrame, source,
					size, most)
			}
			var err error
			w, err = open(part)
			return w, err
		})
		if w != nil {
			if e := w.Close(); err == nil {
				err = e
			}
		}
		if err != nil {
			return fmt.Errorf("%s: %w", part, err)
		}
	}
	return nil
}

// The state before a step has at most so many bytes a value, several of float32, and
// so many besides.
const (
	stateValueBytes = 32
	stateOtherBytes = 64 << 20
)

// mostState bounds a part of the state: another machine must not fill the disk.
func (s Shape) mostState() int64 {
	return stateValueBytes*int64(protocol.Total(s.Groups)) + stateOtherBytes
}

// Compare tells the coordinator the hashes of the weights and moments before
// step n, by group.
func (m *Member) Compare(n int, groups []transport.Hash) {
	m.send(transport.Pack(protocol.MsgHashes, protocol.Hashes{Step: n, Groups: groups}))
}
