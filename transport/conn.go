package transport

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// Conn is a connection to a machine that has proved its identity.
type Conn struct {
	Peer    Claims
	Value   any // the application's; set it in Connected or behind Dial, before others see it
	s       session
	e       *Endpoint
	handler Handler

	sending chan struct{} // one control message at a time
	control stream
	load    loads
}

func (e *Endpoint) newConn(q session, control stream, peer Claims, h Handler) *Conn {
	control.SetReadDeadline(time.Time{})
	return &Conn{Peer: peer, s: q, e: e, control: control, handler: h, sending: make(chan struct{}, 1)}
}

// Remote is the peer's address as seen from here.
func (c *Conn) Remote() net.Addr { return c.s.RemoteAddr() }

// Context ends with the connection.
func (c *Conn) Context() context.Context { return c.s.Context() }

// Stats are the numbers of the connection's packets.
func (c *Conn) Stats() LinkStats { return c.s.Stats() }

// LinkStats are the figures by which striping decides.
type LinkStats struct {
	RTT                      time.Duration
	PacketsSent, PacketsLost uint64
}

// Send sends one control message. A peer that does not take it in time loses the
// connection.
func (c *Conn) Send(m Message) error {
	select {
	case c.sending <- struct{}{}:
		defer func() { <-c.sending }()
	case <-c.s.Context().Done():
		return ErrClosed
	}
	return c.write(m)
}

// write is Send for a caller that holds sending.
func (c *Conn) write(m Message) error {
	c.control.SetWriteDeadline(time.Now().Add(c.e.opt.Stall))
	if err := writeMessage(c.control, m); err != nil {
		c.s.Close(codeStalled, "control stream stalled")
		return fmt.Errorf("%w: %w", ErrClosed, err)
	}
	return nil
}

// Close ends the connection and tells the peer why.
func (c *Conn) Close(reason string) { c.s.Close(codeClosing, reason) }

// CloseWith ends the connection with a last word of at most 1,000 bytes, which the peer's
// Disconnected has as a LastWord. It arrives with the end itself, where the peer has not read the
// messages before yet.
func (c *Conn) CloseWith(word string) { c.s.Close(codeLast, word[:min(len(word), mostWord)]) }

// mostWord is the bytes of a last word that fit into a packet.
const mostWord = 1000

// serve reads control messages and streams until the connection ends. The handler is
// told as soon as it has, while its other methods may still work for it.
func (c *Conn) serve() {
	c.e.mu.Lock()
	c.e.conns[c] = struct{}{}
	c.e.mu.Unlock()
	var wg sync.WaitGroup
	wg.Go(c.streams)
	wg.Go(func() {
		<-c.s.Context().Done()
		c.handler.Disconnected(c, c.s.Err())
	})
	var err error
	for err == nil {
		var m Message
		if m, err = readMessage(c.control, MaxMessage); err == nil {
			c.handler.Message(c, m)
		}
	}
	code, text := uint64(codeClosing), ""
	if errors.Is(err, ErrFrame) {
		code, text = codeFrame, err.Error()
	}
	c.s.Close(code, text)
	wg.Wait()
	c.e.left(c)
}

// streams serves the streams that the peer opens.
func (c *Conn) streams() {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		s, err := c.s.AcceptStream(c.s.Context())
		if err != nil {
			return
		}
		wg.Go(func() {
			if err := c.serveStream(s); err != nil {
				code := uint64(codeRefused)
				if errors.Is(err, ErrFrame) {
					code = codeFrame
				}
				s.CancelRead(code)
				s.CancelWrite(code)
				return
			}
			s.Close()
			s.CancelRead(0) // the peer's end of the stream is not read: without this its credit would never return
		})
	}
}

// serveStream tells a transfer from a request by its first bytes.
func (c *Conn) serveStream(s stream) error {
	defer c.busy()()
	s.SetReadDeadline(time.Now().Add(c.e.opt.Stall))
	var first [4]byte
	if _, err := s.Peek(first[:]); err != nil {
		return err
	}
	if first == magic {
		return c.receive(s)
	}
	m, err := readMessage(s, 64<<10)
	if err != nil {
		return err
	}
	if m.Type != msgFetch {
		return fmt.Errorf("%w: a stream begins with message %d", ErrFrame, m.Type)
	}
	return c.serveFetch(s, m.Body)
}

// found is the head of a fetch's answer.
type found struct {
	Size int64 `json:"size"`
}

// serveFetch answers a peer's Fetch.
func (c *Conn) serveFetch(s stream, request json.RawMessage) error {
	release, err := c.take(c.guest().fetches)
	if err != nil {
		return err
	}
	defer release()
	size, r, err := c.handler.Fetch(c, request)
	s.SetWriteDeadline(time.Now().Add(c.e.opt.Stall))
	if err != nil {
		return writeMessage(s, Pack(msgRefused, refusal{err.Error()}))
	}
	defer r.Close()
	s.Prioritize(7) // after everything that a step waits for
	if err := writeMessage(s, Pack(msgFound, found{Size: size})); err != nil {
		return err
	}
	buf := make([]byte, ChunkSize)
	for left := size; left > 0; {
		n, err := io.ReadFull(r, buf[:min(left, ChunkSize)])
		if err != nil {
			return err
		}
		left -= int64(n)
		if err := writeBody(s, buf[:n], new([]byte), func(n int) (int, error) { return c.ready(c.s.Context(), s, n) }); err != nil {
			return err
		}
	}
	return nil
}

// ready waits until some of n bytes may be sent, returns how many, and renews the write deadline. When
// ctx ends it waits no longer.
func (c *Conn) ready(ctx context.Context, s stream, n int) (int, error) {
	n, err := c.e.throttle(ctx, n)
	if err != nil {
		return 0, err
	}
	return n, s.SetWriteDeadline(time.Now().Add(c.e.opt.Stall))
}

// Fetch asks for the content that request names and writes it to the writer of open for its
// size. Damage is an error: ask again.
func (c *Conn) Fetch(ctx context.Context, request any, patience time.Duration, open func(size int64) (io.Writer, error)) error {
	defer c.busy()()
	s, err := c.s.OpenStream(ctx)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrClosed, err)
	}
	stop := context.AfterFunc(ctx, func() { s.CancelRead(codeClosing); s.CancelWrite(codeClosing) })
	defer stop()
	defer s.CancelRead(codeClosing)
	s.SetWriteDeadline(time.Now().Add(c.e.opt.Stall))
	if err := writeMessage(s, Pack(msgFetch, request)); err != nil {
		return err
	}
	s.Close()
	s.SetReadDeadline(time.Now().Add(patience))
	m, err := readMessage(s, 64<<10)
	if err != nil {
		return err
	}
	if m.Type != msgFound {
		var why refusal
		m.Unpack(&why)
		return fmt.Errorf("%w: %s", ErrRefused, why.Reason)
	}
	var f found
	if err := m.Unpack(&f); err != nil {
		return err
	}
	if f.Size < 0 {
		return fmt.Errorf("%w: a size of %d bytes", ErrFrame, f.Size)
	}
	w, err := open(f.Size)
	if err != nil {
		return err
	}
	buf := make([]byte, ChunkSize)
	for left := f.Size; left > 0; {
		chunk := buf[:min(left, ChunkSize)]
		if _, err := readBody(s, chunk, func() { s.SetReadDeadline(time.Now().Add(c.e.opt.Stall)) }); err != nil {
			return err
		}
		if _, err := w.Write(chunk); err != nil {
			return err
		}
		left -= int64(len(chunk))
	}
	return nil
}
