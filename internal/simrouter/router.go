// Package simrouter is a simulated network for quic-go's simnet in virtual time
// (testing/synctest): every node has a line of its own with a rate, a delay, a
// queue that drops packets that do not fit, and losses from a seed. Only tests import it.
package simrouter

import (
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/quic-go/quic-go/testutils/simnet"
)

// Line is how a node is connected, in both directions.
type Line struct {
	Rate  float64       // bytes per second that it sends; 0: no bound
	Delay time.Duration // one way, to any other node: half of it at either end
	Loss  float64       // share of the packets that it sends
	Queue time.Duration // longest wait for the line; 0 means one Delay, at least 20 ms
}

// Router connects nodes. Safe for concurrent use.
type Router struct {
	mu     sync.Mutex
	nodes  map[string]simnet.PacketReceiver
	lines  map[string]Line
	free   map[string]time.Time // when a node's line is free again
	cut    map[string]bool
	moved  map[string]*net.UDPAddr // where a node is now, by where it was made
	nats   map[string]*nat         // by the node behind it
	random *rand.Rand
}

// New returns a network without nodes.
func New(seed uint64) *Router {
	return &Router{nodes: map[string]simnet.PacketReceiver{}, lines: map[string]Line{}, free: map[string]time.Time{},
		cut: map[string]bool{}, moved: map[string]*net.UDPAddr{}, nats: map[string]*nat{}, random: rand.New(rand.NewPCG(seed, 2))}
}

// Listen makes node number n, at 10.0.0.n:4433.
func (r *Router) Listen(n int, l Line) net.PacketConn {
	return r.ListenAt(&net.UDPAddr{IP: net.IPv4(10, 0, byte(n>>8), byte(n)), Port: 4433}, l)
}

// ListenAt makes a node at an address.
func (r *Router) ListenAt(addr *net.UDPAddr, l Line) net.PacketConn {
	r.mu.Lock()
	r.lines[addr.String()] = l
	r.mu.Unlock()
	return simnet.NewBlockingSimConn(addr, r)
}

// Cut takes a node off the network, or back on it.
func (r *Router) Cut(addr net.Addr, off bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cut[addr.String()] = off
}

// Move gives a node another address: others find it there, and no longer where it was.
func (r *Router) Move(addr net.Addr, to *net.UDPAddr) {
	r.mu.Lock()
	defer r.mu.Unlock()
	from := addr.String()
	r.moved[from] = to
	r.nodes[to.String()], r.lines[to.String()] = r.nodes[from], r.lines[from]
	delete(r.nodes, from)
}

// AddNode implements simnet.Router.
func (r *Router) AddNode(addr net.Addr, n simnet.PacketReceiver) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.nodes[addr.String()] = n
}

// SendPacket implements simnet.Router.
func (r *Router) SendPacket(p simnet.Packet) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now := r.moved[p.From.String()]; now != nil {
		p.From = now
	}
	from := p.From.String()
	if !r.translate(&p) {
		return nil
	}
	to := p.To.String()
	n := r.nodes[to]
	if n == nil || r.cut[from] || r.cut[to] || r.random.Float64() < r.lines[from].Loss {
		return nil
	}
	l, now := r.lines[from], time.Now()
	at := now
	if l.Rate > 0 {
		queue := l.Queue
		if queue == 0 {
			queue = max(l.Delay, 20*time.Millisecond)
		}
		begin := r.free[from]
		if begin.Before(now) {
			begin = now
		}
		if begin.Sub(now) > queue {
			return nil
		}
		at = begin.Add(time.Duration(float64(len(p.Data)) / l.Rate * 1e9))
		r.free[from] = at
	}
	at = at.Add(l.Delay/2 + r.lines[to].Delay/2)
	time.AfterFunc(time.Until(at), func() { n.RecvPacket(p) })
	return nil
}
