// Package transport moves bucket gradients, files and control messages between
// the machines of a run over QUIC, and proves to each side the identity of the other.
//
// One Endpoint is one UDP socket: it listens and dials. A Conn is a mutually
// authenticated connection with one control stream of messages. A bucket
// transfer is one bidirectional stream: a 96-byte Header is the offer, the
// receiver grants it, the body follows in checksummed chunks, the receiver
// acknowledges it by its hash (docs/wire.md). A Peer is one or more connections
// to the same machine, between which transfers are striped.
//
// The package knows nothing of training: the meaning of a transfer, its receivers
// and its time are internal/cluster's. It is the only importer of quic-go.
// Everything is safe for concurrent use; every wait has a deadline.
package transport

import "errors"

// Errors that callers tell apart with errors.Is.
var (
	ErrRefused = errors.New("refused by the peer")       // the receiver will not take the transfer, ever
	ErrLater   = errors.New("put off by the peer")       // it cannot take the transfer yet
	ErrProof   = errors.New("identity not proved")       // certificate, join secret or run do not fit
	ErrFrame   = errors.New("malformed frame")           // bytes that are not of this protocol
	ErrDamaged = errors.New("damaged in transit")        // a checksum failed twice
	ErrClosed  = errors.New("connection is closed")      // the peer or this side went away
	ErrStalled = errors.New("no progress from the peer") // a wait ran out
)

// LastWord is the error of a connection that the peer has ended with CloseWith. It is an
// ErrClosed. The word is the peer's: check it.
type LastWord struct{ Word string }

func (e *LastWord) Error() string { return ErrClosed.Error() + " by the peer, which has said why" }

// Unwrap makes it an ErrClosed.
func (e *LastWord) Unwrap() error { return ErrClosed }
