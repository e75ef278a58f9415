package transport

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
)

func randomBytes(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{1})
	r.Read(b)
	return b
}

func outgoing(name string, data []byte) Outgoing {
	return Outgoing{Header: Header{Kind: Rows, Codec: F32, Elements: uint64(len(data) / 4)}, Metadata: []byte(name), Data: data, Urgency: 3}
}

func TestTransferArrives(t *testing.T) {
	ca, s := newCA(t), newService()
	a, b := open(t, ca, 1, newService(), nil), open(t, ca, 2, s, nil)
	c := dial(t, a, b, newService())
	for _, n := range []int{0, 4, ChunkSize - 4, ChunkSize, ChunkSize + 4, 3*ChunkSize + 8} {
		for _, name := range []string{"", "m", strings.Repeat("x", ChunkSize+1)} {
			data := randomBytes(n)
			if err := c.Transfer(t.Context(), outgoing(name, data)); err != nil {
				t.Fatalf("%d bytes: %v", n, err)
			}
			if !bytes.Equal(s.body(name), data) {
				t.Errorf("%d bytes with %d of metadata arrived otherwise", n, len(name))
			}
		}
	}
	if st := b.Stats(); st.ReceivedTransfers != 18 || st.Resent != 0 {
		t.Errorf("stats %+v", st)
	}
}

// A machine that is both coordinator and worker dials itself.
func TestEndpointDialsItself(t *testing.T) {
	s := newService()
	e := open(t, newCA(t), 1, s, nil)
	c := dial(t, e, e, newService())
	if err := c.Transfer(t.Context(), outgoing("a", randomBytes(1<<20))); err != nil {
		t.Fatal(err)
	}
}

// What was accepted can send back: a machine that cannot be reached still
// receives.
func TestAcceptedConnectionSends(t *testing.T) {
	ca, s, back := newCA(t), newService(), newService()
	a, b := open(t, ca, 1, newService(), nil), open(t, ca, 2, s, nil)
	dial(t, a, b, back)
	if err := when(s, func() *Conn { return s.conns[0] }).Transfer(t.Context(), outgoing("down", randomBytes(1<<20))); err != nil {
		t.Fatal(err)
	}
	if len(back.body("down")) != 1<<20 {
		t.Error("nothing came back")
	}
}

func TestOfferIsAnswered(t *testing.T) {
	ca, s := newCA(t), newService()
	a, b := open(t, ca, 1, newService(), nil), open(t, ca, 2, s, nil)
	c := dial(t, a, b, newService())
	s.set(func() { s.offer = func(Header) (Verdict, string) { return Have, "" } })
	if err := c.Transfer(t.Context(), outgoing("a", randomBytes(4))); err != nil || s.bodies() != 0 {
		t.Errorf("what is there already: %v, %d taken", err, s.bodies())
	}
	s.set(func() { s.offer = func(Header) (Verdict, string) { return Refuse, "language 9 of 3" } })
	if err := c.Transfer(t.Context(), outgoing("a", randomBytes(4))); !errors.Is(err, ErrRefused) ||
		!strings.Contains(err.Error(), "language 9 of 3") {
		t.Errorf("refused: %v", err)
	}
	s.set(func() { s.offer = nil })
	s.set(func() { s.deliver = func(Header, []byte) error { return errors.New("value 7 is NaN") } })
	if err := c.Transfer(t.Context(), outgoing("a", randomBytes(4))); !errors.Is(err, ErrRefused) ||
		!strings.Contains(err.Error(), "value 7 is NaN") {
		t.Errorf("not deliverable: %v", err)
	}
}

// Grants: of 64 senders at once at most as many bodies as there are grants are
// on their way (reference case 18).
func TestGrantsBoundFanIn(t *testing.T) {
	ca, s := newCA(t), newService()
	var now, most atomic.Int64
	s.deliver = func(Header, []byte) error {
		n := now.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		time.Sleep(time.Millisecond)
		now.Add(-1)
		return nil
	}
	to := open(t, ca, 1, s, func(o *Options) { o.Grants = 3; o.Stall = 20 * time.Second })
	from := open(t, ca, 2, newService(), func(o *Options) { o.Stall = 20 * time.Second })
	errs := make(chan error, 64)
	for range 64 {
		c := dial(t, from, to, newService())
		go func() { errs <- c.Transfer(t.Context(), outgoing("x", randomBytes(64<<10))) }()
	}
	for range 64 {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
	if most.Load() > 3 {
		t.Errorf("%d bodies at one time with 3 grants", most.Load())
	}
}

// A chunk that is damaged behind TLS is sent again once (reference case 15).
func TestDamagedChunkIsSentAgain(t *testing.T) {
	ca, s := newCA(t), newService()
	a, b := open(t, ca, 1, newService(), nil), open(t, ca, 2, s, nil)
	for _, times := range []int{1, 2} {
		c := dial(t, a, b, newService())
		st, err := c.s.OpenStream(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		data := randomBytes(2 * ChunkSize)
		o := outgoing("", data)
		o.Run, o.Sender, o.Payload = ca.Run, 1, uint64(len(data))
		st.Write(o.Encode())
		var sums []byte
		for i := range 2 {
			var sum Hash
			got, err := readAnswer(st, &sum)
			if want := []byte{ansGrant, ansAgain}[i]; err != nil || got != want {
				t.Fatalf("answer %d, %v; want %d", got, err, want)
			}
			var body bytes.Buffer
			sums = nil
			writeBody(&body, data, &sums, func(n int) (int, error) { return n, nil })
			if i < times {
				body.Bytes()[ChunkSize+100] ^= 1
			}
			st.Write(body.Bytes())
		}
		var sum Hash
		got, err := readAnswer(st, &sum)
		if times == 1 && (err != nil || got != ansAck || sum != Sum(sums)) {
			t.Errorf("sent again whole: answer %d, %v", got, err)
		}
		if times == 2 && err == nil {
			t.Error("damaged twice and taken")
		}
	}
	if b.Stats().Resent != 2 {
		t.Errorf("%d resent", b.Stats().Resent)
	}
}

// A sender that stops in the middle is given up (reference cases 2 and 17), and
// its grant is free again.
func TestStalledSenderIsGivenUp(t *testing.T) {
	ca, s := newCA(t), newService()
	to := open(t, ca, 1, s, func(o *Options) { o.Grants = 1; o.Stall = time.Second })
	from := open(t, ca, 2, newService(), nil)
	whole := append(outgoing("", nil).Encode(), 0)
	_ = whole
	for _, n := range []int{1, 95, HeaderSize, HeaderSize + 100, HeaderSize + 2*ChunkSize} {
		c := dial(t, from, to, newService())
		st, _ := c.s.OpenStream(t.Context())
		o := outgoing("", make([]byte, 2*ChunkSize))
		o.Run, o.Sender, o.Payload = ca.Run, 2, uint64(len(o.Data))
		b := append(o.Encode(), make([]byte, 2*ChunkSize+8)...)
		st.Write(b[:n])
		within(t, 20*time.Second, "the next transfer", func(ctx context.Context) {
			time.Sleep(1100 * time.Millisecond)
			if err := c.Transfer(ctx, outgoing("next", randomBytes(100))); err != nil {
				t.Errorf("after %d bytes: %v", n, err)
			}
		})
	}
	if s.bodies() != 1 {
		t.Errorf("%d bodies counted", s.bodies())
	}
}

// Lies in the header end the stream without allocating (reference case 26).
func TestHeaderLies(t *testing.T) {
	ca, s := newCA(t), newService()
	a, b := open(t, ca, 1, newService(), nil), open(t, ca, 2, s, nil)
	c := dial(t, a, b, newService())
	for name, lie := range map[string]func(h *Header){
		"length":       func(h *Header) { h.Payload, h.Elements = 1<<62, 1<<60 },
		"length only":  func(h *Header) { h.Payload = 8 },
		"row":          func(h *Header) { h.Row = MaxRows },
		"meta":         func(h *Header) { h.Meta = MaxMeta + 1 },
		"kind":         func(h *Header) { h.Kind = 9 },
		"codec":        func(h *Header) { h.Codec = 9 },
		"other run":    func(h *Header) { h.Run[0]++ },
		"other sender": func(h *Header) { h.Sender = 7 },
	} {
		h := Header{Kind: Rows, Run: ca.Run, Sender: 1, Elements: 1, Payload: 4}
		lie(&h)
		st, _ := c.s.OpenStream(t.Context())
		st.Write(h.Encode())
		st.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, err := st.Read(make([]byte, 1)); !errors.As(err, new(*quic.StreamError)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := c.Transfer(t.Context(), outgoing("fine", randomBytes(4))); err != nil {
		t.Error(err)
	}
}

// Streams that ended give their credit back: a connection carries any number.
func TestManyTransfersOnOneConnection(t *testing.T) {
	ca, s := newCA(t), newService()
	s.set(func() { s.files["f"] = randomBytes(10) })
	a, b := open(t, ca, 1, newService(), nil), open(t, ca, 2, s, nil)
	c := dial(t, a, b, newService())
	answers := []Verdict{Take, Have, Refuse, Later}
	s.set(func() { s.offer = func(h Header) (Verdict, string) { return answers[h.Step%4], "why" } })
	within(t, time.Minute, "1,200 streams", func(ctx context.Context) {
		for i := range 1000 {
			o := outgoing("", randomBytes(8))
			o.Step = uint64(i)
			if err := c.Transfer(ctx, o); (err == nil) != (i%4 < 2) {
				t.Fatal(i, err)
			}
		}
		for range 200 {
			if err := c.Fetch(ctx, "f", 10*time.Second, func(int64) (io.Writer, error) { return io.Discard, nil }); err != nil {
				t.Fatal(err)
			}
			c.Fetch(ctx, "none", time.Second, nil)
		}
	})
}

func TestFetch(t *testing.T) {
	ca, s := newCA(t), newService()
	a, b := open(t, ca, 1, newService(), nil), open(t, ca, 2, s, nil)
	c := dial(t, a, b, newService())
	s.set(func() { s.files["weights"] = randomBytes(3*ChunkSize + 5) })
	var got bytes.Buffer
	err := c.Fetch(t.Context(), "weights", time.Second, func(int64) (io.Writer, error) { return &got, nil })
	if err != nil || !bytes.Equal(got.Bytes(), s.files["weights"]) {
		t.Errorf("%d bytes, %v", got.Len(), err)
	}
	err = c.Fetch(t.Context(), "nothing", time.Second, nil)
	if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "no such file") {
		t.Error(err)
	}
}

func TestMessagesKeepTheirOrder(t *testing.T) {
	ca, s := newCA(t), newService()
	a, b := open(t, ca, 1, newService(), nil), open(t, ca, 2, s, nil)
	c := dial(t, a, b, newService())
	for i := range 100 {
		if err := c.Send(Pack(20, i)); err != nil {
			t.Fatal(err)
		}
	}
	come := func() int { return when(s, func() int { return len(s.messages) }) }
	for limit := time.Now().Add(10 * time.Second); come() < 100 && time.Now().Before(limit); time.Sleep(time.Millisecond) {
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, m := range s.messages {
		var v int
		if m.Unpack(&v); v != i {
			t.Fatalf("message %d says %d", i, v)
		}
	}
	if len(s.messages) != 100 {
		t.Errorf("%d messages", len(s.messages))
	}
}

// eager has something to say before it has answered the hello.
type eager struct{ *service }

func (s eager) Connected(c *Conn, hello json.RawMessage) (any, error) {
	for i := range 3 {
		go c.Send(Pack(20, i))
	}
	time.Sleep(20 * time.Millisecond)
	return s.service.Connected(c, hello)
}

// What a service tells a peer that it has not answered yet comes behind the answer,
// and behind a refusal not at all; who was refused is forgotten.
func TestTheAnswerComesFirst(t *testing.T) {
	ca, s, mine := newCA(t), eager{newService()}, newService()
	a, b := open(t, ca, 1, newService(), nil), open(t, ca, 2, s, nil)
	var reply map[string]string
	if _, err := a.Dial(t.Context(), b.Addr().String(), "test", "hi", &reply, mine); err != nil || reply["welcome"] != `"hi"` {
		t.Fatalf("%v, %v", reply, err)
	}
	heard := func() int { return when(mine, func() int { return len(mine.messages) }) }
	for limit := time.Now().Add(2 * time.Second); heard() < 3 && time.Now().Before(limit); time.Sleep(time.Millisecond) {
	}
	if heard() != 3 {
		t.Errorf("%d of the 3 messages came", heard())
	}
	s.set(func() { s.refuse = errors.New("full") })
	if _, err := a.Dial(t.Context(), b.Addr().String(), "test", "hi", nil, mine); !errors.Is(err, ErrRefused) ||
		!strings.Contains(err.Error(), "full") {
		t.Error(err)
	}
	if heard() != 3 {
		t.Errorf("%d messages came to who was refused", heard()-3)
	}
	for _, e := range []*Endpoint{a, b} {
		e.mu.Lock()
		if len(e.conns) != 1 {
			t.Errorf("%d connections are kept", len(e.conns))
		}
		e.mu.Unlock()
	}
}

// A peer that had no core until the connection was closed learns from its end why it was refused.
func TestRefusalComesWithTheEnd(t *testing.T) {
	closed := func(remote bool, code quic.ApplicationErrorCode) error {
		return proofOf(fmt.Errorf("read: %w", &quic.ApplicationError{Remote: remote, ErrorCode: code, ErrorMessage: "full"}))
	}
	if err := closed(true, codeService); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "full") {
		t.Error(err)
	}
	if err := closed(false, codeService); errors.Is(err, ErrRefused) {
		t.Errorf("its own: %v", err)
	}
	if err := closed(true, codeRefused); errors.Is(err, ErrRefused) {
		t.Errorf("before the hello: %v", err)
	}

	ca, s := newCA(t), newService()
	s.refuse = errors.New("full")
	a, b := open(t, ca, 1, newService(), nil), open(t, ca, 2, s, nil)
	q, err := connect(t.Context(), a.net, b.Addr().String(), a.clientTLS())
	if err != nil {
		t.Fatal(err)
	}
	st, err := q.OpenStream(t.Context())
	if err == nil {
		err = writeMessage(st, Pack(msgHello, hello{Service: "test", Wire: wireVersion, Body: json.RawMessage(`"hi"`)}))
	}
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-q.Context().Done():
	case <-time.After(20 * time.Second):
		t.Fatal("it keeps its connection")
	}
	if _, err := readMessage(st, 1000); !errors.Is(proofOf(err), ErrRefused) || !strings.Contains(err.Error(), "full") {
		t.Errorf("the end says: %v", err)
	}
}

// Nobody without a certificate of the run gets in, and each learns it at once
// (reference case 23).
func TestOnlyTheRunsMachinesGetIn(t *testing.T) {
	ca, s := newCA(t), newService()
	revoked := atomic.Bool{}
	to := open(t, ca, 1, s, func(o *Options) { o.Revoked = func(w uint32) bool { return revoked.Load() && w == 2 } })
	member := open(t, ca, 2, newService(), nil)
	stranger := open(t, newCA(t), 2, newService(), nil)
	try := func(e *Endpoint) (err error) {
		within(t, 4*time.Second, "the answer", func(ctx context.Context) {
			_, err = e.Dial(ctx, to.Addr().String(), "test", "hi", nil, newService())
		})
		return err
	}
	if err := try(member); err != nil {
		t.Fatal(err)
	}
	before := s.connections()
	if err := try(stranger); !errors.Is(err, ErrProof) {
		t.Errorf("another run's certificate: %v", err)
	}
	revoked.Store(true)
	if err := try(member); !errors.Is(err, ErrProof) {
		t.Errorf("a revoked certificate: %v", err)
	}
	for name, certs := range map[string][]tls.Certificate{"none": nil, "self-signed": {selfSigned(t)}} {
		q, err := quic.DialAddr(t.Context(), to.Addr().String(),
			&tls.Config{InsecureSkipVerify: true, NextProtos: []string{alpnRun}, Certificates: certs}, nil)
		if err == nil { // the server's alert follows the handshake, at once or later
			var st *quic.Stream
			if st, err = q.OpenStream(); err == nil {
				writeMessage(st, Pack(msgHello, hello{Service: "test", Wire: wireVersion}))
				st.SetReadDeadline(time.Now().Add(10 * time.Second))
				_, err = readMessage(st, 1000)
			}
		}
		if err := proofOf(err); !errors.Is(err, ErrProof) {
			t.Errorf("certificate %s: %v", name, err)
		}
	}
	if s.connections() != before {
		t.Error("the service heard of a stranger")
	}
}

func selfSigned(t *testing.T) tls.Certificate {
	id, err := newCA(t).NewIdentity(2)
	if err != nil {
		t.Fatal(err)
	}
	return id.cert
}

// The stateless reset key of a restarted process tells its peers at once
// (reference case 6).
func TestRestartIsNoticedAtOnce(t *testing.T) {
	ca, s := newCA(t), newService()
	a := open(t, ca, 1, newService(), nil)
	conn := udp(t)
	addr := conn.LocalAddr().(*net.UDPAddr)
	id, _ := ca.NewIdentity(2)
	o := Options{Identity: id, Services: map[string]Handler{"test": s}, ResetKey: [32]byte{9}}
	died := &mute{PacketConn: conn}
	if _, err := Open(died, o); err != nil { // never closed: a killed process says no goodbye
		t.Fatal(err)
	}
	mine := newService()
	c, err := a.Dial(t.Context(), addr.String(), "test", "hi", nil, mine)
	if err != nil {
		t.Fatal(err)
	}
	died.dead.Store(true)
	conn.Close()
	again, err := net.ListenUDP("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	b, err := Open(again, o)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	start := time.Now()
	c.Send(Pack(20, 1))
	select {
	case err := <-mine.gone:
		if d := time.Since(start); d > time.Second || !strings.Contains(err.Error(), "started anew") {
			t.Errorf("after %v: %v", d, err)
		}
	case <-time.After(5 * time.Second):
		t.Error("not noticed")
	}
}

// mute is a socket of a process that was killed.
type mute struct {
	net.PacketConn
	dead atomic.Bool
}

func (m *mute) WriteTo(b []byte, to net.Addr) (int, error) {
	if m.dead.Load() {
		return len(b), nil
	}
	return m.PacketConn.WriteTo(b, to)
}

func TestNoZeroRTT(t *testing.T) {
	ca, s := newCA(t), newService()
	a, b := open(t, ca, 1, newService(), nil), open(t, ca, 2, s, nil)
	for range 2 {
		if c := dial(t, a, b, newService()).s.(quicSession).conn.ConnectionState(); c.Used0RTT || c.TLS.DidResume {
			t.Error("a connection was resumed")
		}
	}
}

// A transfer takes its bytes over the limit, but for the tenth of a second's that go at once: those of
// one that is shorter than a chunk too.
func TestUploadLimitHolds(t *testing.T) {
	for _, c := range []struct {
		limit int64
		bytes int
		least time.Duration
	}{{1 << 20, 1<<20 + 256<<10, 1100 * time.Millisecond}, {256 << 10, 128 << 10, 350 * time.Millisecond}} {
		ca, s := newCA(t), newService()
		a := open(t, ca, 1, newService(), func(o *Options) { o.UploadLimit = c.limit })
		conn := dial(t, a, open(t, ca, 2, s, nil), newService())
		start := time.Now()
		if err := conn.Transfer(t.Context(), outgoing("", randomBytes(c.bytes))); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(start); d < c.least {
			t.Errorf("%d bytes at %d a second took %v", c.bytes, c.limit, d)
		}
	}
}

// Many transfers that share a low limit are slow, each of them, and none counts as stalled: a chunk takes each
// of them longer than a peer may stall.
func TestUploadLimitIsShared(t *testing.T) {
	ca, s := newCA(t), newService()
	const limit, n, stall = 256 << 10, 4, 2 * time.Second
	from := open(t, ca, 1, newService(), func(o *Options) { o.UploadLimit, o.Stall = limit, 30*time.Second })
	conn := dial(t, from, open(t, ca, 2, s, func(o *Options) { o.Stall = stall }), newService())
	errs := make(chan error, n)
	start := time.Now()
	for i := range n {
		go func() { errs <- conn.Transfer(t.Context(), outgoing(string(rune('a'+i)), randomBytes(ChunkSize))) }()
	}
	for range n {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if d := time.Since(start); d < 3*time.Second {
		t.Errorf("%d chunks took %v: the limit was not shared", n, d)
	}
}

// joining opens a coordinator that admits by one secret and its join line.
func joining(t *testing.T, ca *CA) (l Line, refused func() []string, e *Endpoint) {
	id, secret := NewSecret()
	var mu sync.Mutex
	var reasons []string
	used := false
	e = open(t, ca, 1, newService(), func(o *Options) {
		o.Join = &JoinPolicy{CA: ca,
			Secret:  func(x string) ([]byte, bool) { mu.Lock(); defer mu.Unlock(); return secret, x == id && !used },
			Admit:   func(string, net.Addr) (uint32, error) { mu.Lock(); defer mu.Unlock(); used = true; return 42, nil },
			Refused: func(_ net.Addr, reason string) { mu.Lock(); defer mu.Unlock(); reasons = append(reasons, reason) }}
	})
	refused = func() []string { mu.Lock(); defer mu.Unlock(); return slices.Clone(reasons) }
	return Line{Addrs: []string{e.Addr().String()}, CA: Fingerprint(ca.Certificate()), ID: id, Secret: secret,
		Expires: time.Now().Add(time.Hour)}, refused, e
}

func TestJoin(t *testing.T) {
	ca := newCA(t)
	l, refused, e := joining(t, ca)
	parsed, err := ParseLine(l.String())
	if err != nil {
		t.Fatal(err)
	}
	id, addr, err := Join(t.Context(), udp(t), parsed)
	if err != nil {
		t.Fatal(err)
	}
	if id.Worker != 42 || id.Run != ca.Run || addr != e.Addr().String() {
		t.Errorf("joined as %+v at %s", id.Claims, addr)
	}
	kept, err := ParseIdentity(id.MarshalPEM())
	if err != nil {
		t.Fatal(err)
	}
	w, err := Open(udp(t), Options{Identity: kept})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if _, err := w.Dial(t.Context(), addr, "test", "hi", nil, newService()); err != nil {
		t.Error("with the new certificate:", err)
	}
	if _, _, err := Join(t.Context(), udp(t), parsed); !errors.Is(err, ErrRefused) {
		t.Errorf("a secret that is used up: %v", err)
	}
	if len(refused()) != 1 {
		t.Errorf("refusals: %v", refused())
	}
}

// Wrong, unknown and expired secrets look the same (reference case 21).
func TestJoinRefuses(t *testing.T) {
	l, refused, _ := joining(t, newCA(t))
	wrong, unknown, expired := l, l, l
	wrong.Secret = make([]byte, 16)
	unknown.ID = "someone"
	expired.Expires = time.Now().Add(-time.Minute)
	_, _, err1 := Join(t.Context(), udp(t), wrong)
	_, _, err2 := Join(t.Context(), udp(t), unknown)
	if !errors.Is(err1, ErrRefused) || !errors.Is(err2, ErrRefused) || err1.Error() != err2.Error() || len(refused()) != 2 {
		t.Errorf("%v\n%v\n%v", err1, err2, refused())
	}
	if _, _, err := Join(t.Context(), udp(t), expired); !errors.Is(err, ErrProof) || !strings.Contains(err.Error(), "expired") {
		t.Error(err)
	}
}

// A machine in the middle with its own CA learns nothing (reference case 22).
func TestJoinFindsTheManInTheMiddle(t *testing.T) {
	l, _, _ := joining(t, newCA(t))
	middle, heard, _ := joining(t, newCA(t))
	l.Addrs = middle.Addrs
	_, _, err := Join(t.Context(), udp(t), l)
	if !errors.Is(err, ErrProof) {
		t.Error(err)
	}
	if len(heard()) != 0 {
		t.Errorf("something was sent to it: %v", heard())
	}
}

// A proof that was recorded is worth nothing on another connection (case 24).
func TestJoinProofIsBoundToItsConnection(t *testing.T) {
	l, refused, _ := joining(t, newCA(t))
	var root *x509.Certificate
	connect := func() *quic.Conn {
		q, err := quic.DialAddr(t.Context(), l.Addrs[0], pinned(l.CA, &root), quicConfig(false))
		if err != nil {
			t.Fatal(err)
		}
		return q
	}
	_, csr, _ := newRequest()
	first, second := connect(), connect()
	recorded, _ := proof(l.Secret, first.ConnectionState().TLS, csr)
	if own, _ := proof(l.Secret, second.ConnectionState().TLS, csr); hmac.Equal(own, recorded) {
		t.Fatal("two connections have the same proof")
	}
	s, _ := second.OpenStream()
	writeMessage(s, Pack(msgJoin, joinRequest{ID: l.ID, CSR: csr, Proof: recorded}))
	m, err := readMessage(s, 1<<16)
	if err != nil || m.Type != msgRefused || len(refused()) != 1 {
		t.Errorf("replayed: message %d, %v", m.Type, err)
	}
}

func TestParseLineSaysWhatIsWrong(t *testing.T) {
	l, _, _ := joining(t, newCA(t))
	good := l.String()
	for _, bad := range []string{"", "hello", good[:len(good)/2], strings.Replace(good, "concord1", "concord9", 1),
		strings.Replace(good, "127.0.0.1:", "127.0.0.1-", 1), good + "/x"} {
		if _, err := ParseLine(bad); err == nil || !strings.Contains(err.Error(), "concord train --listen") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
