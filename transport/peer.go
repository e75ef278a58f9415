package transport

import (
	"cmp"
	"context"
	"math"
	"slices"
	"sync"
	"sync/atomic"
)

// loads counts the bytes in flight on a connection.
type loads struct{ bytes atomic.Int64 }

// busy counts a stream whose bytes are not known until done is called, so that the connection is not
// taken for an idle one.
func (c *Conn) busy() (done func()) {
	c.load.bytes.Add(1)
	return func() { c.load.bytes.Add(-1) }
}

// Peer is one or more connections to the same machine. A transfer goes over the
// one with the fewest bytes in flight: on a long link that loses packets each
// connection is limited by its own losses (NewReno), and several together fill
// it.
type Peer struct {
	mu    sync.Mutex
	conns []*Conn
}

// Add adds a connection.
func (p *Peer) Add(c *Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns = append(p.conns, c)
}

// Remove takes a connection out and says how many are left.
func (p *Peer) Remove(c *Conn) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns = slices.DeleteFunc(p.conns, func(x *Conn) bool { return x == c })
	return len(p.conns)
}

// Conns returns the connections that have not ended.
func (p *Peer) Conns() []*Conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(p.conns), func(c *Conn) bool { return c.Context().Err() != nil })
}

// Direct says that a connection is there that does not go through a relay.
func (p *Peer) Direct() bool { return slices.ContainsFunc(p.Conns(), direct) }

func direct(c *Conn) bool { return !c.Relayed() }

// Prune closes the connections through a relay that carry nothing, where a direct one is
// there.
func (p *Peer) Prune() {
	if !p.Direct() {
		return
	}
	for _, c := range p.Conns() {
		if c.Relayed() && c.load.bytes.Load() == 0 {
			c.Close("the two reach each other directly now")
		}
	}
}

// Least is the least loaded connection, through a relay only where there is no other; nil:
// there is none.
func (p *Peer) Least() *Conn {
	conns := p.Conns()
	if len(conns) == 0 {
		return nil
	}
	if slices.ContainsFunc(conns, direct) {
		conns = slices.DeleteFunc(conns, (*Conn).Relayed)
	}
	return slices.MinFunc(conns, func(a, b *Conn) int { return cmp.Compare(a.load.bytes.Load(), b.load.bytes.Load()) })
}

// Transfer sends t over the least loaded connection.
func (p *Peer) Transfer(ctx context.Context, t Outgoing) error {
	c := p.Least()
	if c == nil {
		return ErrClosed
	}
	n := int64(len(t.Data) + len(t.Metadata))
	c.load.bytes.Add(n)
	defer c.load.bytes.Add(-n)
	return c.Transfer(ctx, t)
}

// maxStripes bounds the connections to one machine: each is as greedy as any
// other flow of its neighbours.
const maxStripes = 8

// Stripes is how many connections a link needs to carry want bytes per second,
// from QUIC's figures of it: one NewReno flow carries about 1.68·MSS/(RTT·√p) at a
// loss of p (Mathis et al., CCR 1997, with quic-go's β of 0.7).
func Stripes(s LinkStats, want float64) int {
	if s.PacketsSent < 1000 || s.PacketsLost == 0 || s.RTT <= 0 {
		return 1
	}
	p := float64(s.PacketsLost) / float64(s.PacketsSent)
	flow := 1.68 * 1330 / (s.RTT.Seconds() * math.Sqrt(p))
	return int(min(maxStripes, max(1, math.Ceil(want/flow))))
}
