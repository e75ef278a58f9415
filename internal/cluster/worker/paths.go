package worker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"concord/internal/cluster/protocol"
	"concord/transport"
)

// How a worker reaches another: it dials it where that has an address, waits to be dialled
// where only this machine has one, and else, or where that takes too long, goes through the
// relay. A relayed worker is tried directly again, later and later.

const (
	relayAfter  = 1500 * time.Millisecond // of dialling: then the relay is tried beside it
	inboundWait = 2 * time.Second         // for a machine that cannot be dialled to dial this one
	againFirst  = time.Minute             // before a relayed pair is tried directly again
	againMost   = 16 * time.Minute
)

// attempt is when a worker is to be dialled directly again.
type attempt struct {
	next time.Time
	wait time.Duration
}

// ways are a Member's memory of it.
type ways struct {
	again    map[uint32]attempt // by worker
	relaying chan struct{}      // holds a token while one connects to the relay
	told     map[uint32]protocol.Path
	toldTo   *transport.Conn // the coordinator that has heard it
}

func newWays() ways { return ways{again: map[uint32]attempt{}, relaying: make(chan struct{}, 1)} }

// connect makes a connection to a worker, the best that is to be had soon.
func (m *Member) connect(ctx context.Context, worker uint32, addr string) (*transport.Peer, error) {
	direct := m.tryDirect(ctx, worker, addr)
	err := m.outcome(ctx, direct, relayAfter)
	if errors.Is(err, transport.ErrRefused) {
		return nil, err
	}
	if p := m.connected(worker); p != nil {
		return p, nil
	}
	relayed := errNoRelay
	if m.hasRelay() {
		relayed = m.dialRelayed(ctx, worker)
	}
	if relayed == nil {
		m.putOff(worker)
	} else if err == errPending {
		err = m.outcome(ctx, direct, time.Minute) // dialling ends by itself much earlier
	}
	if p := m.connected(worker); p != nil {
		return p, nil
	}
	return nil, fmt.Errorf("%w; through machine 1: %v", err, relayed) // its refusal is not the worker's
}

// tryDirect connects to a worker without the relay, or waits for it to do so, and says how
// that went.
func (m *Member) tryDirect(ctx context.Context, worker uint32, addr string) <-chan error {
	direct := make(chan error, 1)
	switch {
	case addr == "":
		m.awaitDialled(ctx, worker)
		direct <- errNotDialled
	case !m.mayTry(worker):
		direct <- errNotDialled
	default:
		m.spawn(func() { direct <- m.dialDirect(worker, addr) })
	}
	return direct
}

// outcome is the word of tryDirect within d.
func (m *Member) outcome(ctx context.Context, direct <-chan error, d time.Duration) error {
	select {
	case err := <-direct:
		return err
	case <-time.After(d):
		return errPending
	case <-ctx.Done():
		return ctx.Err()
	case <-m.ctx.Done():
		return m.ctx.Err()
	}
}

// errPending says that a worker is still being dialled.
var errPending = errors.New("it does not answer")

// errNotDialled says that a worker was not dialled.
var errNotDialled = errors.New("it cannot be dialled and has not dialled")

// errNoRelay says that machine 1 relays nothing.
var errNoRelay = errors.New("cluster.relay is false")

// hasRelay says that there is one in the run.
func (m *Member) hasRelay() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.plan != nil && m.plan.Relay
}

// connected is the connections to a worker, nil where there are none.
func (m *Member) connected(worker uint32) *transport.Peer {
	m.mu.Lock()
	defer m.mu.Unlock()
	if p := m.peers[worker]; p != nil && len(p.Conns()) > 0 {
		return p
	}
	return nil
}

// awaitDialled waits for a worker that cannot be dialled to dial this machine, if it can.
func (m *Member) awaitDialled(ctx context.Context, worker uint32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.address(m.id) == "" {
		return
	}
	m.await(ctx, inboundWait, func() bool { p := m.peers[worker]; return p != nil && len(p.Conns()) > 0 })
}

// dialDirect dials a worker at its address.
func (m *Member) dialDirect(worker uint32, addr string) error {
	_, err := m.dialPeer(m.ctx, worker, addr)
	m.mu.Lock()
	defer m.mu.Unlock()
	if err == nil {
		delete(m.ways.again, worker)
	}
	return err
}

// dialRelayed dials a worker through the relay.
func (m *Member) dialRelayed(ctx context.Context, worker uint32) error {
	if err := m.useRelay(ctx, false); err != nil {
		return err
	}
	_, err := m.dialPeer(ctx, worker, transport.RelayAddr(worker))
	return err
}

// useRelay connects this machine to the coordinator's relay, anew also where there is a
// connection to one.
func (m *Member) useRelay(ctx context.Context, anew bool) error {
	select {
	case m.ways.relaying <- struct{}{}:
		defer func() { <-m.ways.relaying }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if m.ep.UsesRelay() && !anew {
		return nil
	}
	m.mu.Lock()
	at := m.opt.Coordinator
	m.mu.Unlock()
	h := m.opt.Hello
	h.Relay = true
	c, err := m.ep.Dial(ctx, at, protocol.ServiceCoordinator, h, nil, protocol.Nothing{})
	if err != nil {
		return err
	}
	return m.ep.UseRelay(c)
}

// mayTry says that it is time to dial a worker directly: a relayed one not too often.
func (m *Member) mayTry(worker uint32) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return time.Now().After(m.ways.again[worker].next)
}

// putOff notes that a worker is reached through the relay, where it is.
func (m *Member) putOff(worker uint32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	a := m.ways.again[worker]
	if p := m.peers[worker]; p == nil || p.Direct() || time.Now().Before(a.next) {
		return
	}
	a.wait = min(max(2*a.wait, againFirst), againMost)
	a.next = time.Now().Add(a.wait)
	m.ways.again[worker] = a
}

// tryAgain dials workers directly that are relayed, where it is time, drops relayed
// connections that nothing needs any more, and connects to the relay of a new coordinator:
// relayed connections go on over that.
func (m *Member) tryAgain() {
	m.mu.Lock()
	peers := maps.Clone(m.peers)
	m.mu.Unlock()
	for worker, p := range peers {
		if p.Direct() {
			p.Prune()
			continue
		}
		if len(p.Conns()) > 0 && !m.ep.UsesRelay() && m.hasRelay() {
			m.spawn(func() { m.useRelay(m.ctx, false) })
		}
		m.mu.Lock()
		addr := m.address(worker)
		m.mu.Unlock()
		if addr == "" || len(p.Conns()) == 0 || !m.mayTry(worker) {
			continue
		}
		m.putOff(worker)
		m.spawn(func() { m.dialDirect(worker, addr) })
	}
}

// paths are how this machine reaches others, by worker; called with the mutex.
func (m *Member) paths() map[uint32]protocol.Path {
	out := map[uint32]protocol.Path{}
	for worker, p := range m.peers {
		conns := p.Conns()
		switch {
		case worker == m.id || len(conns) == 0:
		case !p.Direct():
			out[worker] = protocol.PathRelayed
		case slices.ContainsFunc(conns, func(c *transport.Conn) bool { return c.Value == protocol.PathPunched }):
			out[worker] = protocol.PathPunched
		default:
			out[worker] = protocol.PathDirect
		}
	}
	return out
}

// tellPaths tells a coordinator how this machine reaches others, when it has not heard it.
func (m *Member) tellPaths(c *transport.Conn) {
	m.mu.Lock()
	now := m.paths()
	news := m.ways.toldTo != c || !maps.Equal(now, m.ways.told)
	m.ways.toldTo, m.ways.told = c, now
	m.mu.Unlock()
	if news {
		c.Send(transport.Pack(protocol.MsgPaths, protocol.Paths{By: now}))
	}
}
