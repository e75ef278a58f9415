// Package faultproxy is a UDP proxy that misbehaves on purpose: tests put it
// between two machines. It works on every system and needs no rights. Every random
// choice comes from its seed. Safe for concurrent use.
package faultproxy

import (
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// Faults are the troubles of packets, in both directions alike; shares are from 0
// to 1.
type Faults struct {
	Loss, Duplicate, Corrupt, Reorder float64
	Delay                             time.Duration // of every packet
	ToTarget, FromTarget              bool          // black holes
}

// reorderDelay is how much later a packet arrives that is overtaken.
const reorderDelay = 15 * time.Millisecond

// Proxy passes packets on to a target. Each client has a socket of its own towards
// it.
type Proxy struct {
	front  *net.UDPConn
	target *net.UDPAddr

	mu      sync.Mutex
	faults  Faults
	random  *rand.Rand
	clients map[string]*client
	closed  bool
	wg      sync.WaitGroup
}

type client struct {
	addr *net.UDPAddr
	back *net.UDPConn
}

// New starts a proxy in front of target, on a port of the loopback interface.
func New(target string, seed uint64) (*Proxy, error) {
	to, err := net.ResolveUDPAddr("udp", target)
	if err != nil {
		return nil, err
	}
	front, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, err
	}
	front.SetReadBuffer(4 << 20)
	p := &Proxy{front: front, target: to, random: rand.New(rand.NewPCG(seed, 1)), clients: map[string]*client{}}
	p.wg.Go(p.listen)
	return p, nil
}

// Addr is where clients send to.
func (p *Proxy) Addr() string { return p.front.LocalAddr().String() }

// Set changes the faults of packets from now on.
func (p *Proxy) Set(f Faults) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = f
}

// Rebind gives every client another port towards the target, as a router does
// that has forgotten a connection.
func (p *Proxy) Rebind() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.clients {
		old := c.back
		if err := p.dial(c); err != nil {
			return err
		}
		old.Close()
	}
	return nil
}

// Close ends the proxy.
func (p *Proxy) Close() {
	p.mu.Lock()
	p.closed = true
	for _, c := range p.clients {
		c.back.Close()
	}
	p.mu.Unlock()
	p.front.Close()
	p.wg.Wait()
}

// dial opens a client's socket towards the target; called with the mutex.
func (p *Proxy) dial(c *client) error {
	back, err := net.DialUDP("udp", nil, p.target)
	if err != nil {
		return err
	}
	back.SetReadBuffer(4 << 20)
	c.back = back
	p.wg.Go(func() {
		buf := make([]byte, 1<<16)
		for {
			n, err := back.Read(buf)
			if err != nil {
				if p.gone(c, back) {
					return
				}
				continue // the target is not there (yet)
			}
			p.pass(buf[:n], false, func(b []byte) { p.front.WriteToUDP(b, c.addr) })
		}
	})
	return nil
}

// gone says that a socket is no longer a client's.
func (p *Proxy) gone(c *client, back *net.UDPConn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closed || c.back != back
}

func (p *Proxy) listen() {
	buf := make([]byte, 1<<16)
	for {
		n, from, err := p.front.ReadFromUDP(buf)
		if err != nil {
			return
		}
		p.mu.Lock()
		c := p.clients[from.String()]
		if c == nil && !p.closed {
			c = &client{addr: from}
			if p.dial(c) == nil {
				p.clients[from.String()] = c
			}
		}
		p.mu.Unlock()
		if c != nil {
			p.pass(buf[:n], true, func(b []byte) {
				p.mu.Lock()
				back := c.back
				p.mu.Unlock()
				back.Write(b)
			})
		}
	}
}

// pass decides on a packet's fate. send is called with a copy.
func (p *Proxy) pass(b []byte, toTarget bool, send func([]byte)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f, r := p.faults, p.random
	if toTarget && f.ToTarget || !toTarget && f.FromTarget || r.Float64() < f.Loss {
		return
	}
	packet := append([]byte(nil), b...)
	if r.Float64() < f.Corrupt {
		packet[r.IntN(len(packet))] ^= 1 << r.IntN(8)
	}
	delay := f.Delay
	if r.Float64() < f.Reorder {
		delay += reorderDelay
	}
	times := 1
	if r.Float64() < f.Duplicate {
		times = 2
	}
	for range times {
		if delay == 0 {
			go send(packet)
		} else {
			time.AfterFunc(delay, func() { send(packet) })
		}
	}
}
