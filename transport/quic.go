package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/quic-go/quic-go"
	"golang.org/x/time/rate"
)

// strangerWindow is how much a peer may send before anything of it is read: the
// connection's first window. It grows with the bytes that are read, so that only peers that are
// listened to get more.
const strangerWindow = 64 << 10

// quicConfig is the same for all connections. A stream's window is at least one large
// bucket, streams are bounded, 0-RTT is off: it can be replayed.
func quicConfig(wan bool) *quic.Config {
	c := &quic.Config{
		Versions:             []quic.Version{quic.Version1},
		HandshakeIdleTimeout: 5 * time.Second, MaxIdleTimeout: 10 * time.Second, KeepAlivePeriod: 3 * time.Second,
		InitialStreamReceiveWindow: 2 << 20, MaxStreamReceiveWindow: 32 << 20,
		InitialConnectionReceiveWindow: strangerWindow, MaxConnectionReceiveWindow: 64 << 20,
		MaxIncomingStreams: 256, MaxIncomingUniStreams: -1,
		EnableDatagrams: true, // for connections to a relay
	}
	if wan {
		c.MaxIdleTimeout, c.KeepAlivePeriod = 20*time.Second, 7*time.Second
	}
	return c
}

// quicCarrier is QUIC on one UDP socket.
type quicCarrier struct {
	tr        *quic.Transport
	ln        *quic.Listener // nil: it dials only
	config    *quic.Config
	resolve   func(addr string) (net.Addr, error)
	strangers strangers
}

// dialQUIC dials from conn, which the caller closes.
func dialQUIC(conn net.PacketConn, wan bool) *quicCarrier {
	return &quicCarrier{tr: &quic.Transport{Conn: conn}, config: quicConfig(wan), resolve: resolveUDP}
}

func resolveUDP(addr string) (net.Addr, error) { return net.ResolveUDPAddr("udp", addr) }

// listenQUIC listens on conn, and dials from it.
func listenQUIC(conn net.PacketConn, c *tls.Config, resetKey [32]byte, wan bool) (*quicCarrier, error) {
	q := dialQUIC(conn, wan)
	return q, q.listen(c, resetKey)
}

// listenRelayed listens on a socket whose packets go through a relay, and dials from it.
func listenRelayed(conn net.PacketConn, c *tls.Config, resetKey [32]byte, wan bool) (*quicCarrier, error) {
	q := dialQUIC(conn, wan)
	q.resolve = parseRelayAddr
	q.config.InitialPacketSize, q.config.DisablePathMTUDiscovery = relayPacket, true
	return q, q.listen(c, resetKey)
}

func (q *quicCarrier) listen(c *tls.Config, resetKey [32]byte) error {
	handshakes := rate.NewLimiter(50, 100)
	q.tr.StatelessResetKey = (*quic.StatelessResetKey)(&resetKey)
	q.tr.VerifySourceAddress = func(net.Addr) bool { return !handshakes.Allow() || q.strangers.crowded() }
	q.tr.ConnContext = q.admit
	var err error
	q.ln, err = q.tr.Listen(c, q.config)
	return err
}

// releaseKey is the key in a session's context of the function that ends its being
// counted among strangers.
type releaseKey struct{}

// admit counts a connection that begins, or refuses it.
func (q *quicCarrier) admit(ctx context.Context, from *quic.ClientInfo) (context.Context, error) {
	release, ok := q.strangers.take(from.RemoteAddr, from.AddrVerified)
	if !ok {
		return nil, errBusy
	}
	context.AfterFunc(ctx, release)
	return context.WithValue(ctx, releaseKey{}, release), nil
}

// errBusy says that a machine takes no more connections now.
var errBusy = errors.New("too many machines connect at once")

// Dial implements carrier.
func (q *quicCarrier) Dial(ctx context.Context, addr string, c *tls.Config) (session, error) {
	to, err := q.resolve(addr)
	if err != nil {
		return nil, err
	}
	conn, err := q.tr.Dial(ctx, to, c, q.config)
	if t := (*quic.TransportError)(nil); errors.As(err, &t) && t.Remote && t.ErrorCode == quic.ConnectionRefused {
		return nil, errBusy
	}
	if err != nil {
		return nil, err
	}
	return quicSession{conn}, nil
}

// Accept implements carrier.
func (q *quicCarrier) Accept(ctx context.Context) (session, error) {
	conn, err := q.ln.Accept(ctx)
	if err != nil {
		return nil, err
	}
	return quicSession{conn}, nil
}

// Poke implements carrier. The datagram's first bits are none that QUIC uses.
func (q *quicCarrier) Poke(addr string) error {
	to, err := net.ResolveUDPAddr("udp", addr)
	if err != nil {
		return err
	}
	_, err = q.tr.WriteTo([]byte{0}, to)
	return err
}

// Addr implements carrier.
func (q *quicCarrier) Addr() net.Addr { return q.tr.Conn.LocalAddr() }

// Close implements carrier. The socket stays open.
func (q *quicCarrier) Close() error {
	var err error
	if q.ln != nil {
		err = q.ln.Close()
	}
	return errors.Join(err, q.tr.Close())
}

// quicSession is a session.
type quicSession struct{ conn *quic.Conn }

func (s quicSession) OpenStream(ctx context.Context) (stream, error) {
	st, err := s.conn.OpenStreamSync(ctx)
	if err != nil {
		return nil, err
	}
	return quicStream{st}, nil
}

func (s quicSession) AcceptStream(ctx context.Context) (stream, error) {
	st, err := s.conn.AcceptStream(ctx)
	if err != nil {
		return nil, err
	}
	return quicStream{st}, nil
}

func (s quicSession) SendDatagram(b []byte) error { return s.conn.SendDatagram(b) }

func (s quicSession) ReceiveDatagram(ctx context.Context) ([]byte, error) {
	return s.conn.ReceiveDatagram(ctx)
}

func (s quicSession) Context() context.Context { return s.conn.Context() }
func (s quicSession) RemoteAddr() net.Addr     { return s.conn.RemoteAddr() }
func (s quicSession) TLS() tls.ConnectionState { return s.conn.ConnectionState().TLS }

func (s quicSession) Close(code uint64, reason string) {
	s.conn.CloseWithError(quic.ApplicationErrorCode(code), reason)
}

func (s quicSession) Proved() {
	if release, ok := s.conn.Context().Value(releaseKey{}).(func()); ok {
		release()
	}
}

func (s quicSession) Stats() LinkStats {
	x := s.conn.ConnectionStats()
	return LinkStats{RTT: x.SmoothedRTT, PacketsSent: x.PacketsSent, PacketsLost: x.PacketsLost}
}

func (s quicSession) Err() error {
	err := context.Cause(s.conn.Context())
	if a := (*quic.ApplicationError)(nil); errors.As(err, &a) && a.Remote && a.ErrorCode == codeLast {
		return &LastWord{a.ErrorMessage}
	} else if a != nil && a.Remote && a.ErrorMessage != "" {
		return fmt.Errorf("%w by the peer: %s", ErrClosed, a.ErrorMessage)
	}
	if errors.Is(err, &quic.IdleTimeoutError{}) {
		return fmt.Errorf("%w: nothing heard", ErrClosed)
	}
	if r := (*quic.StatelessResetError)(nil); errors.As(err, &r) {
		return fmt.Errorf("%w: the peer was started anew", ErrClosed)
	}
	return fmt.Errorf("%w: %w", ErrClosed, err)
}

// quicStream is a stream.
type quicStream struct{ *quic.Stream }

func (s quicStream) CancelRead(code uint64)  { s.Stream.CancelRead(quic.StreamErrorCode(code)) }
func (s quicStream) CancelWrite(code uint64) { s.Stream.CancelWrite(quic.StreamErrorCode(code)) }
func (s quicStream) Prioritize(urgency int8) { s.Stream.SetPriority(urgency, false) }

// proofOf gives TLS alerts their kind: a peer that does not accept our
// certificate tells it only after the handshake. A refusal that was not read before the connection's end
// comes with that.
func proofOf(err error) error {
	if a := (*quic.ApplicationError)(nil); errors.As(err, &a) && a.Remote && a.ErrorCode == codeService {
		return fmt.Errorf("%w: %s", ErrRefused, a.ErrorMessage)
	}
	if t := (*quic.TransportError)(nil); errors.As(err, &t) && t.ErrorCode.IsCryptoError() && !errors.Is(err, ErrProof) {
		return clockHint(err)
	}
	return err
}
