package transport

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// Verdict is a receiver's answer to an offered transfer.
type Verdict uint8

// The verdicts.
const (
	Take   Verdict = iota // send it
	Have                  // counted already, or no longer needed: as if it had been sent
	Later                 // not now: try again
	Refuse                // never
)

// Handler is a service that an Endpoint offers. Message is called from one
// goroutine per connection, in the order of sending; everything else from many.
type Handler interface {
	// Connected is told of a peer that has proved itself and greets with hello. The
	// reply goes back; an error refuses the connection and is told to the peer.
	Connected(c *Conn, hello json.RawMessage) (reply any, err error)
	Message(c *Conn, m Message)
	// Offer decides on a transfer before a byte of it is allocated. reason is for a
	// refusal.
	Offer(c *Conn, h Header) (v Verdict, reason string)
	// Deliver takes a whole transfer, intact; meta and payload are the handler's to
	// keep. An error refuses it for good.
	Deliver(c *Conn, h Header, meta, payload []byte) error
	// Fetch opens the content that a peer asks for.
	Fetch(c *Conn, request json.RawMessage) (size int64, r io.ReadCloser, err error)
	// Disconnected is told once of every connection that Connected accepted or Dial
	// returned, when it ends: calls of the other methods may still be going on. Their
	// waits should end with the connection's context.
	Disconnected(c *Conn, err error)
}

// Options configure an Endpoint.
type Options struct {
	Identity *Identity
	Services map[string]Handler // by name; nothing may be added later
	Join     *JoinPolicy        // nil: this machine admits nobody
	// Revoked says that a worker's certificate is worth nothing any more.
	Revoked func(worker uint32) bool
	// ResetKey lets peers of an earlier process at this address see at once that it
	// is gone: keep it over restarts.
	ResetKey [32]byte
	// Grants is how many transfers are received at one time, and how many of one peer;
	// 0 means 4. More senders than that overrun the receiver's socket buffer; a transfer
	// that has taken two seconds is slow, and others are received beside it.
	Grants int
	// UploadLimit bounds the bytes per second that transfers send; 0: no bound.
	UploadLimit int64
	// Stall is how long a peer may make no progress; 0 means 10 s.
	Stall time.Duration
	// WAN doubles the patience for links with long outages.
	WAN bool
}

// Endpoint is a UDP socket that listens and dials.
type Endpoint struct {
	opt    Options
	conn   net.PacketConn
	net    carrier
	grants chan struct{}
	limit  atomic.Pointer[rate.Limiter] // nil: none
	cancel context.CancelFunc
	ctx    context.Context
	wg     sync.WaitGroup

	refusals rate.Sometimes
	missed   atomic.Int64 // refusals that were not told

	mu          sync.Mutex
	conns       map[*Conn]struct{}
	guests      map[uint32]*guest // by worker
	greets      map[uint32]int    // connections that are being greeted, likewise
	stats       Stats
	relay       carrier // nil: UseRelay was not called yet
	relaySocket *relaySocket
}

// Stats count the bytes of transfers since the Endpoint was opened.
type Stats struct {
	SentBytes, ReceivedBytes         int64 // of payloads and metadata, acknowledged
	SentTransfers, ReceivedTransfers int64
	Resent                           int64 // bodies that arrived damaged and were sent again
}

// Application error codes, of connections and streams.
const (
	codeRefused = 1
	codeFrame   = 2
	codeStalled = 3
	codeClosing = 4
	codeLast    = 5 // the reason is the application's last word
	codeService = 6 // the reason is the service's refusal
)

// Open starts an endpoint on conn, which it owns from now on.
func Open(conn net.PacketConn, o Options) (*Endpoint, error) {
	if o.Grants == 0 {
		o.Grants = 4
	}
	if o.Stall == 0 {
		o.Stall = 10 * time.Second
	}
	e := &Endpoint{opt: o, conn: conn, refusals: rate.Sometimes{First: 5, Interval: refusalEvery}, grants: make(chan struct{}, o.Grants),
		conns: map[*Conn]struct{}{}, guests: map[uint32]*guest{}, greets: map[uint32]int{}}
	e.SetUploadLimit(o.UploadLimit)
	var err error
	if e.net, err = listenQUIC(conn, e.serverTLS(), o.ResetKey, o.WAN); err != nil {
		conn.Close()
		return nil, fmt.Errorf("transport: listen on %s: %w", conn.LocalAddr(), err)
	}
	e.ctx, e.cancel = context.WithCancel(context.Background())
	e.wg.Go(func() { e.accept(e.net) })
	return e, nil
}

// refusalEvery is how often refused joins are told after the first few: strangers must
// not fill a log.
const refusalEvery = 10 * time.Second

// refused tells the policy of a join that failed, and how many others were not told.
func (e *Endpoint) refused(from net.Addr, reason string) {
	e.missed.Add(1)
	e.refusals.Do(func() {
		if n := e.missed.Swap(0) - 1; n > 0 {
			reason += fmt.Sprintf("; and %d more", n)
		}
		e.opt.Join.Refused(from, reason)
	})
}

// SetUploadLimit changes Options.UploadLimit from now on.
func (e *Endpoint) SetUploadLimit(n int64) {
	if n <= 0 {
		e.limit.Store(nil)
		return
	}
	// After a pause a tenth of a second's bytes go at once, and not a whole chunk's: a link with
	// room for no more than the limit is not flooded.
	e.limit.Store(rate.NewLimiter(rate.Limit(n), int(min(max(n/10, 4<<10), 16<<20))))
}

// Poke sends addr a datagram without a meaning, from the endpoint's socket: where a NAT
// drops packets that its machine has not asked for, addr can dial this endpoint from then on.
func (e *Endpoint) Poke(addr string) error { return e.net.Poke(addr) }

// Addr is the local address.
func (e *Endpoint) Addr() net.Addr { return e.net.Addr() }

// Identity is the identity by which the endpoint proves itself.
func (e *Endpoint) Identity() *Identity { return e.opt.Identity }

// Stats returns the counts so far.
func (e *Endpoint) Stats() Stats {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.stats
}

func (e *Endpoint) count(f func(*Stats)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	f(&e.stats)
}

// Close ends all connections and waits for their goroutines.
func (e *Endpoint) Close() error {
	e.cancel()
	e.mu.Lock()
	for c := range e.conns {
		c.s.Close(codeClosing, "closing")
	}
	relay := e.relay
	e.mu.Unlock()
	var err error
	if relay != nil {
		err = relay.Close()
		e.relaySocket.Close()
	}
	err = errors.Join(err, e.net.Close())
	e.wg.Wait()
	return errors.Join(err, e.conn.Close())
}

func (e *Endpoint) accept(from carrier) {
	for {
		q, err := from.Accept(e.ctx)
		if err != nil {
			return
		}
		e.wg.Go(func() {
			if q.TLS().NegotiatedProtocol == alpnJoin {
				e.serveJoin(e.ctx, q)
				return
			}
			q.Proved() // by its certificate
			e.greet(q)
		})
	}
}

// hello is the first message of a connection.
type hello struct {
	Service string          `json:"service"`
	Wire    int             `json:"wire"`
	Body    json.RawMessage `json:"body"`
}

// greet answers a peer's hello and serves the connection.
func (e *Endpoint) greet(q session) {
	ctx, cancel := context.WithTimeout(e.ctx, 5*time.Second)
	defer cancel()
	claims, err := peerClaims(q.TLS())
	if err != nil {
		q.Close(codeRefused, err.Error())
		return
	}
	free, err := e.greeted(claims.Worker)
	if err != nil {
		q.Close(codeRefused, err.Error())
		return
	}
	defer free()
	s, err := q.AcceptStream(ctx)
	if err != nil {
		q.Close(codeStalled, "no hello")
		return
	}
	c, reply, err := e.welcome(q, s, claims)
	if err != nil {
		writeMessage(s, Pack(msgRefused, refusal{err.Error()}))
		s.Close()
		select { // so that the reason arrives before the end
		case <-q.Context().Done():
		case <-time.After(time.Second):
		}
		code := uint64(codeService)
		if errors.Is(err, ErrFrame) {
			code = codeFrame
		}
		q.Close(code, strings.ToValidUTF8(err.Error()[:min(len(err.Error()), mostWord)], ""))
		return
	}
	err = c.write(Pack(msgHelloOK, reply))
	<-c.sending
	if err != nil {
		c.handler.Disconnected(c, err)
		return
	}
	e.entered(c, free)
	c.serve()
}

// welcome hears a peer's hello and asks the service for its reply. The connection
// that it returns sends nothing until that is written: the peer waits for it.
func (e *Endpoint) welcome(q session, s stream, claims Claims) (*Conn, any, error) {
	s.SetReadDeadline(time.Now().Add(5 * time.Second))
	m, err := readMessage(s, 64<<10)
	var h hello
	if err == nil && m.Type == msgHello {
		err = m.Unpack(&h)
	}
	switch {
	case err != nil || m.Type != msgHello:
		return nil, nil, fmt.Errorf("%w: no hello", ErrFrame)
	case h.Wire != wireVersion:
		return nil, nil, fmt.Errorf("it speaks wire version %d, this machine %d: use the same version of concord on all machines", h.Wire,
			wireVersion)
	case e.opt.Services[h.Service] == nil:
		return nil, nil, fmt.Errorf("no service %q here", h.Service)
	}
	c := e.newConn(q, s, claims, e.opt.Services[h.Service])
	c.sending <- struct{}{}
	reply, err := c.handler.Connected(c, h.Body)
	return c, reply, err
}
