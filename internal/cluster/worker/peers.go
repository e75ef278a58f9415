package worker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"concord/internal/cluster/protocol"
	"concord/transport"
)

// peer is the connections to another worker, dialled where there are none.
func (m *Member) peer(ctx context.Context, worker uint32) (*transport.Peer, error) {
	m.mu.Lock()
	p, lock := m.peers[worker], m.dialing[worker]
	if lock == nil {
		lock = make(chan struct{}, 1)
		m.dialing[worker] = lock
	}
	m.mu.Unlock()
	if p != nil && len(p.Conns()) > 0 {
		return p, nil
	}
	select { // one dials, the others wait for it
	case lock <- struct{}{}:
		defer func() { <-lock }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	m.mu.Lock()
	p, addr := m.peers[worker], m.address(worker)
	m.mu.Unlock()
	if p != nil && len(p.Conns()) > 0 {
		return p, nil
	}
	p, err := m.connect(ctx, worker, addr)
	if err != nil && (addr != "" || m.hasRelay()) && ctx.Err() == nil && !errors.Is(err, transport.ErrRefused) {
		m.Report(protocol.Problem{Worker: worker, Kind: protocol.ProblemUnreachable, Text: fmt.Sprintf("cannot reach worker %d: %v",
			worker, err)})
	}
	return p, err
}

// reaches says that there is a connection to a worker, or that one can be made.
func (m *Member) reaches(worker uint32, at string) bool {
	m.mu.Lock()
	p, addr := m.peers[worker], m.complete(at)
	m.mu.Unlock()
	if p != nil && len(p.Conns()) > 0 {
		return true
	}
	_, err := m.connect(m.ctx, worker, addr)
	return err == nil
}

func (m *Member) dialPeer(ctx context.Context, worker uint32, addr string) (*transport.Peer, error) {
	punch := m.behindNAT(worker) && addr != transport.RelayAddr(worker)
	if punch {
		m.send(transport.Pack(protocol.MsgPunch, protocol.Punch{Worker: worker}))
	}
	c, err := m.ep.Dial(ctx, addr, protocol.ServiceWorker, nil, nil, (*workerService)(m))
	if err != nil {
		return nil, err
	}
	if c.Peer.Worker != worker {
		c.Close("another worker was meant")
		return nil, fmt.Errorf("at %s is worker %d, not %d", addr, c.Peer.Worker, worker)
	}
	if punch {
		c.Value = protocol.PathPunched
	}
	return m.addConn(c), nil
}

func (m *Member) addConn(c *transport.Conn) *transport.Peer {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.peers[c.Peer.Worker]
	if p == nil {
		p = new(transport.Peer)
		m.peers[c.Peer.Worker] = p
	}
	p.Add(c)
	m.changed.Broadcast()
	return p
}

// address is where a worker is dialled: a port alone is at the coordinator's
// machine.
func (m *Member) address(worker uint32) string { return m.addressIn(m.plan, worker) }

// addressIn is address by plan p, which may be nil.
func (m *Member) addressIn(p *protocol.Plan, worker uint32) string {
	if p == nil {
		return ""
	}
	addr, _ := p.AddrOf(worker)
	return m.complete(addr)
}

// complete is an Address's Addr with the host that it may lack.
func (m *Member) complete(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil || host != "" {
		return addr
	}
	host, _, _ = net.SplitHostPort(m.opt.Coordinator)
	return net.JoinHostPort(host, port)
}

// stripes keeps as many connections to each owner as its losses call for.
func (m *Member) stripes() {
	t := time.NewTicker(2 * time.Second)
	defer t.Stop()
	for {
		select {
		case <-m.ctx.Done():
			return
		case <-t.C:
		}
		m.tryAgain()
		m.mu.Lock()
		type target struct {
			worker uint32
			addr   string
			conns  []*transport.Conn
		}
		var all []target
		for w, p := range m.peers {
			if p.Direct() {
				all = append(all, target{w, m.address(w), p.Conns()})
			}
		}
		m.mu.Unlock()
		for _, x := range all {
			want := 1
			for _, c := range x.conns {
				want = max(want, transport.Stripes(c.Stats(), m.opt.Link))
			}
			if x.addr != "" && len(x.conns) > 0 && len(x.conns) < want {
				m.dialPeer(m.ctx, x.worker, x.addr)
			}
		}
	}
}

// A machine whose address changes (another network, a new lease) keeps its connection to
// the coordinator, as QUIC follows a client. Connections that others dialled to its old
// address are dead, and would stay in use until they have been silent for long: so the
// coordinator plans the step with the new address, and both sides drop them.

// dropMoved closes the connections to workers that plan p has elsewhere than the plan
// before, or not at all, and all of them where it is this machine that moved; called
// with the mutex.
func (m *Member) dropMoved(old, p *protocol.Plan) {
	if old == nil {
		return
	}
	moved := elsewhere(old, p, m.id)
	for worker := range m.ways.again {
		if moved || m.address(worker) != m.addressIn(p, worker) {
			delete(m.ways.again, worker)
		}
	}
	for worker, peer := range m.peers {
		if moved || elsewhere(old, p, worker) {
			for _, c := range peer.Conns() {
				go c.Close("it has another address now")
			}
		}
	}
}

// elsewhere says that a worker was a member of the old plan and is not of p, or had an
// address that it has no longer.
func elsewhere(old, p *protocol.Plan, worker uint32) bool {
	was, before := old.AddrOf(worker)
	now, after := p.AddrOf(worker)
	return before && (!after || was != "" && was != now)
}
