package transport

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// Answers of a receiver on a transfer's stream, one byte each. A refusal and a
// deferral are followed by u16 length and text, an acknowledgement by the body's
// hash.
const (
	ansGrant  = 1
	ansHave   = 2
	ansRefuse = 3
	ansAck    = 4
	ansAgain  = 5
	ansLater  = 6
)

// maxReason bounds the text of a refusal.
const maxReason = 1024

// receive serves one offered transfer: header, grant, body, acknowledgement.
func (c *Conn) receive(s stream) error {
	raw := make([]byte, HeaderSize)
	if _, err := io.ReadFull(s, raw); err != nil {
		return err
	}
	h, err := DecodeHeader(raw)
	if err != nil {
		return err
	}
	if h.Run != c.Peer.Run || h.Sender != c.Peer.Worker {
		return fmt.Errorf("%w: worker %d sends in the name of worker %d", ErrFrame, c.Peer.Worker, h.Sender)
	}
	switch v, reason := c.handler.Offer(c, h); v {
	case Have:
		return c.answer(s, []byte{ansHave})
	case Later:
		return c.explain(s, ansLater, reason)
	case Refuse:
		return c.explain(s, ansRefuse, reason)
	}
	release, err := c.grant()
	if err != nil {
		return err
	}
	defer release()
	return c.receiveBody(s, h)
}

func (c *Conn) receiveBody(s stream, h Header) error {
	body := make([]byte, uint64(h.Meta)+h.Payload)
	answer := byte(ansGrant)
	var sums []byte
	for try := 0; ; try++ {
		if err := c.answer(s, []byte{answer}); err != nil {
			return err
		}
		var err error
		sums, err = readBody(s, body, func() { s.SetReadDeadline(time.Now().Add(c.e.opt.Stall)) })
		if err == nil {
			break
		}
		if !errors.Is(err, ErrDamaged) || try > 0 {
			return err
		}
		answer = ansAgain
		c.e.count(func(st *Stats) { st.Resent++ })
	}
	if err := c.handler.Deliver(c, h, body[:h.Meta:h.Meta], body[h.Meta:]); err != nil {
		return c.explain(s, ansRefuse, err.Error())
	}
	c.e.count(func(st *Stats) { st.ReceivedBytes += int64(len(body)); st.ReceivedTransfers++ })
	sum := Sum(sums)
	return c.answer(s, append([]byte{ansAck}, sum[:]...))
}

func (c *Conn) answer(s stream, b []byte) error {
	s.SetWriteDeadline(time.Now().Add(c.e.opt.Stall))
	_, err := s.Write(b)
	return err
}

// explain answers with a reason.
func (c *Conn) explain(s stream, answer byte, reason string) error {
	reason = reason[:min(len(reason), maxReason)]
	b := binary.LittleEndian.AppendUint16([]byte{answer}, uint16(len(reason)))
	return c.answer(s, append(b, reason...))
}

// Outgoing is a transfer to be sent. h.Payload, h.Meta and h.Sender are filled
// in.
type Outgoing struct {
	Header
	Metadata []byte
	Data     []byte
	Urgency  int8 // 1 first … 7 last; streams of one urgency go one after the other
	// Patience is how long the receiver may take to grant; 0 means as long as a
	// peer may stall.
	Patience time.Duration
}

// Transfer sends t and returns when the receiver has it: nil, also where it had
// it before. ErrRefused is final; other errors mean that it may be tried again
// on another connection.
func (c *Conn) Transfer(ctx context.Context, t Outgoing) error {
	s, err := c.s.OpenStream(ctx)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrClosed, err)
	}
	stop := context.AfterFunc(ctx, func() { s.CancelRead(codeClosing); s.CancelWrite(codeClosing) })
	defer stop()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.s.Context(), cancel)()
	s.Prioritize(t.Urgency) // whole buckets one after the other, not all of them late
	if err := c.transfer(ctx, s, t); err != nil {
		s.CancelRead(codeClosing)
		s.CancelWrite(codeClosing)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			err = fmt.Errorf("%w: %w", ErrStalled, err)
		}
		return err
	}
	s.CancelRead(codeClosing)
	s.Close() // the receiver may have ended the stream already: it has everything
	return nil
}

func (c *Conn) transfer(ctx context.Context, s stream, t Outgoing) error {
	t.Run, t.Sender = c.e.opt.Identity.Run, c.e.opt.Identity.Worker
	t.Payload, t.Meta = uint64(len(t.Data)), uint32(len(t.Metadata))
	if err := t.check(); err != nil {
		return err
	}
	if err := c.answer(s, t.Encode()); err != nil {
		return err
	}
	patience := t.Patience
	if patience == 0 {
		patience = c.e.opt.Stall
	}
	var sum Hash
	var sums []byte // of the chunks' checksums
	for {
		s.SetReadDeadline(time.Now().Add(patience))
		a, err := readAnswer(s, &sum)
		switch {
		case err != nil:
			return err
		case a == ansHave:
			return nil
		case a == ansAck:
			if sum != Sum(sums) {
				return fmt.Errorf("%w: the receiver acknowledged other bytes", ErrDamaged)
			}
			c.e.count(func(st *Stats) { st.SentBytes += int64(len(t.Metadata) + len(t.Data)); st.SentTransfers++ })
			return nil
		}
		if sums, err = c.sendBody(ctx, s, t); err != nil {
			return err
		}
	}
}

// sendBody writes the chunks of metadata and payload as one sequence, and returns
// their checksums.
func (c *Conn) sendBody(ctx context.Context, s stream, t Outgoing) (sums []byte, err error) {
	body := t.Data
	wait := func(n int) (int, error) { return c.ready(ctx, s, n) }
	if len(t.Metadata) > 0 {
		first := min(len(t.Data), ChunkSize-len(t.Metadata)%ChunkSize)
		head := append(append(make([]byte, 0, len(t.Metadata)+first), t.Metadata...), t.Data[:first]...)
		if err := writeBody(s, head, &sums, wait); err != nil {
			return nil, err
		}
		body = t.Data[first:]
	}
	return sums, writeBody(s, body, &sums, wait)
}

// readAnswer reads one answer: grant and again mean that the body is wanted.
func readAnswer(r io.Reader, sum *Hash) (byte, error) {
	var a [1]byte
	if _, err := io.ReadFull(r, a[:]); err != nil {
		return 0, err
	}
	switch a[0] {
	case ansGrant, ansHave, ansAgain:
		return a[0], nil
	case ansAck:
		_, err := io.ReadFull(r, sum[:])
		return a[0], err
	case ansRefuse, ansLater:
		var n [2]byte
		if _, err := io.ReadFull(r, n[:]); err != nil {
			return 0, err
		}
		text := make([]byte, min(int(binary.LittleEndian.Uint16(n[:])), maxReason))
		if _, err := io.ReadFull(r, text); err != nil {
			return 0, err
		}
		if a[0] == ansLater {
			return 0, fmt.Errorf("%w: %s", ErrLater, text)
		}
		return 0, fmt.Errorf("%w: %s", ErrRefused, text)
	}
	return 0, fmt.Errorf("%w: answer %d", ErrFrame, a[0])
}
