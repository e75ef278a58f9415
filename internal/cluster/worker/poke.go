package worker

import (
	"net"
	"slices"
	"time"

	"concord/internal/cluster/protocol"
)

// pokeEvery is the pause between two datagrams.
const pokeEvery = 100 * time.Millisecond

// mostPokes is how many addresses a machine pokes at one time.
const mostPokes = 64

// behindNAT says that the plan has a worker behind a NAT.
func (m *Member) behindNAT(worker uint32) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.plan != nil && slices.ContainsFunc(m.plan.Members, func(a protocol.Address) bool { return a.Worker == worker && a.Punch })
}

// startPoke pokes in a goroutine of its own, each address once and not too many at one
// time; called with the mutex.
func (m *Member) startPoke(p protocol.Poke) {
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
func (m *Member) poke(p protocol.Poke) {
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
	for began := time.Now(); time.Since(began) < protocol.PokeFor && m.ep.Poke(net.JoinHostPort(host, port)) == nil; {
		select {
		case <-m.ctx.Done():
			return
		case <-t.C:
		}
	}
}
