package worker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"concord/internal/cluster/protocol"
	"concord/transport"
)

// moments is the optimizer's state of a group before a step, opaque here: its
// form is the trainer's. No data is all zeros.
type moments struct {
	step  int
	data  []byte
	owner bool // as the group's owner computed it; else as its backup did
}

// Hold makes data, by group, all that this machine has of the optimizer's state
// before step n; nil is zeros. It is for a machine that has its state from
// elsewhere than the run: the first one, or one that goes on from a checkpoint.
func (m *Member) Hold(n int, data map[int][]byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.cache)
	for u, x := range data {
		m.cache[u] = moments{step: n, data: x, owner: true}
	}
}

// ready is the message that this machine waits for the plan of step n.
func (m *Member) ready(n int) transport.Message {
	m.mu.Lock()
	defer m.mu.Unlock()
	return transport.Pack(protocol.MsgReady, m.stands(n))
}

// needState is the message that it wants the state of another machine, while its own is
// of the step before n.
func (m *Member) needState(n int) transport.Message {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.stands(n)
	r.State, r.Saved = true, false
	return transport.Pack(protocol.MsgReady, r)
}

// stands describes the state of this machine, with the mutex.
func (m *Member) stands(n int) protocol.Ready {
	r := protocol.Ready{Step: n, Device: m.shape.Device, Saved: n > 0 && n == m.saved, Trained: m.trained, Epoch: m.under}
	if m.shape.Parameters {
		var b strings.Builder
		for u := range m.shape.Groups {
			x, ok := m.cache[u]
			switch {
			case !ok || x.step != n:
				b.WriteByte(protocol.HoldsNone)
			case x.owner:
				b.WriteByte(protocol.HoldsOwner)
			default:
				b.WriteByte(protocol.HoldsBackup)
			}
		}
		r.Moments = b.String()
	}
	return r
}

// missingMoments lists the groups whose moments this machine needs for a plan and has
// not; called with the mutex.
func (m *Member) missingMoments(p *protocol.Plan) (groups []int) {
	if !m.shape.Parameters || m.commits[p.Step] != nil {
		return nil
	}
	for u := range p.Owners {
		if x, ok := m.cache[u]; (p.Owners[u] == m.id || p.Backups[u] == m.id) && (!ok || x.step != p.Step) {
			groups = append(groups, u)
		}
	}
	return groups
}

// collect fetches the moments of groups from those who hold them; called with the
// mutex, which it gives back meanwhile. Where it does not succeed the caller looks
// whether there is a later plan. A holder that is gone answers nothing for long: the
// question ends with the plan that named it.
func (m *Member) collect(ctx context.Context, p *protocol.Plan, groups []int, tries *Attempts) error {
	m.mu.Unlock()
	defer m.mu.Lock()
	ctx, end := m.during(ctx, func() bool { return m.plans[p.Step] == p && m.commits[p.Step] == nil && !m.resync })
	defer end()
	for _, u := range groups {
		data, err := m.fetchMoments(ctx, p.Holders[u], p.Step, u)
		if err == nil {
			m.mu.Lock()
			m.cache[u] = moments{step: p.Step, data: data, owner: p.Owners[u] == m.id}
			m.mu.Unlock()
			continue
		}
		if ctx.Err() != nil {
			return nil
		}
		if text := fmt.Sprintf("%s: the optimizer's state of group %d from worker %d: %v", m.named(p.Step+1), u, p.Holders[u],
			err); tries.News(text) {
			m.logf("%s; asking again", text)
		}
		if !tries.Again(ctx, m.opt.Patience) && ctx.Err() == nil {
			return fmt.Errorf("cluster: the optimizer's state of group %d from worker %d: %w", u, p.Holders[u], err)
		}
		return nil
	}
	return nil
}

// fetchMoments asks a worker for a group's moments before a step.
func (m *Member) fetchMoments(ctx context.Context, holder uint32, step, group int) ([]byte, error) {
	p, err := m.peer(ctx, holder)
	if err != nil {
		return nil, err
	}
	c := p.Least()
	if c == nil {
		return nil, transport.ErrClosed
	}
	var b bytes.Buffer
	want := m.shape.Moments[group]
	err = c.Fetch(ctx, stateRequest{Step: step, Group: &group}, stateWait+5*time.Second, func(size int64) (io.Writer, error) {
		if size != 0 && size != want {
			return nil, fmt.Errorf("%d bytes, not %d", size, want)
		}
		b.Grow(int(size))
		return &b, nil
	})
	return b.Bytes(), err
}

// takeMoments serves them, called with the mutex: it waits, for a while, for the
// step before to be applied here.
func (m *Member) takeMoments(ctx context.Context, q stateRequest) ([]byte, error) {
	m.await(ctx, stateWait, func() bool { x, ok := m.cache[*q.Group]; return !ok || x.step >= q.Step })
	if x, ok := m.cache[*q.Group]; ok && x.step == q.Step {
		return x.data, nil
	}
	return nil, fmt.Errorf("no moments of group %d before %s here", *q.Group, m.named(q.Step+1))
}

// Moments returns a group's moments before step n, the next one, from a machine
// that has them: for a checkpoint. Nil is zeros.
func (m *Member) Moments(ctx context.Context, n, group int) ([]byte, error) {
	m.mu.Lock()
	x, ok := m.cache[group]
	p := m.plan
	m.mu.Unlock()
	if ok && x.step == n {
		return x.data, nil
	}
	if p == nil {
		return nil, fmt.Errorf("cluster: nobody is known to have the optimizer's state of group %d", group)
	}
	holders := []uint32{p.Holders[group]}
	if p.Step < n { // those who computed them
		holders = []uint32{p.Owners[group], p.Backups[group]}
	}
	var errs []error
	for _, w := range holders {
		if w == 0 || w == m.id {
			continue
		}
		data, err := m.fetchMoments(ctx, w, n, group)
		if err == nil {
			return data, nil
		}
		errs = append(errs, fmt.Errorf("from worker %d: %w", w, err))
	}
	return nil, fmt.Errorf("cluster: the optimizer's state of group %d: %w", group, errors.Join(errs...))
}
