package transport

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// service is a Handler that records.
type service struct {
	mu       sync.Mutex
	got      map[string][]byte // payloads by bucket
	messages []Message
	gone     chan error
	offer    func(Header) (Verdict, string)
	deliver  func(Header, []byte) error
	refuse   error
	files    map[string][]byte
	conns    []*Conn
	opened   atomic.Int64 // contents
}

func newService() *service {
	return &service{got: map[string][]byte{}, gone: make(chan error, 100), files: map[string][]byte{}}
}

func (s *service) Connected(c *Conn, hello json.RawMessage) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns = append(s.conns, c)
	return map[string]string{"welcome": string(hello)}, s.refuse
}

func (s *service) Message(c *Conn, m Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.messages = append(s.messages, m)
}

func (s *service) Offer(c *Conn, h Header) (Verdict, string) {
	offer := when(s, func() func(Header) (Verdict, string) { return s.offer })
	if offer != nil {
		return offer(h)
	}
	return Take, ""
}

func (s *service) Deliver(c *Conn, h Header, meta, payload []byte) error {
	deliver := when(s, func() func(Header, []byte) error { return s.deliver })
	if deliver != nil {
		return deliver(h, payload)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.got[string(meta)] = payload
	return nil
}

// when is what f returns, with the service's mutex: what a test does to it and what
// connections do have nothing between them but the network.
func when[T any](s *service, f func() T) T {
	s.mu.Lock()
	defer s.mu.Unlock()
	return f()
}

// set changes what it does from now on.
func (s *service) set(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// body is what came by that name.
func (s *service) body(name string) []byte { return when(s, func() []byte { return s.got[name] }) }

// bodies is how much came.
func (s *service) bodies() int { return when(s, func() int { return len(s.got) }) }

// connections is how many peers have connected.
func (s *service) connections() int { return when(s, func() int { return len(s.conns) }) }

func (s *service) Fetch(c *Conn, request json.RawMessage) (int64, io.ReadCloser, error) {
	var name string
	json.Unmarshal(request, &name)
	b := when(s, func() []byte { return s.files[name] })
	if b == nil {
		return 0, nil, errors.New("no such file")
	}
	s.opened.Add(1)
	return int64(len(b)), io.NopCloser(bytes.NewReader(b)), nil
}

func (s *service) Disconnected(c *Conn, err error) { s.gone <- err }

// newCA is a run's authority.
func newCA(t testing.TB) *CA {
	t.Helper()
	ca, err := NewCA()
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func udp(t testing.TB) net.PacketConn {
	t.Helper()
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// open starts an endpoint of a worker that serves s as "test".
func open(t testing.TB, ca *CA, worker uint32, s Handler, change func(*Options)) *Endpoint {
	t.Helper()
	id, err := ca.NewIdentity(worker)
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Identity: id, Services: map[string]Handler{"test": s}, ResetKey: [32]byte{byte(worker)}, Stall: 2 * time.Second}
	if change != nil {
		change(&o)
	}
	e, err := Open(udp(t), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

func dial(t testing.TB, from, to *Endpoint, h Handler) *Conn {
	t.Helper()
	c, err := from.Dial(t.Context(), to.Addr().String(), "test", "hi", nil, h)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// within fails the test when f takes longer than d.
func within(t testing.TB, d time.Duration, what string, f func(ctx context.Context)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	done := make(chan struct{})
	go func() { defer close(done); f(ctx) }()
	select {
	case <-done:
	case <-time.After(d + time.Second):
		t.Fatalf("%s: not within %v", what, d)
	}
}
