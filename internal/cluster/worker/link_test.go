package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"concord/internal/cluster/protocol"
	"concord/transport"
)

// endless is a worker that sends more of a state than there is.
type endless struct{ protocol.Nothing }

func (endless) Fetch(*transport.Conn, json.RawMessage) (int64, io.ReadCloser, error) {
	return 1 << 50, io.NopCloser(zeros{}), nil
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// open opens an endpoint of worker n.
func open(t *testing.T, ca *transport.CA, n uint32, services map[string]transport.Handler) *transport.Endpoint {
	t.Helper()
	identity, err := ca.NewIdentity(n)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	ep, err := transport.Open(conn, transport.Options{Identity: identity, Services: services})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ep.Close() })
	return ep
}

// below is a worker of the coordinator h, that has an endpoint and is not connected.
func below(t *testing.T, h transport.Handler, o Options) (*Member, *transport.Endpoint) {
	t.Helper()
	ca, err := transport.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	o.Coordinator = open(t, ca, 1, map[string]transport.Handler{protocol.ServiceCoordinator: h}).Addr().String()
	m := New(o)
	ep := open(t, ca, 2, m.Services(nil))
	t.Cleanup(m.Leave)
	return m, ep
}

// Another machine cannot fill a worker's disk: a state has the size of the model.
func TestNoMoreStateThanTheModelHas(t *testing.T) {
	ca, err := transport.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	other := open(t, ca, 1, map[string]transport.Handler{protocol.ServiceWorker: endless{}})
	m := New(Options{})
	m.ep, m.id = open(t, ca, 2, m.Services(nil)), 2
	m.Configure(Shape{Groups: []int{100}}, nil)
	m.plan = &protocol.Plan{Members: []protocol.Address{{Worker: 1, Addr: other.Addr().String()}}}
	err = m.fetchState(t.Context(), 1, 0, []string{"weights"}, func(string) (io.WriteCloser, error) {
		t.Error("it is written")
		return nil, errors.New("no")
	})
	if !errors.Is(err, transport.ErrFrame) {
		t.Error(err)
	}
	m.Leave()
}

// The words of a coordinator cannot reach a terminal as they are.
func TestEndIsPlainText(t *testing.T) {
	m := New(Options{})
	(&coordinatorLink{m: m}).Message(nil, transport.Pack(protocol.MsgEnd, protocol.End{Text: "\x1b]0;owned\x07\x1b[31mred\nfix: nothing"}))
	if text := fmt.Sprint(m.over()); strings.ContainsRune(text, '\x1b') || !strings.Contains(text, "\nfix: nothing") {
		t.Errorf("%q", text)
	}
}

// relayOnly is a coordinator that counts connections to its relay.
type relayOnly struct {
	protocol.Nothing
	came chan *transport.Conn
}

func (r relayOnly) Connected(c *transport.Conn, _ json.RawMessage) (any, error) {
	r.came <- c
	return nil, nil
}

// A coordinator that has no connection of this machine to its relay gets one, though that to an
// earlier coordinator, which is paused, is still there.
func TestRelayOfANewCoordinator(t *testing.T) {
	ca, err := transport.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	came := make(chan *transport.Conn, 4)
	coordinator := func(n uint32) string {
		return open(t, ca, n, map[string]transport.Handler{protocol.ServiceCoordinator: relayOnly{came: came}}).Addr().String()
	}
	m := New(Options{Coordinator: coordinator(1)})
	m.ep, m.id = open(t, ca, 2, m.Services(nil)), 2
	defer m.Leave()
	if err := m.useRelay(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	<-came
	m.opt.Coordinator = coordinator(3)
	(&coordinatorLink{m: m}).Message(nil, transport.Message{Type: protocol.MsgRelay})
	select {
	case <-came:
	case <-time.After(10 * time.Second):
		t.Error("it stays with the relay of the earlier coordinator")
	}
}

// deaf is a coordinator that takes no notice of heartbeats; Nothing closes the connection of whoever says something.
type deaf struct{ protocol.Nothing }

func (deaf) Message(*transport.Conn, transport.Message) {}

// fickle is a coordinator that closes every connection at once.
type fickle struct {
	deaf
	came *atomic.Int32
}

func (f fickle) Connected(c *transport.Conn, _ json.RawMessage) (any, error) {
	f.came.Add(1)
	time.AfterFunc(500*time.Millisecond, func() { c.Close("no") }) // when the reply is surely there
	return protocol.Welcome{Worker: 2}, nil
}

// A coordinator that takes connections and closes them is dialled for no longer than the run's patience.
func TestConnectionsThatEndAtOnce(t *testing.T) {
	var came atomic.Int32
	m, ep := below(t, fickle{came: &came}, Options{Patience: 1500 * time.Millisecond, HeartbeatTimeout: time.Hour})
	if _, err := m.Connect(t.Context(), ep); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := m.Wait(ctx); !errors.Is(err, ErrLost) || ctx.Err() != nil {
		t.Errorf("it ends with %v", err)
	}
	if n := came.Load(); n < 2 {
		t.Errorf("it is dialled %d times", n)
	}
}

// Before each further dial of such a coordinator the worker waits twice as long: 50 ms, 100, 200 and 400.
func TestPausesBetweenDials(t *testing.T) {
	var came atomic.Int32
	m, ep := below(t, fickle{came: &came}, Options{Patience: time.Minute, HeartbeatTimeout: time.Hour})
	m.ep = ep
	m.mu.Lock()
	m.closed = true // so that no end of a connection dials beside this test
	m.mu.Unlock()
	began := time.Now()
	for range 4 {
		m.mu.Lock()
		m.since = time.Now()
		m.mu.Unlock()
		m.reconnect(transport.ErrClosed)
	}
	if took := time.Since(began); took < 750*time.Millisecond || came.Load() < 4 {
		t.Errorf("%d dials in %v", came.Load(), took)
	}
}

// A connection that ends before the member has noted it is not noted: the dial fails, or, where a last word has come
// with the end, the run has ended. One that follows another's end is no news of that one.
func TestConnectionThatEndedBeforeItWasNoted(t *testing.T) {
	for err, ends := range map[error]bool{transport.ErrClosed: false, nil: false, &transport.LastWord{Word: "?"}: false,
		&transport.LastWord{Word: `{"text":"it is finished","finished":true}`}: true} {
		m := New(Options{})
		c := new(transport.Conn)
		l := &coordinatorLink{m: m}
		l.Disconnected(c, err)
		got := l.note(c)
		if m.coord != nil || errors.Is(got, errAtOnce) == ends || (got == nil) != ends || (m.over() != nil) != ends {
			t.Errorf("%v: %v, the run's end %v", err, got, m.over())
		}
		m.stop()
	}
	m := New(Options{})
	defer m.stop()
	earlier, now := &coordinatorLink{m: m}, &coordinatorLink{m: m}
	for _, l := range []*coordinatorLink{earlier, now} {
		if err := l.note(new(transport.Conn)); err != nil {
			t.Fatal(err)
		}
	}
	earlier.Disconnected(new(transport.Conn), &transport.LastWord{Word: `{"text":"it is finished","finished":true}`})
	if m.over() != nil || m.coord == nil {
		t.Error("the end of an earlier connection ends the run")
	}
}

// Two connections that lasted, with more than the run's patience between their ends, are no coordinator that ends
// them at once, however long a silence is allowed.
func TestConnectionsThatLast(t *testing.T) {
	var came atomic.Int32
	m, ep := below(t, fickle{came: &came}, Options{Patience: time.Minute, HeartbeatTimeout: time.Hour})
	m.ep = ep
	m.redials = Attempts{began: time.Now().Add(-time.Hour), pause: firstPause}
	m.since = time.Now().Add(-lasting)
	m.reconnect(transport.ErrClosed)
	if err := m.over(); err != nil || came.Load() < 1 {
		t.Errorf("it gives up after %d dials: %v", came.Load(), err)
	}
}

// leader is a coordinator that closes the connection of whoever comes with a last word.
type leader struct {
	deaf
	word string
}

func (l leader) Connected(c *transport.Conn, _ json.RawMessage) (any, error) {
	time.AfterFunc(500*time.Millisecond, func() { c.CloseWith(l.word) }) // when the reply is surely there
	return protocol.Welcome{Worker: 2}, nil
}

// A machine that got no core while it was told of the run's end learns it from the end of the
// connection, and does not look for the coordinator.
func TestTheEndIsTheLastWord(t *testing.T) {
	m, ep := below(t, leader{word: `{"text":"it is finished","finished":true}`}, Options{Patience: time.Minute, HeartbeatTimeout: time.Minute})
	if _, err := m.Connect(t.Context(), ep); err != nil {
		t.Fatal(err)
	}
	err := m.Wait(t.Context())
	if e := (*EndedError)(nil); !errors.As(err, &e) || e.Text != "it is finished" || !e.Finished {
		t.Errorf("it ends with %v", err)
	}
	for _, word := range []string{"", "{", "no", "[]"} {
		m := New(Options{})
		if m.endsWith(word); m.ended != nil {
			t.Errorf("%q is taken for an end", word)
		}
	}
}
