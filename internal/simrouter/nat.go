package simrouter

import (
	"net"

	"github.com/quic-go/quic-go/testutils/simnet"
)

// NAT is a router between a node and the rest.
type NAT int

// The kinds of NAT (RFC 4787): a cone gives a node one address towards everybody and lets
// anyone in, a restricted one only the addresses that the node has sent to; a symmetric one is
// restricted and gives the node another port towards each.
const (
	Cone NAT = iota
	Restricted
	Symmetric
)

// nat is a NAT in front of a node.
type nat struct {
	kind  NAT
	node  net.Addr
	ip    net.IP
	ports map[string]int          // by the other side; "" everybody
	heard map[int]map[string]bool // the addresses that the node has sent to, by port
}

// Behind puts a node behind a NAT of its own. Others do not reach the node's own address
// any more.
func (r *Router) Behind(addr net.Addr, kind NAT) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.nats[addr.String()] = &nat{kind: kind, node: addr, ip: net.IPv4(192, 0, 2, byte(len(r.nats)+1)), ports: map[string]int{},
		heard: map[int]map[string]bool{}}
}

// translate gives a packet the addresses that it has after the NATs on its way; false:
// one drops it.
func (r *Router) translate(p *simnet.Packet) bool {
	if r.nats[p.To.String()] != nil {
		return false // a private address
	}
	if n := r.nats[p.From.String()]; n != nil {
		p.From = n.out(p.To)
	}
	to, ok := p.To.(*net.UDPAddr)
	if !ok {
		return true
	}
	for _, n := range r.nats {
		if n.ip.Equal(to.IP) {
			p.To = n.node
			heard := n.heard[to.Port]
			return heard != nil && (n.kind == Cone || heard[p.From.String()])
		}
	}
	return true
}

// out is the address from which the node's packets reach to.
func (n *nat) out(to net.Addr) net.Addr {
	key := ""
	if n.kind == Symmetric {
		key = to.String()
	}
	port, ok := n.ports[key]
	if !ok {
		port = 20000 + len(n.ports)
		n.ports[key], n.heard[port] = port, map[string]bool{}
	}
	n.heard[port][to.String()] = true
	return &net.UDPAddr{IP: n.ip, Port: port}
}
