package transport

import (
	"fmt"
	"sync"
	"time"
)

// A peer that has proved itself may still mean harm, or hang. Its part of this machine, over
// all of its connections, is bounded, and the others have theirs.
const (
	maxConns   = 64 // of one peer, which are at most two directions of striping and a few besides
	maxFetches = 8  // contents that are sent to it at one time; each has a buffer
	// grantFor is how long a transfer counts against Options.Grants. They keep senders from
	// overrunning the socket together; one that takes longer is slow and overruns
	// nothing, and must not keep the others waiting.
	grantFor = 2 * time.Second
)

// guest is a peer's part of this machine at the moment.
type guest struct{ bodies, fetches chan struct{} }

// guest is the peer's, of all its connections.
func (c *Conn) guest() *guest {
	e := c.e
	e.mu.Lock()
	defer e.mu.Unlock()
	g := e.guests[c.Peer.Worker]
	if g == nil {
		g = &guest{bodies: make(chan struct{}, e.opt.Grants), fetches: make(chan struct{}, maxFetches)}
		e.guests[c.Peer.Worker] = g
	}
	return g
}

// greeted counts a connection of a peer that is being greeted, until free is called. It is an error
// where the peer has as many connections as it may have, with those that are being greeted.
func (e *Endpoint) greeted(worker uint32) (free func(), err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := e.greets[worker]
	for c := range e.conns {
		if c.Peer.Worker == worker {
			n++
		}
	}
	if n >= maxConns {
		return nil, fmt.Errorf("worker %d has %d connections to this machine already", worker, n)
	}
	e.greets[worker]++
	return sync.OnceFunc(func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.greets[worker]--; e.greets[worker] == 0 {
			delete(e.greets, worker)
		}
	}), nil
}

// entered counts a connection from now on, in place of its greeting.
func (e *Endpoint) entered(c *Conn, free func()) {
	e.mu.Lock()
	e.conns[c] = struct{}{}
	e.mu.Unlock()
	free()
}

// left forgets a connection, and its peer with the last one.
func (e *Endpoint) left(c *Conn) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.conns, c)
	for x := range e.conns {
		if x.Peer.Worker == c.Peer.Worker {
			return
		}
	}
	delete(e.guests, c.Peer.Worker)
}

// take takes a place in sem until the release that it returns.
func (c *Conn) take(sem chan struct{}) (release func(), err error) {
	select {
	case sem <- struct{}{}:
		return sync.OnceFunc(func() { <-sem }), nil
	case <-c.s.Context().Done():
		return nil, ErrClosed
	}
}

// grant waits for the leave to receive a transfer, until the release that it returns.
func (c *Conn) grant() (release func(), err error) {
	own, err := c.take(c.guest().bodies)
	if err != nil {
		return nil, err
	}
	shared, err := c.take(c.e.grants)
	if err != nil {
		own()
		return nil, err
	}
	slow := time.AfterFunc(grantFor, shared)
	return func() { slow.Stop(); shared(); own() }, nil
}
