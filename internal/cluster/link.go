package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"concord/transport"
)

// reconnect looks for the coordinator until it is back.
func (m *Member) reconnect(why error) {
	began := time.Now()
	m.logf("the coordinator at %s is gone (%v): looking for it", m.opt.Coordinator, why)
	for time.Since(began) < m.opt.Patience && m.ctx.Err() == nil {
		w, err := m.dialCoordinator(m.ctx)
		if err == nil {
			m.logf("the coordinator is back after %.1f s", time.Since(began).Seconds())
			m.returned(w)
			return
		}
		if errors.Is(err, transport.ErrProof) || errors.Is(err, ErrBanned) {
			m.giveUp(err)
			return
		}
		select {
		case <-m.ctx.Done():
		case <-time.After(heartbeat):
		}
	}
	m.giveUp(fmt.Errorf("%w: not back after %v", ErrLost, m.opt.Patience))
}

// returned takes up the thread: a step that was committed while the coordinator
// was away, and where this machine stands.
func (m *Member) returned(w Welcome) {
	m.mu.Lock()
	if w.Last != nil && w.Last.Step >= m.applied {
		m.commits[w.Last.Step] = w.Last
	}
	step, holds := m.applied, m.holds
	finishing := w.Last != nil && m.cur != nil && m.cur.n == w.Last.Step
	m.changed.Broadcast()
	m.mu.Unlock()
	if finishing && m.finishes(step) {
		return // and Begin says where it stands
	}
	if step >= 0 {
		m.send(m.ready(step))
	} else {
		m.send(m.needState(holds))
	}
}

// finishes waits for the committed step to be applied: all of its buckets may be
// here, or on their way.
func (m *Member) finishes(step int) bool {
	limit := time.Now().Add(5 * time.Second)
	timer := time.AfterFunc(5*time.Second, func() { m.mu.Lock(); m.changed.Broadcast(); m.mu.Unlock() })
	defer timer.Stop()
	m.mu.Lock()
	defer m.mu.Unlock()
	for m.applied == step && !m.resync && m.over() == nil && time.Now().Before(limit) {
		m.changed.Wait()
	}
	return m.applied > step
}

func (m *Member) giveUp(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lost = err
	m.changed.Broadcast()
}

// coordinatorLink hears the coordinator.
type coordinatorLink Member

func (l *coordinatorLink) Connected(*transport.Conn, json.RawMessage) (any, error) {
	return nil, errors.New("not a service")
}

func (l *coordinatorLink) Message(c *transport.Conn, msg transport.Message) {
	m := (*Member)(l)
	m.mu.Lock()
	defer m.mu.Unlock()
	defer m.changed.Broadcast()
	m.heard = time.Now()
	switch msg.Type {
	case msgPlan:
		p := new(Plan)
		if err := msg.Unpack(p); err != nil || p.check(m.shape) != nil {
			m.logf("a plan that cannot be: %v", errors.Join(err, p.check(m.shape)))
			return
		}
		for i := range p.Members {
			p.Members[i].Name = plain(p.Members[i].Name)
		}
		for w, why := range p.Without {
			p.Without[w] = plain(why)
		}
		m.take(p)
	case msgCommit:
		k := new(Commit)
		if msg.Unpack(k) == nil && k.Step >= m.applied {
			m.commits[k.Step] = k
		}
	case msgResync:
		m.resync = true
	case msgAsk:
		answer := transport.Pack(msgHeartbeat, m.progress())
		m.spawn(func() { c.Send(answer) })
	case msgPoke:
		var p Poke
		if msg.Unpack(&p) == nil {
			m.startPoke(p)
		}
	case msgReach:
		var r Reach
		if msg.Unpack(&r) == nil {
			m.spawn(func() { c.Send(transport.Pack(msgReached, Reached{Worker: r.Worker, OK: m.reaches(r.Worker, r.Addr)})) })
		}
	case msgEnd:
		e := new(End)
		msg.Unpack(e)
		e.Text = lines(e.Text)
		m.ended = e
	}
}

// check refuses plans that do not fit the model.
func (p *Plan) check(s Shape) error {
	if s.Units == nil {
		return nil // kept until the model is known; checked again then
	}
	if len(p.Owners) != len(s.Units) || len(p.Since) != len(s.Units) || p.Step < 0 {
		return fmt.Errorf("owners of %d units; the model has %d: the machines do not run the same configuration or version", len(p.Owners),
			len(s.Units))
	}
	if s.Parameters && (len(p.Backups) != len(s.Units) || len(p.Holders) != len(s.Units)) {
		return fmt.Errorf("backups of %d units, holders of %d; the model has %d", len(p.Backups), len(p.Holders), len(s.Units))
	}
	return nil
}

// take makes p the plan of its step, unless a later one is known: that is the
// fence against a coordinator that does not know that it is none any more.
func (m *Member) take(p *Plan) {
	if m.plan != nil && p.Epoch < m.plan.Epoch {
		return
	}
	m.dropMoved(m.plan, p)
	m.plan = p
	if p.InitialSync {
		m.giveState(p)
		return
	}
	if m.commits[p.Step] != nil && m.plans[p.Step] != nil {
		return // the step is final under the plan that is known
	}
	m.plans[p.Step] = p
	if s := m.cur; s != nil && s.n == p.Step {
		s.replan(p)
	} else if s != nil && s.n < p.Step && s.orphaned(p) {
		m.logf("%s was committed, and who had the rest of it for this machine is gone: fetching the weights", m.named(s.n+1))
		m.resync = true
	}
	for _, owner := range p.Owners {
		if owner != m.id && len(p.Members) > 1 {
			m.spawn(func() { m.peer(m.ctx, owner) }) // what cannot be dialled receives over this
		}
	}
}

// giveState has this machine, where others are to fetch the state before the step from
// it, go back to the step's beginning if it is in its middle: there it offers the state,
// and waits for the plan that comes.
func (m *Member) giveState(p *Plan) {
	if s := m.cur; s != nil && s.n == p.Step && p.source(m.id) {
		s.redo = true
		delete(m.plans, p.Step)
	}
}

// orphaned says that the step, which is committed, lacks something here whose
// owner is not a member of the later plan p any more.
func (s *Step) orphaned(p *Plan) bool {
	for u, owner := range s.plan.Owners {
		if !s.here(u) && !slices.ContainsFunc(p.Members, func(a Address) bool { return a.Worker == owner }) {
			return true
		}
	}
	return false
}

// here says that this machine has what the step makes of a unit.
func (s *Step) here(u int) bool {
	_, resolved := s.have[u]
	_, updated := s.updated[u]
	inboxBytes := s.m.inbox[s.n][unitKey{transport.Gradient, u}]
	return (resolved || inboxBytes != nil && inboxBytes.epoch == s.plan.Since[u]) && (updated || !s.m.shape.Parameters)
}

// lasts says that the run has ended with this step, which is committed and all here:
// it is still to be applied.
func (s *Step) lasts() bool {
	m := s.m
	if m.ended == nil || m.lost != nil || m.closed || m.commits[s.n] == nil {
		return false
	}
	for u := range s.plan.Owners {
		if !s.here(u) {
			return false
		}
	}
	return true
}

func (l *coordinatorLink) Offer(*transport.Conn, transport.Header) (transport.Verdict, string) {
	return transport.Refuse, "a coordinator sends no buckets"
}

func (l *coordinatorLink) Deliver(*transport.Conn, transport.Header, []byte, []byte) error {
	return errors.New("a coordinator sends no buckets")
}

func (l *coordinatorLink) Disconnected(c *transport.Conn, err error) {
	m := (*Member)(l)
	m.mu.Lock()
	mine := m.coord == c
	if mine {
		m.coord = nil
	}
	ended := m.over() != nil
	m.mu.Unlock()
	if mine && !ended {
		m.spawn(func() { m.reconnect(err) })
	}
}

func (l *coordinatorLink) Fetch(*transport.Conn, json.RawMessage) (int64, io.ReadCloser, error) {
	return 0, nil, errors.New("nothing to fetch here")
}

// pingService answers a coordinator that wants to know whether this machine can be
// dialled.
type pingService struct{}

func (pingService) Connected(*transport.Conn, json.RawMessage) (any, error) { return nil, nil }
func (pingService) Message(c *transport.Conn, _ transport.Message)          { c.Close("nothing to say") }
func (pingService) Disconnected(*transport.Conn, error)                     {}

func (pingService) Offer(*transport.Conn, transport.Header) (transport.Verdict, string) {
	return transport.Refuse, "this is only to say that it is there"
}

func (pingService) Deliver(*transport.Conn, transport.Header, []byte, []byte) error {
	return errors.New("this is only to say that it is there")
}

func (pingService) Fetch(*transport.Conn, json.RawMessage) (int64, io.ReadCloser, error) {
	return 0, nil, errors.New("nothing to fetch here")
}
