package protocol

import (
	"encoding/json"
	"errors"
	"io"

	"concord/transport"
)

// Nothing is a transport.Handler that takes nothing. It answers machines that only want to know
// whether this one is there, and services embed it for all that they do not offer.
type Nothing struct{}

// Connected implements transport.Handler.
func (Nothing) Connected(*transport.Conn, json.RawMessage) (any, error) { return nil, nil }

// Message implements transport.Handler.
func (Nothing) Message(c *transport.Conn, _ transport.Message) { c.Close("nothing to say") }

// Disconnected implements transport.Handler.
func (Nothing) Disconnected(*transport.Conn, error) {}

// Offer implements transport.Handler.
func (Nothing) Offer(*transport.Conn, transport.Header) (transport.Verdict, string) {
	return transport.Refuse, errNoTransfers.Error()
}

// Deliver implements transport.Handler.
func (Nothing) Deliver(*transport.Conn, transport.Header, []byte, []byte) error {
	return errNoTransfers
}

// Fetch implements transport.Handler.
func (Nothing) Fetch(*transport.Conn, json.RawMessage) (int64, io.ReadCloser, error) {
	return 0, nil, errors.New("nothing to fetch here")
}

var errNoTransfers = errors.New("this service takes no transfers")
