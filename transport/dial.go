package transport

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// Dial connects to a machine of the run, at an address or through a relay (RelayAddr), and
// greets its service. Until the answer is there the peer has proved itself but may still
// refuse; reply, which may be nil, takes the reply. h serves the streams that the peer opens
// on this connection.
func (e *Endpoint) Dial(ctx context.Context, addr, service string, body, reply any, h Handler) (*Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	over, err := e.carrierTo(addr)
	if err != nil {
		return nil, fmt.Errorf("transport: dial %s: %w", addr, err)
	}
	q, err := connect(ctx, over, addr, e.clientTLS())
	if err != nil {
		return nil, fmt.Errorf("transport: dial %s: %w", addr, proofOf(err))
	}
	c, err := e.introduce(ctx, q, service, body, reply, h)
	if err != nil {
		q.Close(codeRefused, "")
		return nil, fmt.Errorf("transport: dial %s: %w", addr, proofOf(err))
	}
	e.wg.Go(c.serve)
	return c, nil
}

// carrierTo is the carrier that reaches an address.
func (e *Endpoint) carrierTo(addr string) (carrier, error) {
	if !strings.HasPrefix(addr, relayPrefix) {
		return e.net, nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.relaySocket == nil || e.relaySocket.relay() == nil {
		return nil, errNoRelay
	}
	return e.relay, nil
}

// connect opens a session, and tries again where the machine is busy with others.
func connect(ctx context.Context, over carrier, addr string, c *tls.Config) (session, error) {
	for {
		q, err := over.Dial(ctx, addr, c)
		if !errors.Is(err, errBusy) {
			return q, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(busyPause + rand.N(busyPause)):
		}
	}
}

// busyPause is how long, and up to twice, a machine waits that was told that another one
// is busy.
const busyPause = 100 * time.Millisecond

func (e *Endpoint) introduce(ctx context.Context, q session, service string, body, reply any, h Handler) (*Conn, error) {
	claims, err := peerClaims(q.TLS())
	if err != nil {
		return nil, err
	}
	s, err := q.OpenStream(ctx)
	if err != nil {
		return nil, err
	}
	s.Prioritize(0)
	raw, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	if err := writeMessage(s, Pack(msgHello, hello{Service: service, Wire: wireVersion, Body: raw})); err != nil {
		return nil, err
	}
	s.SetReadDeadline(time.Now().Add(5 * time.Second))
	m, err := readMessage(s, MaxMessage)
	if err != nil {
		return nil, err
	}
	if m.Type != msgHelloOK {
		var why refusal
		m.Unpack(&why)
		return nil, fmt.Errorf("%w: %s", ErrRefused, why.Reason)
	}
	if reply != nil {
		if err := m.Unpack(reply); err != nil {
			return nil, err
		}
	}
	return e.newConn(q, s, claims, h), nil
}
