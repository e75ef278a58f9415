package transport

import (
	"net"
	"net/netip"
	"sync"
)

// Bounds on connections of peers that have not proved themselves. With the memory that one of them
// may send unread (a connection's first window, 64 kB) they bound the memory that
// strangers take.
const (
	maxUnverified = 64  // from addresses that may be forged
	maxStrangers  = 128 // from addresses that answered
	maxPerHost    = 16  // of those, from one host
)

// strangers counts them.
type strangers struct {
	mu         sync.Mutex
	unverified int
	verified   int
	hosts      map[netip.Prefix]int
}

// crowded says that further addresses must answer before they are counted: those of a
// flood are forged, and do not.
func (s *strangers) crowded() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.unverified >= maxUnverified/2
}

// take counts one more, until release is called, or refuses it.
func (s *strangers) take(addr net.Addr, verified bool) (release func(), ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	host := hostOf(addr)
	switch {
	case !verified && s.unverified >= maxUnverified, verified && s.verified >= maxStrangers, s.hosts[host] >= maxPerHost:
		return nil, false
	}
	s.add(host, verified, 1)
	return sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.add(host, verified, -1)
	}), true
}

// add changes the counts. Only hosts whose address is known to be theirs are counted by
// host: nobody can use up another's share.
func (s *strangers) add(host netip.Prefix, verified bool, n int) {
	if !verified {
		s.unverified += n
		return
	}
	s.verified += n
	if s.hosts == nil {
		s.hosts = map[netip.Prefix]int{}
	}
	if s.hosts[host] += n; s.hosts[host] == 0 {
		delete(s.hosts, host)
	}
}

// hostOf is the address without its port; of IPv6 the network, as one host has all of that.
func hostOf(addr net.Addr) netip.Prefix {
	u, ok := addr.(*net.UDPAddr)
	if !ok {
		return netip.Prefix{}
	}
	ip := u.AddrPort().Addr().Unmap().WithZone("")
	bits := 32
	if ip.Is6() {
		bits = 64
	}
	p, _ := ip.Prefix(bits)
	return p
}
