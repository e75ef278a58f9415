package transport

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"sync"
	"testing"
	"time"
)

// relaying is a service of the machine in the middle.
type relaying struct {
	*service
	Relay
	mu     sync.Mutex
	denied [][2]uint32
	woken  []uint32
}

func newRelaying(denied ...[2]uint32) *relaying {
	r := &relaying{service: newService(), denied: denied}
	r.Allowed = func(from, to uint32) bool { return !slices.Contains(r.denied, [2]uint32{from, to}) }
	r.Wake = func(w uint32) { r.mu.Lock(); defer r.mu.Unlock(); r.woken = append(r.woken, w) }
	return r
}

func (r *relaying) Connected(c *Conn, _ json.RawMessage) (any, error) {
	return nil, r.Serve(c)
}

// use connects an endpoint to the relay.
func use(t *testing.T, e, middle *Endpoint) *Conn {
	t.Helper()
	c, err := e.Dial(t.Context(), middle.Addr().String(), "relay", nil, nil, newService())
	if err == nil {
		err = e.UseRelay(c)
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// middle is the machine that relays.
func middle(t *testing.T, ca *CA, r *relaying, beside Handler) *Endpoint {
	t.Helper()
	return open(t, ca, 1, beside, func(o *Options) { o.Services["relay"] = r })
}

// Two machines that exchange nothing but by a third prove themselves to each other and
// send each other transfers and messages of any size, in both directions at one time.
func TestRelay(t *testing.T) {
	ca, r := newCA(t), newRelaying()
	m := middle(t, ca, r, newService())
	sa, sb := newService(), newService()
	a, b := open(t, ca, 2, sa, nil), open(t, ca, 3, sb, nil)
	use(t, a, m)
	use(t, b, m)
	c, err := a.Dial(t.Context(), RelayAddr(3), "test", "hi", nil, sa)
	if err != nil {
		t.Fatal(err)
	}
	if !c.Relayed() || c.Peer.Worker != 3 {
		t.Errorf("relayed %v, to worker %d", c.Relayed(), c.Peer.Worker)
	}
	data := randomBytes(3 << 20)
	back := when(sb, func() *Conn { return sb.conns[0] })
	var wg sync.WaitGroup
	for name, c := range map[string]*Conn{"there": c, "back": back} {
		wg.Go(func() {
			if err := c.Transfer(t.Context(), outgoing(name, data)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if !bytes.Equal(sb.body("there"), data) || !bytes.Equal(sa.body("back"), data) {
		t.Error("other bytes arrived")
	}
	if n := r.Bytes(2, 3); n < int64(2*len(data)) || n > int64(3*len(data)) || r.Bytes(2, 4) != 0 {
		t.Errorf("%d bytes on record of %d", n, 2*len(data))
	}
	if back.Close("enough"); c.Context().Err() == nil {
		<-c.Context().Done()
	}
}

// A relay passes nothing on between machines that it is not told of, has a machine
// called that is not connected, and a machine connected to none says so.
func TestRelayRefuses(t *testing.T) {
	ca, r := newCA(t), newRelaying([2]uint32{2, 3})
	m := middle(t, ca, r, newService())
	a, b := open(t, ca, 2, newService(), nil), open(t, ca, 3, newService(), nil)
	if _, err := a.Dial(t.Context(), RelayAddr(3), "test", nil, nil, newService()); !errors.Is(err, errNoRelay) {
		t.Errorf("dialled without a relay: %v", err)
	}
	if over, err := a.carrierTo("relay:4433"); err != nil || over != a.net {
		t.Errorf("a host that is called relay is not dialled: %v", err)
	}
	c := use(t, a, m)
	use(t, b, m)
	junk := binary.LittleEndian.AppendUint32(nil, 3)
	for range 20 {
		c.s.SendDatagram(append(junk, 0x40, 1, 2, 3))
		c.s.SendDatagram(junk[:2])
		c.s.SendDatagram(append(binary.LittleEndian.AppendUint32(nil, 9), 1))
	}
	within(t, 20*time.Second, "worker 9 is called", func(ctx context.Context) {
		for {
			r.mu.Lock()
			woken := slices.Clone(r.woken)
			r.mu.Unlock()
			if len(woken) > 0 {
				if !slices.Equal(woken, []uint32{9}) {
					t.Errorf("called: %v", woken)
				}
				return
			}
			if ctx.Err() != nil {
				return
			}
			time.Sleep(time.Millisecond)
		}
	})
	if n := r.Bytes(2, 3); n != 0 {
		t.Errorf("%d bytes were passed on", n)
	}
	r.Drop(2)
	select {
	case <-c.Context().Done():
	case <-time.After(5 * time.Second):
		t.Error("a dropped machine is still connected")
	}
	if a.UsesRelay() {
		t.Error("it says that it uses a relay that is gone")
	}
}

// A machine that floods another through the relay takes a bounded number of packets of
// its memory and a bounded rate, and what the relay's machine has to say to the one that is
// flooded arrives all the same.
func TestRelayFlood(t *testing.T) {
	ca, r, beside := newCA(t), newRelaying(), newService()
	m := middle(t, ca, r, beside)
	a, b := open(t, ca, 2, newService(), nil), open(t, ca, 3, newService(), nil)
	c := use(t, a, m)
	use(t, b, m)
	to := newService()
	dial(t, b, m, to)
	packet := append(binary.LittleEndian.AppendUint32(nil, 3), make([]byte, relayPacket)...)
	packet[4] = 0x40
	began := time.Now()
	for time.Since(began) < 1500*time.Millisecond {
		c.s.SendDatagram(packet)
	}
	flooded := time.Since(began).Seconds()
	if n, most := r.Bytes(2, 3), relayRate*flooded+relayBurst; float64(n) > 1.1*most {
		t.Errorf("%d bytes in %.1f s; at most %.0f are to be passed on", n, flooded, most)
	}
	r.mu.Lock()
	e := r.ends[3]
	r.mu.Unlock()
	e.mu.Lock()
	if e.queued[2] > relayShare || len(e.out) > relayShare {
		t.Errorf("%d packets wait, %d in all; %d may", e.queued[2], len(e.out), relayShare)
	}
	e.mu.Unlock()
	done := make(chan struct{})
	defer func() { <-done }()
	arrived := func() bool { return when(to, func() int { return len(to.messages) }) > 0 }
	limit := time.Now().Add(10 * time.Second)
	go func() {
		defer close(done)
		for !arrived() && time.Now().Before(limit) {
			c.s.SendDatagram(packet)
		}
	}()
	if err := when(beside, func() *Conn { return beside.conns[0] }).Send(Message{Type: 40, Body: []byte("{}")}); err != nil {
		t.Fatal(err)
	}
	for !arrived() {
		if time.Now().After(limit) {
			t.Fatal("what the relay's machine says to a flooded one does not arrive in ten seconds")
		}
		time.Sleep(time.Millisecond)
	}
}

// A connection to the relay does not go through the relay: its packets would be wrapped in
// packets of its own until they are too large.
func TestRelayThroughItself(t *testing.T) {
	ca, r := newCA(t), newRelaying()
	m, a := middle(t, ca, r, newService()), open(t, ca, 2, newService(), nil)
	use(t, m, m)
	use(t, a, m)
	if _, err := a.Dial(t.Context(), RelayAddr(1), "relay", nil, nil, newService()); !errors.Is(err, ErrRefused) {
		t.Errorf("it is served: %v", err)
	}
}

// A relayed connection over which content is fetched is not closed for a direct one before
// the content is there, by neither end; new fetches go over the direct one.
func TestPruneWaitsForFetches(t *testing.T) {
	ca, r := newCA(t), newRelaying()
	m := middle(t, ca, r, newService())
	sa, sb := newService(), newService()
	sb.files["weights"] = randomBytes(1 << 20)
	a, b := open(t, ca, 2, sa, nil), open(t, ca, 3, sb, nil)
	use(t, a, m)
	use(t, b, m)
	var to, from Peer
	relayed, err := a.Dial(t.Context(), RelayAddr(3), "test", "hi", nil, sa)
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	err = relayed.Fetch(t.Context(), "weights", 5*time.Second, func(int64) (io.Writer, error) {
		to.Add(relayed)
		to.Add(dial(t, a, b, sa))
		for _, c := range when(sb, func() []*Conn { return sb.conns }) {
			from.Add(c)
		}
		if to.Least().Relayed() {
			t.Error("the next fetch would go through the relay")
		}
		to.Prune()
		from.Prune()
		return &got, nil
	})
	if err != nil || !bytes.Equal(got.Bytes(), sb.files["weights"]) {
		t.Fatalf("%d bytes, then %v", got.Len(), err)
	}
	if to.Prune(); len(to.Conns()) != 1 {
		t.Error("a relayed connection that carries nothing stays")
	}
}
