package transport

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// relayAddr is a worker as it is reached through a relay.
type relayAddr uint32

const relayNetwork = "relay"

func (relayAddr) Network() string  { return relayNetwork }
func (a relayAddr) String() string { return RelayAddr(uint32(a)) }

// relayPrefix begins addresses of RelayAddr, and those of no host: one may be called "relay".
const relayPrefix = relayNetwork + "/"

// RelayAddr is the address at which Dial finds a worker through the relay.
func RelayAddr(worker uint32) string { return relayPrefix + strconv.FormatUint(uint64(worker), 10) }

// parseRelayAddr is the inverse of RelayAddr.
func parseRelayAddr(addr string) (net.Addr, error) {
	n, err := strconv.ParseUint(strings.TrimPrefix(addr, relayPrefix), 10, 32)
	return relayAddr(n), err
}

// errNoRelay says that this machine is connected to none.
var errNoRelay = errors.New("this machine is not connected to a relay")

// Relayed says that the connection goes through a relay.
func (c *Conn) Relayed() bool {
	_, ok := c.Remote().(relayAddr)
	return ok
}

// UseRelay has packets go over c from now on, a connection to a machine that relays them:
// others can dial this machine through it, and Dial takes addresses of RelayAddr.
func (e *Endpoint) UseRelay(c *Conn) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ctx.Err() != nil {
		return ErrClosed
	}
	if e.relay == nil {
		s := newRelaySocket(e.opt.Identity.Worker)
		q, err := listenRelayed(s, e.serverTLS(), e.opt.ResetKey, e.opt.WAN)
		if err != nil {
			return err
		}
		e.relay, e.relaySocket = q, s
		e.wg.Go(func() { e.accept(q) })
	}
	s := e.relaySocket
	s.mu.Lock()
	s.over = c
	s.mu.Unlock()
	e.wg.Go(func() { s.hear(c) })
	return nil
}

// UsesRelay says that there is a connection to a relay.
func (e *Endpoint) UsesRelay() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.relaySocket != nil && e.relaySocket.relay() != nil
}

// relaySocket is a net.PacketConn whose packets go through a relay. Those that it has no
// room for, or no relay, are lost, as on any network.
type relaySocket struct {
	self   uint32
	in     chan relayed
	closed chan struct{}
	once   sync.Once

	mu     sync.Mutex
	over   *Conn           // nil: none yet
	until  context.Context // ends when reading is to end
	cancel context.CancelFunc
}

func newRelaySocket(self uint32) *relaySocket {
	s := &relaySocket{self: self, in: make(chan relayed, relayQueue), closed: make(chan struct{})}
	s.until, s.cancel = context.WithCancel(context.Background())
	return s
}

// relay is the connection to the relay, nil: none.
func (s *relaySocket) relay() *Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over == nil || s.over.Context().Err() != nil {
		return nil
	}
	return s.over
}

// hear takes the packets that come over a connection.
func (s *relaySocket) hear(c *Conn) {
	for {
		b, err := c.s.ReceiveDatagram(c.Context())
		if err != nil {
			return
		}
		if len(b) <= relayHead {
			continue
		}
		select {
		case s.in <- relayed{binary.LittleEndian.Uint32(b), b[relayHead:]}:
		default:
		}
	}
}

// ReadFrom implements net.PacketConn.
func (s *relaySocket) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		until := s.deadline()
		select {
		case p := <-s.in:
			return copy(b, p.data), relayAddr(p.from), nil
		case <-s.closed:
			return 0, nil, net.ErrClosed
		case <-until.Done():
			if until == s.deadline() {
				return 0, nil, os.ErrDeadlineExceeded
			}
		}
	}
}

func (s *relaySocket) deadline() context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.until
}

// WriteTo implements net.PacketConn.
func (s *relaySocket) WriteTo(b []byte, to net.Addr) (int, error) {
	w, ok := to.(relayAddr)
	if !ok {
		return 0, fmt.Errorf("transport: %v is not reached through a relay", to)
	}
	if c := s.relay(); c != nil {
		c.s.SendDatagram(append(binary.LittleEndian.AppendUint32(make([]byte, 0, relayHead+len(b)), uint32(w)), b...))
	}
	return len(b), nil
}

// Close implements net.PacketConn.
func (s *relaySocket) Close() error {
	s.once.Do(func() { close(s.closed) })
	return s.SetReadDeadline(time.Now())
}

// LocalAddr implements net.PacketConn.
func (s *relaySocket) LocalAddr() net.Addr { return relayAddr(s.self) }

// SetDeadline implements net.PacketConn.
func (s *relaySocket) SetDeadline(t time.Time) error { return s.SetReadDeadline(t) }

// SetWriteDeadline implements net.PacketConn: writing waits for nobody for long.
func (s *relaySocket) SetWriteDeadline(time.Time) error { return nil }

// SetReadDeadline implements net.PacketConn.
func (s *relaySocket) SetReadDeadline(t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cancel() // whoever reads sees that the deadline is another one
	if t.IsZero() {
		s.until, s.cancel = context.WithCancel(context.Background())
	} else {
		s.until, s.cancel = context.WithDeadline(context.Background(), t)
	}
	return nil
}
