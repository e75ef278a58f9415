package coordinator

import (
	"context"
	"fmt"
	"net"
	"time"

	"concord/internal/cluster/protocol"
	"concord/transport"
)

// ProbeFunc says whether a worker can be dialled at addr from an address that it has not
// sent to. punch, if not nil, is called first with the address that the worker is dialled
// from, as Poke has it.
type ProbeFunc func(ctx context.Context, addr string, worker uint32, punch func(from string)) error

// ProbeFrom dials workers from sockets of its own, nil: those of this machine. Through the
// one that a worker has dialled a router would let it pass, and nobody else.
func ProbeFrom(identity *transport.Identity, socket func() (net.PacketConn, error)) ProbeFunc {
	if socket == nil {
		socket = func() (net.PacketConn, error) {
			conn, _, err := transport.Socket(":0")
			return conn, err
		}
	}
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
	c, err := ep.Dial(ctx, addr, protocol.ServicePing, nil, nil, protocol.Nothing{})
	if err != nil {
		return err
	}
	defer c.Close("it is there")
	if c.Peer.Worker != worker {
		return fmt.Errorf("it is worker %d", c.Peer.Worker)
	}
	return nil
}

// A machine behind a NAT cannot be dialled: its router drops packets that the machine
// has not asked for. The coordinator sees the address that the router gives it. A machine that is
// to dial that address tells the coordinator, which has the machine send datagrams to the
// dialler meanwhile: from its router's view the dialler then answers (hole punching; Ford
// et al., USENIX ATC 2005). It works where a router gives a machine the same address
// towards everybody, which most do; the coordinator tries it out. A machine behind
// another router (symmetric NAT) dials those who can be dialled, and reaches the others over
// the relay (relay.go); without it, it computes, but owns no groups.

// askPoke is how long after one worker's Punch another one of its about the same worker is
// dropped: the pokes of the first still go on.
const askPoke = protocol.PokeFor / 2

// reach finds out, meanwhile, whether a new member can be dialled, and how.
func (c *Coordinator) reach(m *member) {
	addr, dial := c.addrOf(m.conn), m.conn.Remote().String()
	m.at, m.punched, m.relayed = dial, false, false
	if c.opt.Probe == nil {
		m.addr = addr
		return
	}
	go func() {
		err, punched := c.opt.Probe(m.conn.Context(), dial, m.id, nil), false
		if err != nil {
			punched = c.opt.Probe(m.conn.Context(), dial, m.id,
				func(from string) { c.send(m, transport.Pack(protocol.MsgPoke, protocol.Poke{Addr: from})) }) == nil
		}
		c.post(func() {
			switch {
			case m.at != dial || c.members[m.id] != m: // it has moved, or gone, meanwhile
			case err == nil:
				m.addr = addr
			case punched:
				m.addr, m.punched = addr, true
				c.logf("%s is behind a NAT at %s, which lets others in whom it sends to: it is dialled so", m.hello.Name, dial)
			case c.opt.Relay:
				m.relayed = true
				c.logf("%s cannot be dialled at %s, nor by hole punching: it dials others, and is reached over machine 1 by those that it cannot dial",
					m.hello.Name, dial)
			default:
				c.logf("%s cannot be dialled at %s (%v), nor by hole punching: it computes, but owns no groups", m.hello.Name, dial, err)
			}
		})
	}()
}

// punch passes on that a member is about to dial another.
func (c *Coordinator) punch(by *member, p protocol.Punch) {
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
	c.send(to, transport.Pack(protocol.MsgPoke, protocol.Poke{Addr: c.addrOf(by.conn)}))
}

// follow looks whether a member is at another address than it was dialled at.
func (c *Coordinator) follow(m *member) {
	at := m.conn.Remote().String()
	if m.id == c.opt.Local || at == m.at {
		return
	}
	c.logf("%s has moved from %s to %s", m.hello.Name, m.at, at)
	m.addr = ""
	c.relay.Drop(m.id) // it connects anew from where it is
	c.reach(m)
	c.replanNow()
}

// replanNow plans the present step anew where it is not being committed.
func (c *Coordinator) replanNow() {
	if old := c.plan; old != nil && c.pending == nil {
		c.plan = nil
		c.replan(old)
	}
}
