package transport

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
)

// MaxMessage bounds a control message.
const MaxMessage = 8 << 20

// Message is one control message: a type and a JSON body, whose meaning is the
// application's.
type Message struct {
	Type uint8
	Body json.RawMessage
}

// Types of messages that the package itself sends; the application's begin at 16.
const (
	msgHello   = 1
	msgHelloOK = 2
	msgRefused = 3
	msgJoin    = 4
	msgJoined  = 5
	msgFetch   = 6
	msgFound   = 7
)

// Pack makes a message of v. It panics on a v that JSON cannot hold, which is a
// bug of the caller.
func Pack(kind uint8, v any) Message {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("transport: pack message %d: %v", kind, err))
	}
	return Message{Type: kind, Body: b}
}

// Unpack reads the body into v.
func (m Message) Unpack(v any) error {
	if err := json.Unmarshal(m.Body, v); err != nil {
		return fmt.Errorf("%w: message %d: %w", ErrFrame, m.Type, err)
	}
	return nil
}

// writeMessage writes u32 length of the rest, u8 type, body.
func writeMessage(w io.Writer, m Message) error {
	if len(m.Body) >= MaxMessage {
		return fmt.Errorf("transport: a message of %d bytes; %d are possible", len(m.Body), MaxMessage-1)
	}
	b := make([]byte, 5, 5+len(m.Body))
	binary.LittleEndian.PutUint32(b, uint32(1+len(m.Body)))
	b[4] = m.Type
	_, err := w.Write(append(b, m.Body...))
	return err
}

// readMessage reads one message of at most limit bytes. Memory grows with the bytes
// that arrive, not with the length that is claimed.
func readMessage(r io.Reader, limit int) (Message, error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return Message{}, err
	}
	n := int64(binary.LittleEndian.Uint32(head[:]))
	if n < 1 || n > int64(limit) {
		return Message{}, fmt.Errorf("%w: a message of %d bytes; 1 to %d are possible", ErrFrame, n, limit)
	}
	body, err := io.ReadAll(io.LimitReader(r, n-1))
	if err == nil && int64(len(body)) < n-1 {
		err = io.ErrUnexpectedEOF
	}
	return Message{Type: head[4], Body: body}, err
}
