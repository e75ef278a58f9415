package transport

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"time"
)

// The package works over the interfaces of this file. quic.go makes it of quic-go, whose types
// are nowhere else; another carrier of sessions and streams takes its place beside it.

// carrier opens sessions to other machines, and takes theirs.
type carrier interface {
	// Dial opens a session to the machine at addr, which has proved itself as c asks.
	// errBusy: it takes none now.
	Dial(ctx context.Context, addr string, c *tls.Config) (session, error)
	// Accept waits for the next session that a peer has opened.
	Accept(ctx context.Context) (session, error)
	// Poke sends addr a datagram that it drops: a NAT on the way lets packets from
	// there in from then on.
	Poke(addr string) error
	Addr() net.Addr
	Close() error
}

// session is an encrypted connection with any number of streams, which are ordered and
// lossless each by itself.
type session interface {
	OpenStream(ctx context.Context) (stream, error)
	AcceptStream(ctx context.Context) (stream, error)
	// SendDatagram sends a message that may be lost. It waits while many are on their way;
	// one that is too large for a packet is an error.
	SendDatagram(b []byte) error
	// ReceiveDatagram returns the next; the bytes are the caller's.
	ReceiveDatagram(ctx context.Context) ([]byte, error)
	// Context ends with the session.
	Context() context.Context
	// Err is why a session that has ended did so, as the user should read it: ErrClosed.
	Err() error
	// Close ends the session and tells the peer why. Only the first call counts.
	Close(code uint64, reason string)
	// Proved says that the peer has proved itself: the limits of strangers are its no more.
	Proved()
	RemoteAddr() net.Addr
	Stats() LinkStats
	TLS() tls.ConnectionState
}

// stream is one of a session's. Close ends its writing side.
type stream interface {
	io.ReadWriteCloser
	Peek(b []byte) (int, error)
	CancelRead(code uint64)
	CancelWrite(code uint64)
	SetDeadline(t time.Time) error
	SetReadDeadline(t time.Time) error
	SetWriteDeadline(t time.Time) error
	// Prioritize has streams of a lower urgency go first; those of one urgency go one
	// after the other.
	Prioritize(urgency int8)
}
