package worker

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"concord/internal/cluster/protocol"
	"concord/transport"
)

// lasting is how long a connection to the coordinator has to be there to count as one.
const lasting = 3 * time.Second

// reconnect looks for the coordinator until it is back. Before another dial of one that takes connections and ends
// them at once it pauses; it gives up where that goes on for the run's patience.
func (m *Member) reconnect(why error) {
	m.mu.Lock()
	if time.Since(m.since) >= min(lasting, m.opt.HeartbeatTimeout) {
		m.redials = Attempts{}
	}
	m.mu.Unlock()
	began := time.Now()
	gone := fmt.Sprintf("the coordinator at %s is gone (%v): looking for it", m.opt.Coordinator, why)
	news := m.redials.News(gone)
	if news {
		m.logf("%s", gone)
	}
	if !m.pause(fmt.Errorf("%w: %w", errAtOnce, why)) {
		return
	}
	for time.Since(began) < m.opt.Patience && m.ctx.Err() == nil {
		w, err := m.dialCoordinator(m.ctx)
		switch {
		case err == nil:
			if news {
				m.logf("the coordinator is back after %.1f s", time.Since(began).Seconds())
			}
			m.returned(w)
			return
		case errors.Is(err, transport.ErrProof) || errors.Is(err, ErrBanned):
			m.giveUp(err)
			return
		case errors.Is(err, errAtOnce):
			if !m.pause(err) {
				return
			}
			continue
		}
		m.redials = Attempts{} // it is away, and the patience of this loop counts
		if !news {
			m.logf("%s", gone)
		}
		news = true
		select {
		case <-m.ctx.Done():
		case <-time.After(protocol.Heartbeat):
		}
	}
	m.giveUp(fmt.Errorf("%w: not back after %v", ErrLost, m.opt.Patience))
}

// pause waits before another dial of a coordinator that has ended a connection at once; false: that has
// gone on for the run's patience, and the member gives up.
func (m *Member) pause(why error) bool {
	if m.redials.Again(m.ctx, m.opt.Patience) {
		return true
	}
	m.giveUp(fmt.Errorf("%w: for %v %w", ErrLost, m.opt.Patience, why))
	return false
}

// returned takes up the thread: a step that was committed while the coordinator
// was away, and where this machine stands.
func (m *Member) returned(w protocol.Welcome) {
	m.mu.Lock()
	if w.Last != nil && w.Last.Step >= m.applied {
		m.commits[w.Last.Step] = w.Last
	}
	step, holds, asks := m.applied, m.holds, m.resync && m.applied >= 0
	finishing := w.Last != nil && m.cur != nil && m.cur.n == w.Last.Step
	m.changed.Broadcast()
	m.mu.Unlock()
	if asks || finishing && m.finishes(step) {
		return // and State asks for the weights, or Begin says where it stands
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
	m.mu.Lock()
	defer m.mu.Unlock()
	m.await(m.ctx, 5*time.Second, func() bool { return m.applied != step || m.resync })
	return m.applied > step
}

func (m *Member) giveUp(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lost = err
	m.changed.Broadcast()
}

// sendHeartbeats says that this side is there, and finds out that the other is not.
func (m *Member) sendHeartbeats() {
	t := time.NewTicker(protocol.Heartbeat)
	defer t.Stop()
	for {
		select {
		case <-m.ctx.Done():
			return
		case <-t.C:
		}
		m.mu.Lock()
		c, silent, p := m.coord, m.silence.Look(time.Now()) > m.opt.HeartbeatTimeout, m.progress()
		m.mu.Unlock()
		switch {
		case c == nil:
		case silent:
			c.Close("not heard of")
		default:
			c.Send(transport.Pack(protocol.MsgHeartbeat, p))
			m.tellPaths(c)
		}
	}
}

// coordinatorLink hears the coordinator. Its fields are guarded by the member's mutex.
type coordinatorLink struct {
	protocol.Nothing
	m     *Member
	noted bool  // it is or was the member's
	over  error // why the connection has ended
}

// errAtOnce says that a connection had ended before it was noted.
var errAtOnce = errors.New("it took the connection and ended it at once")

// note makes c the member's connection to the coordinator. One that has ended already is errAtOnce, or
// nothing where its last word has ended the run.
func (l *coordinatorLink) note(c *transport.Conn) error {
	m := l.m
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case l.over == nil:
		l.noted, m.coord, m.since = true, c, time.Now()
		m.silence.Heard(time.Now())
		m.changed.Broadcast()
	case m.ended == nil:
		return fmt.Errorf("%w: %w", errAtOnce, l.over)
	}
	return nil
}

func (l *coordinatorLink) Message(c *transport.Conn, msg transport.Message) {
	m := l.m
	m.mu.Lock()
	defer m.mu.Unlock()
	defer m.changed.Broadcast()
	m.silence.Heard(time.Now())
	switch msg.Type {
	case protocol.MsgPlan:
		m.takePlan(msg)
	case protocol.MsgCommit:
		k := new(protocol.Commit)
		if msg.Unpack(k) == nil && k.Step >= m.applied {
			m.commits[k.Step] = k
		}
	case protocol.MsgResync:
		var r protocol.Ready
		if msg.Unpack(&r) == nil {
			m.resync, m.own = m.resync || r.State, m.own || !r.State
		}
	case protocol.MsgAsk:
		answer := transport.Pack(protocol.MsgHeartbeat, m.progress())
		m.spawn(func() { c.Send(answer) })
	case protocol.MsgPoke:
		var p protocol.Poke
		if msg.Unpack(&p) == nil {
			m.startPoke(p)
		}
	case protocol.MsgRelay: // the connection that there may be is to an earlier coordinator's
		m.spawn(m.renewRelay)
	case protocol.MsgReach:
		var r protocol.Reach
		if msg.Unpack(&r) == nil {
			m.spawn(func() {
				c.Send(transport.Pack(protocol.MsgReached, protocol.Reached{Worker: r.Worker, OK: m.reaches(r.Worker, r.Addr)}))
			})
		}
	case protocol.MsgEnd:
		e := new(protocol.End)
		msg.Unpack(e)
		m.endsAs(e)
	}
}

// endsAs takes the coordinator's word that the run has ended; with the mutex.
func (m *Member) endsAs(e *protocol.End) {
	e.Text = protocol.Lines(e.Text)
	m.ended = e
}

// endsWith is endsAs of the last word with which the coordinator has closed the connection; with
// the mutex. One that it does not understand is none.
func (m *Member) endsWith(word string) {
	e := new(protocol.End)
	if json.Unmarshal([]byte(word), e) == nil {
		m.endsAs(e)
		m.changed.Broadcast()
	}
}

// takePlan reads a plan, whose text may be shown, and makes it the one of its step.
func (m *Member) takePlan(msg transport.Message) {
	p := new(protocol.Plan)
	if err := msg.Unpack(p); err != nil || m.shape.fits(p) != nil {
		m.logf("a plan that cannot be: %v", errors.Join(err, m.shape.fits(p)))
		return
	}
	for i := range p.Members {
		p.Members[i].Name = protocol.Plain(p.Members[i].Name)
	}
	for w, why := range p.Without {
		p.Without[w] = protocol.Plain(why)
	}
	m.take(p)
}

// renewRelay connects to the relay of the coordinator that there is now.
func (m *Member) renewRelay() {
	if err := m.useRelay(m.ctx, true); err != nil && m.ctx.Err() == nil {
		m.logf("cannot connect to the relay on machine 1: %v", err)
	}
}

// take makes p the plan of its step, unless a later one is known: that is the
// fence against a coordinator that does not know that it is none any more.
func (m *Member) take(p *protocol.Plan) {
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
	m.dialOut(p)
}

// dialOut connects to those that this machine exchanges buckets with. A machine that cannot
// be dialled receives over these connections: it dials, where it owns groups, everybody who can
// be dialled; called with the mutex.
func (m *Member) dialOut(p *protocol.Plan) {
	far := m.addressIn(p, m.id) == "" && slices.Contains(p.Owners, m.id)
	for _, a := range p.Members {
		if a.Worker != m.id && (slices.Contains(p.Owners, a.Worker) || far && a.Addr != "") {
			m.spawn(func() { m.peer(m.ctx, a.Worker) })
		}
	}
}

// giveState has this machine, where others are to fetch the state before the step from
// it, go back to the step's beginning if it is in its middle: there it offers the state,
// and waits for the plan that comes.
func (m *Member) giveState(p *protocol.Plan) {
	if s := m.cur; s != nil && s.n == p.Step && p.IsSource(m.id) {
		s.redo = true
		delete(m.plans, p.Step)
	}
}

// orphaned says that the step, which is committed, lacks something here whose
// owner is not a member of the later plan p any more.
func (s *Step) orphaned(p *protocol.Plan) bool {
	for u, owner := range s.plan.Owners {
		if !s.here(u) && !slices.ContainsFunc(p.Members, func(a protocol.Address) bool { return a.Worker == owner }) {
			return true
		}
	}
	return false
}

// here says that this machine has the step's result for a group.
func (s *Step) here(u int) bool {
	_, resolved := s.have[u]
	_, updated := s.updated[u]
	inboxBytes := s.m.inbox[s.n][groupKey{transport.Gradient, u}]
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

func (l *coordinatorLink) Disconnected(c *transport.Conn, err error) {
	m := l.m
	m.mu.Lock()
	mine := l.noted && m.coord == c
	if l.over = err; err == nil {
		l.over = transport.ErrClosed
	}
	if mine {
		m.coord = nil
	}
	if last := (*transport.LastWord)(nil); (mine || !l.noted) && errors.As(err, &last) && m.ended == nil {
		m.endsWith(last.Word)
	}
	ended := m.over() != nil
	m.mu.Unlock()
	if mine && !ended {
		m.spawn(func() { m.reconnect(err) })
	}
}

// named is the same on a worker.
func (m *Member) named(step int) string { return protocol.StepNamed(m.shape.StepName, step) }

// fits refuses plans that do not fit the model.
func (s Shape) fits(p *protocol.Plan) error {
	if s.Groups == nil {
		return nil // kept until the model is known; checked again then
	}
	return p.Valid(len(s.Groups), s.Leads, s.Parameters)
}
