package coordinator

import (
	"errors"
	"fmt"
	"slices"

	"concord/internal/cluster/protocol"
	"concord/transport"
)

// Two members that cannot dial each other exchange their packets over this machine,
// see transport.Relay. A member that cannot be dialled owns groups too then.

// errNoRelay is told to a worker that asks for a relay where the run file excludes it.
var errNoRelay = errors.New("machine 1 relays nothing: cluster.relay is false")

// newRelay makes the relay. Its functions are called from anywhere.
func (c *Coordinator) newRelay() *transport.Relay {
	return &transport.Relay{
		Allowed: func(from, to uint32) bool {
			p := c.pairs.Load()
			return p != nil && slices.Contains(*p, from) && slices.Contains(*p, to)
		},
		Wake: func(worker uint32) {
			go c.post(func() {
				if m := c.members[worker]; m != nil {
					c.send(m, transport.Message{Type: protocol.MsgRelay})
				}
			})
		}}
}

// relayFor has the relay serve a connection of a member, of the same process.
func (c *Coordinator) relayFor(conn *transport.Conn, h protocol.Hello) error {
	if !c.opt.Relay {
		return errNoRelay
	}
	var err error
	c.do(func() {
		m := c.members[conn.Peer.Worker]
		if m == nil || m.hello.Incarnation != h.Incarnation || c.ended || c.err != nil {
			err = errors.New("the relay is for members of the run")
		}
	})
	if err != nil {
		return err
	}
	return c.relay.Serve(conn)
}

// known has the relay serve the members of a plan, and nobody else.
func (c *Coordinator) known(p *protocol.Plan) {
	p.Relay = c.opt.Relay
	all := p.Workers()
	c.pairs.Store(&all)
}

// reachable says that others reach a member, be it over this machine.
func (m *member) reachable() bool { return m.addr != "" || m.relayed }

// mostPaths is how many paths a member may name. A coordinator that was started anew hears
// of paths to members that have not come back to it yet.
const mostPaths = 4096

// tellPaths notes how a member reaches others.
func (c *Coordinator) tellPaths(m *member, p protocol.Paths) error {
	if len(p.By) > mostPaths {
		return fmt.Errorf("it names paths to %d machines", len(p.By))
	}
	for w, path := range p.By {
		if !path.Valid() {
			return fmt.Errorf("it reaches worker %d by no path that there is", w)
		}
	}
	m.paths = p.By
	return nil
}

// PairStatus is how two workers reach each other.
type PairStatus struct {
	Workers [2]uint32     `json:"workers"` // the lower number first
	Path    protocol.Path `json:"path"`
	Relayed int64         `json:"relayed_bytes,omitempty"` // over machine 1 so far, QUIC's own bytes included
}

// pairStatus are the pairs that have a connection.
func (c *Coordinator) pairStatus() (out []PairStatus) {
	all := c.sorted()
	for i, a := range all {
		for _, b := range all[i+1:] {
			if path := protocol.Worse(a.paths[b.id], b.paths[a.id]); path != "" {
				out = append(out, PairStatus{[2]uint32{a.id, b.id}, path, c.relay.Bytes(a.id, b.id)})
			}
		}
	}
	return out
}

// PathStatus is the pairs that reach each other by one path.
type PathStatus struct {
	Path    protocol.Path
	Pairs   [][2]uint32
	Relayed int64 // bytes of all of them, as PairStatus counts them
}

// Paths are the paths in use with their pairs, the best first.
func (s Status) Paths() (out []PathStatus) {
	for _, path := range []protocol.Path{protocol.PathDirect, protocol.PathPunched, protocol.PathRelayed} {
		x := PathStatus{Path: path}
		for _, p := range s.Pairs {
			if p.Path == path {
				x.Pairs, x.Relayed = append(x.Pairs, p.Workers), x.Relayed+p.Relayed
			}
		}
		if len(x.Pairs) > 0 {
			out = append(out, x)
		}
	}
	return out
}

// passes says that the packets between two members go over this machine: neither can be dialled,
// or they have said so.
func (c *Coordinator) passes(a, b uint32) bool {
	x, y := c.members[a], c.members[b]
	if x == nil || y == nil || a == b {
		return false
	}
	return x.addr == "" && y.addr == "" || protocol.Worse(x.paths[b], y.paths[a]) == protocol.PathRelayed
}

// relayCost is how many bytes of a step go over this machine between other members.
func (c *Coordinator) relayCost(p *protocol.Plan) (bytes int64) {
	size := c.sizesOf(p)
	for u, owner := range p.Owners {
		for _, m := range p.Members {
			if c.passes(owner, m.Worker) {
				bytes += int64(len(c.work.PartTokens(p.ShareOf(m.Worker))))*size.Row(u) + size.Resolved(u, m.Worker)
			}
		}
	}
	return bytes
}

// relayedTo names the owners of a plan with the members that this machine relays to them.
func (c *Coordinator) relayedTo(p *protocol.Plan) (pairs string) {
	for _, o := range c.present(p.Owners) {
		for _, m := range p.Members {
			if c.passes(o.id, m.Worker) {
				pairs += fmt.Sprint(o.id, "-", m.Worker, " ")
			}
		}
	}
	return pairs
}

// explainRelay tells the user, when the relayed pairs change, how much of a step goes over this
// machine, and how much this machine would send if those that reach everybody owned everything.
func (c *Coordinator) explainRelay(p *protocol.Plan) {
	pairs := c.relayedTo(p)
	if pairs == c.relayTold {
		return
	}
	if c.relayTold = pairs; pairs == "" {
		return
	}
	relayed := c.relayCost(p)
	members, others := p.Workers(), []uint32(nil) // others own buckets and reach everybody
	for _, w := range members {
		if slices.Contains(p.Owners, w) && !slices.ContainsFunc(members, func(x uint32) bool { return c.passes(w, x) }) {
			others = append(others, w)
		}
	}
	sends := func(owners []uint32) int64 {
		return protocol.Cost(c.work, p.Shares, owners, c.sizesOf(p), members).Sent[c.opt.Local]
	}
	const mb = 1e6
	text := fmt.Sprintf("machine 1 sends %.1f MB a step, %.1f MB of it between machines that cannot dial each other",
		float64(sends(p.Owners)+relayed)/mb, float64(relayed)/mb)
	if len(others) > 0 {
		text += fmt.Sprintf("; with cluster.relay = false, where they own no groups, it would send %.1f MB",
			float64(sends(protocol.Owners(c.opt.Groups, c.opt.Leads, others)))/mb)
	}
	c.logf("%s\n  fix: for less, have the router of one of them pass its UDP port on", text)
}
