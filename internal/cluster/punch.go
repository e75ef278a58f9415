package cluster

import (
	"context"
	"fmt"
	"net"
	"slices"
	"time"

	"concord/transport"
)

// A machine behind a NAT cannot be dialled: its router drops what the machine has not
// asked for. The coordinator sees the address that the router gives it. Whoever is to
// dial that address tells the coordinator, which has the machine send datagrams to the
// dialler meanwhile: from its router's view the dialler then answers (hole punching; Ford
// et al., USENIX ATC 2005). It works where a router gives a machine the same address
// towards everybody, which most do; the coordinator tries it out. A machine behind
// another router (symmetric NAT) computes, but owns no buckets.

// Punch says that its sender is about to dial a worker behind a NAT.
type Punch struct {
	Worker uint32 `json:"worker"`
}

// Poke asks a worker to send datagrams to an address; without a host it is the
// coordinator's.
type Poke struct {
	Addr string `json:"addr"`
}

// The time that a machine pokes for, as long as a dial takes, and how often.
const (
	pokeFor   = 5 * time.Second
	pokeEvery = 100 * time.Millisecond
)

// askPoke is how long after one worker's Punch another one of its about the same worker is
// dropped: the pokes of the first still go on.
const askPoke = pokeFor / 2

// mostPokes is how many addresses a machine pokes at one time.
const mostPokes = 64

// ProbeFunc says whether a worker can be dialled at addr from an address that it has not
// sent to. punch, if not nil, is called first with the address that the worker is dialled
// from, as Poke has it.
type ProbeFunc func(ctx context.Context, addr string, worker uint32, punch func(from string)) error

// reach finds out, meanwhile, whether a new member can be dialled, and how.
func (c *Coordinator) reach(m *member) {
	addr, dial := c.addrOf(m.conn), m.conn.Remote().String()
	m.at, m.punched = dial, false
	if c.opt.Probe == nil {
		m.addr = addr
		return
	}
	go func() {
		err, punched := c.opt.Probe(m.conn.Context(), dial, m.id, nil), false
		if err != nil {
			punched = c.opt.Probe(m.conn.Context(), dial, m.id, func(from string) { c.send(m, transport.Pack(msgPoke, Poke{from})) }) == nil
		}
		c.post(func() {
			switch {
			case m.at != dial || c.members[m.id] != m: // it has moved, or gone, meanwhile
			case err == nil:
				m.addr = addr
			case punched:
				m.addr, m.punched = addr, true
				c.logf("%s is behind a NAT at %s, which lets others in whom it sends to: it is dialled so", m.hello.Name, dial)
			default:
				c.logf("%s cannot be dialled at %s (%v), nor by hole punching: it computes, but owns no buckets", m.hello.Name, dial, err)
			}
		})
	}()
}

// punch passes on that a member is about to dial another.
func (c *Coordinator) punch(by *member, p Punch) {
	to := c.members[p.Worker]
	if to == nil || !to.punched {
		return
	}
	if at, ok := to.pokes[by.id]; ok && time.Since(at) < askPoke {
		return
	}
	if to.pokes == nil {
		to.pokes = map[uint32]time.Time{}
	}
	to.pokes[by.id] = time.Now()
	c.send(to, transport.Pack(msgPoke, Poke{c.addrOf(by.conn)}))
}

// behindNAT says that the plan has a worker behind a NAT.
func (m *Member) behindNAT(worker uint32) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.plan != nil && slices.ContainsFunc(m.plan.Members, func(a Address) bool { return a.Worker == worker && a.Punch })
}

// startPoke pokes in a goroutine of its own, each address once and not too many at one
// time; called with the mutex.
func (m *Member) startPoke(p Poke) {
	if m.poking[p.Addr] || len(m.poking) >= mostPokes {
		return
	}
	m.poking[p.Addr] = true
	m.spawn(func() {
		m.poke(p)
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.poking, p.Addr)
	})
}

// poke does as the coordinator asks.
func (m *Member) poke(p Poke) {
	host, port, err := net.SplitHostPort(p.Addr)
	if err != nil {
		return
	}
	if host == "" {
		m.mu.Lock()
		host, _, _ = net.SplitHostPort(m.opt.Coordinator)
		m.mu.Unlock()
	}
	t := time.NewTicker(pokeEvery)
	defer t.Stop()
	for began := time.Now(); time.Since(began) < pokeFor && m.ep.Poke(net.JoinHostPort(host, port)) == nil; {
		select {
		case <-m.ctx.Done():
			return
		case <-t.C:
		}
	}
}

// probeAs is probeFrom of this machine's sockets.
func probeAs(identity *transport.Identity) ProbeFunc {
	return probeFrom(identity, func() (net.PacketConn, error) {
		conn, _, err := transport.Socket(":0")
		return conn, err
	})
}

// probeFrom dials workers from sockets of its own: through the one that a worker has
// dialled a router would let it pass, and nobody else.
func probeFrom(identity *transport.Identity, socket func() (net.PacketConn, error)) ProbeFunc {
	return func(ctx context.Context, addr string, worker uint32, punch func(from string)) error {
		conn, err := socket()
		if err != nil {
			return err
		}
		ep, err := transport.Open(conn, transport.Options{Identity: identity})
		if err != nil {
			return err
		}
		defer ep.Close()
		if punch != nil {
			_, port, err := net.SplitHostPort(conn.LocalAddr().String())
			if err != nil {
				return err
			}
			punch(":" + port)
		}
		return ping(ctx, ep, addr, worker)
	}
}

// ping says whether the worker answers at addr.
func ping(ctx context.Context, ep *transport.Endpoint, addr string, worker uint32) error {
	c, err := ep.Dial(ctx, addr, servicePing, nil, nil, pingService{})
	if err != nil {
		return err
	}
	defer c.Close("it is there")
	if c.Peer.Worker != worker {
		return fmt.Errorf("it is worker %d", c.Peer.Worker)
	}
	return nil
}
