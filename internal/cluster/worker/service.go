package worker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"concord/internal/cluster/protocol"
	"concord/transport"
)

// retry is how long to wait before a transfer is tried again.
const retry = 200 * time.Millisecond

// inboxLimit bounds the resolved buckets that wait for this machine to catch up.
const inboxLimit = 4 << 30

// transfer sends to a worker over any connection to it.
func (m *Member) transfer(ctx context.Context, worker uint32, t transport.Outgoing) error {
	p, err := m.peer(ctx, worker)
	if err != nil {
		return err
	}
	return p.Transfer(ctx, t)
}

// refused says that trying again is pointless, and tells the coordinator.
func (m *Member) refused(err error, what string) bool {
	if !errors.Is(err, transport.ErrRefused) {
		return false
	}
	m.Report(protocol.Problem{Text: what + ": " + err.Error()})
	return true
}

// pause ends a push, or waits before it is tried again.
func (s *Step) pause(err error, what string) (stop bool) {
	if err == nil {
		return false // and the loop sees that nothing is left to do
	}
	if s.m.refused(err, what) {
		return true
	}
	select {
	case <-s.m.ctx.Done():
		return true
	case <-time.After(retry):
		return false
	}
}

// segment names a gradient row.
func (m *Member) segment(row int) string {
	if row >= 0 && row < len(m.shape.Names) {
		return m.shape.Names[row]
	}
	return fmt.Sprintf("row %d", row)
}

// workerService is a Member as other workers see it, on connections of either side.
type workerService Member

func (w *workerService) Connected(c *transport.Conn, _ json.RawMessage) (any, error) {
	if (*Member)(w).Revoked(c.Peer.Worker) {
		return nil, errors.New(protocol.RevokedText)
	}
	(*Member)(w).addConn(c)
	return nil, nil
}

func (w *workerService) Disconnected(c *transport.Conn, _ error) {
	m := (*Member)(w)
	m.mu.Lock()
	defer m.mu.Unlock()
	if p := m.peers[c.Peer.Worker]; p != nil && p.Remove(c) == 0 {
		delete(m.peers, c.Peer.Worker)
	}
}

func (w *workerService) Message(c *transport.Conn, msg transport.Message) {
	c.Close(fmt.Sprintf("message %d is not for a worker", msg.Type))
}

// Offer implements transport.Handler: every bound is checked before a byte of
// the body is allocated.
func (w *workerService) Offer(c *transport.Conn, h transport.Header) (transport.Verdict, string) {
	m := (*Member)(w)
	m.mu.Lock()
	defer m.mu.Unlock()
	if v, reason := m.fits(h); v != transport.Take {
		return v, reason
	}
	switch h.Kind {
	case transport.Rows:
		return m.offerRows(h)
	case transport.Gradient, transport.Parameters:
		return m.offerResolved(h)
	case transport.Gram, transport.Solution:
		return m.offerTogether(h)
	}
	return transport.Refuse, fmt.Sprintf("kind %d is not taken here", h.Kind)
}

// fits checks a header against the model.
func (m *Member) fits(h transport.Header) (transport.Verdict, string) {
	switch {
	case m.shape.Groups == nil:
		return transport.Later, "this machine is still joining"
	case int(h.Bucket) >= len(m.shape.Groups):
		return transport.Refuse, fmt.Sprintf("group %d of %d", h.Bucket, len(m.shape.Groups))
	case h.Kind == transport.Gram || h.Kind == transport.Solution: // has no values
	case h.Elements != uint64(m.shape.Groups[h.Bucket]) && !(m.shape.Parameters && h.Kind == transport.Gradient && h.Elements == 0):
		return transport.Refuse, fmt.Sprintf("group %d has %d values, not %d", h.Bucket, m.shape.Groups[h.Bucket], h.Elements)
	case int(h.Row) >= max(1, m.shape.Segments):
		return transport.Refuse, fmt.Sprintf("row %d of %d", h.Row, m.shape.Segments)
	case h.Kind == transport.Parameters && (!m.shape.Parameters || h.Codec != transport.F32):
		return transport.Refuse, fmt.Sprintf("weights as %s are not taken here", h.Codec)
	case h.Kind != transport.Parameters && h.Codec != m.shape.Codec:
		return transport.Refuse, fmt.Sprintf("wire format %s; the run's is %s", h.Codec, m.shape.Codec)
	case h.Step > 1<<40:
		return transport.Refuse, m.named(int(h.Step))
	}
	return transport.Take, ""
}

// offerRows decides on rows for a group of this machine.
func (m *Member) offerRows(h transport.Header) (transport.Verdict, string) {
	s := m.awaitStep(int(h.Step), h.Epoch)
	switch {
	case int(h.Step) < m.applied, s == nil && m.commits[int(h.Step)] != nil:
		return transport.Have, "" // the step is over
	case s == nil:
		return transport.Later, fmt.Sprintf("%s is not going on here", m.named(int(h.Step)+1))
	case h.Epoch < s.plan.Generation:
		return transport.Have, "" // of shares that are no more
	}
	o := s.owned[int(h.Bucket)]
	if o == nil {
		return transport.Later, fmt.Sprintf("worker %d does not own group %d", m.id, h.Bucket) // the sender's plan is newer, or older
	}
	c := contribution{h.Sender, int(h.Row)}
	if old, counted := o.counted[c]; counted {
		if old.norm2 != h.Norm2 || uint64(old.tokens) != h.Tokens {
			m.accuse(protocol.ProblemContradiction, h, fmt.Sprintf("%s: worker %d sent %s of group %d twice, with |g|² = %g and %g",
				m.named(int(h.Step)+1), h.Sender, m.segment(c.row), h.Bucket, old.norm2, h.Norm2))
			return transport.Refuse, "it was counted with other values"
		}
		return transport.Have, ""
	}
	tokens, wanted := o.expect[c]
	switch {
	case s.plan.ShareOf(h.Sender).Size() == 0:
		return transport.Have, "" // the step goes on without its rows
	case !wanted && s.work.PartTokens(s.plan.ShareOf(h.Sender))[c.row] == 0:
		return transport.Refuse, fmt.Sprintf("%s is not in the share of worker %d", m.segment(c.row), h.Sender)
	case !wanted:
		return transport.Have, ""
	case uint64(tokens) != h.Tokens:
		return transport.Refuse, fmt.Sprintf("%s has %d tokens in the share of worker %d, not %d", m.segment(c.row), tokens, h.Sender,
			h.Tokens)
	}
	if err := protocol.SummableLoss(h.Loss, tokens); err != nil {
		m.accuse(protocol.ProblemValues, h, fmt.Sprintf("%s: %s of worker %d: %v", m.named(int(h.Step)+1), m.segment(c.row), h.Sender, err))
		return transport.Refuse, err.Error()
	}
	return transport.Take, ""
}

// accuse reports the sender of rows of the present step; called with the mutex.
func (m *Member) accuse(kind protocol.ProblemKind, h transport.Header, text string) {
	p := protocol.Problem{Kind: kind, Worker: h.Sender, Text: text, Step: int(h.Step), Generation: m.cur.plan.Generation,
		Group: int(h.Bucket),
		Row:   int(h.Row)}
	m.spawn(func() { m.Report(p) })
}

// awaitStep waits, for a short time, for the plan that a sender already has.
func (m *Member) awaitStep(step int, epoch uint32) *Step {
	known := func() bool {
		return m.cur != nil && m.cur.n == step && m.cur.plan.Epoch >= epoch && !m.cur.redo
	}
	m.await(m.ctx, planWait, func() bool { return known() || step < m.applied })
	if !known() {
		return nil
	}
	return m.cur
}

// planWait is how long a transfer waits for a plan that its sender already has.
const planWait = 5 * time.Second

// offerResolved decides on a resolved group, or on its weights: of the present
// step, or of a later one while this machine catches up.
func (m *Member) offerResolved(h transport.Header) (transport.Verdict, string) {
	step, group := int(h.Step), int(h.Bucket)
	p := m.awaitPlan(step, h.Epoch)
	switch {
	case m.applied >= 0 && step < m.applied:
		return transport.Have, ""
	case p == nil:
		return transport.Later, fmt.Sprintf("no plan of %s", m.named(step+1))
	case h.Epoch < p.Since[group]:
		return transport.Have, "" // of an owner that was replaced
	case h.Sender != p.Owners[group] || h.Epoch > p.Since[group]:
		return transport.Refuse, fmt.Sprintf("group %d belongs to worker %d", group, p.Owners[group])
	case h.Elements == 0 && p.Backups[group] == m.id:
		return transport.Refuse, fmt.Sprintf("group %d without values for its backup", group)
	}
	if r := m.inbox[step][groupKey{h.Kind, group}]; r != nil && r.epoch == h.Epoch {
		return transport.Have, ""
	}
	if m.inboxBytes+int64(h.Payload) > inboxLimit {
		m.resync = true
		m.changed.Broadcast()
		return transport.Refuse, "too far behind"
	}
	return transport.Take, ""
}

// awaitPlan waits, for a short time, for the plan that a sender already has.
func (m *Member) awaitPlan(step int, epoch uint32) *protocol.Plan {
	known := func() bool { p := m.plans[step]; return p != nil && p.Epoch >= epoch && m.shape.fits(p) == nil }
	m.await(m.ctx, planWait, func() bool { return known() || step < m.applied })
	if !known() {
		return nil
	}
	return m.plans[step]
}

// Deliver implements transport.Handler.
func (w *workerService) Deliver(c *transport.Conn, h transport.Header, meta, payload []byte) error {
	m := (*Member)(w)
	if h.Kind == transport.Gram || h.Kind == transport.Solution {
		if err := m.fitsTogether(h, meta); err != nil {
			m.spoilt(h, err)
			return err
		}
		m.deliverTogether(h, meta)
		return nil
	}
	if h.Kind != transport.Rows {
		m.mu.Lock()
		shape, tokens := m.shape, m.tokensOf(int(h.Step))
		m.mu.Unlock()
		if err := shape.usable(h, meta, payload, tokens); err != nil {
			m.spoilt(h, err)
			return err
		}
		r := &resolved{epoch: h.Epoch, meta: meta, payload: payload, hash: shape.hash(h.Kind, meta, payload), sender: h.Sender}
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.box(int(h.Step), groupKey{h.Kind, int(h.Bucket)}, r)
	}
	x := make([]float32, h.Elements)
	if err := h.Codec.Decode(x, payload); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.cur
	if s == nil || s.n != int(h.Step) || s.redo || s.owned[int(h.Bucket)] == nil || h.Epoch < s.plan.Generation {
		return nil // the step has ended meanwhile
	}
	losses, err := s.lossesIn(meta)
	if err != nil {
		return err
	}
	err = s.count(int(h.Bucket), contribution{h.Sender, int(h.Row)}, outRow{group: int(h.Bucket), row: int(h.Row), values: x,
		tokens: int(h.Tokens), loss: h.Loss, losses: losses, norm2: h.Norm2})
	if err != nil {
		m.accuse(protocol.ProblemValues, h, fmt.Sprintf("%s: %v", m.named(int(h.Step)+1), err))
	}
	return err
}

func (m *Member) box(step int, at groupKey, r *resolved) error {
	if step < m.applied {
		return nil
	}
	if m.inbox[step] == nil {
		m.inbox[step] = map[groupKey]*resolved{}
	}
	if old := m.inbox[step][at]; old != nil {
		if old.epoch > r.epoch {
			return nil
		}
		m.inboxBytes -= int64(len(old.payload))
	}
	m.inbox[step][at] = r
	m.inboxBytes += int64(len(r.payload))
	if m.cur != nil && m.cur.n == step {
		m.cur.arrived(at.group)
		m.cur.landed(at.group)
	}
	return nil
}

// Fetch implements transport.Handler: the weights as they were before a step.
func (w *workerService) Fetch(c *transport.Conn, request json.RawMessage) (int64, io.ReadCloser, error) {
	m := (*Member)(w)
	if m.Revoked(c.Peer.Worker) {
		return 0, nil, errors.New(protocol.RevokedText)
	}
	var q stateRequest
	if err := json.Unmarshal(request, &q); err != nil {
		return 0, nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if q.Group != nil {
		b, err := m.takeMoments(c.Context(), q)
		return int64(len(b)), io.NopCloser(bytes.NewReader(b)), err
	}
	b, err := m.states.take(c.Context(), m, q)
	return int64(len(b)), &sentPart{bytes.NewReader(b), m, q.Step, c.Peer.Worker}, err
}
