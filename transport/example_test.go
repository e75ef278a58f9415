package transport_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"

	"concord/transport"
)

// inbox is a service that takes every transfer.
type inbox struct{ got chan string }

func (inbox) Connected(c *transport.Conn, hello json.RawMessage) (any, error) {
	return fmt.Sprintf("hello, worker %d", c.Peer.Worker), nil
}
func (inbox) Message(*transport.Conn, transport.Message) {}
func (inbox) Disconnected(*transport.Conn, error)        {}
func (inbox) Fetch(*transport.Conn, json.RawMessage) (int64, io.ReadCloser, error) {
	return 0, nil, errors.New("nothing to fetch here")
}

// Offer sees the header alone: a transfer that is refused costs no memory.
func (inbox) Offer(_ *transport.Conn, h transport.Header) (transport.Verdict, string) {
	if h.Elements > 1000 {
		return transport.Refuse, "too large"
	}
	return transport.Take, ""
}

func (s inbox) Deliver(_ *transport.Conn, h transport.Header, _, payload []byte) error {
	x := make([]float32, h.Elements)
	err := h.Codec.Decode(x, payload)
	s.got <- fmt.Sprintf("step %d, group %d, from worker %d: %v", h.Step, h.Bucket, h.Sender, x)
	return err
}

// open is an endpoint of a worker on this machine, with an identity by the run's authority.
func open(ca *transport.CA, worker uint32, services map[string]transport.Handler) (*transport.Endpoint, error) {
	identity, err := ca.NewIdentity(worker)
	if err != nil {
		return nil, err
	}
	socket, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, err
	}
	return transport.Open(socket, transport.Options{Identity: identity, Services: services})
}

// Two machines of a run, which prove themselves to each other by certificates of the run's
// authority: one offers a service, the other sends a group's gradient there.
func Example() {
	ca, err := transport.NewCA()
	if err != nil {
		fmt.Println(err)
		return
	}
	here := inbox{got: make(chan string, 1)}
	a, err := open(ca, 1, map[string]transport.Handler{"inbox": here})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer a.Close()
	b, err := open(ca, 2, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer b.Close()
	ctx := context.Background()
	var welcome string
	c, err := b.Dial(ctx, a.Addr().String(), "inbox", nil, &welcome, inbox{})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(welcome)
	x := []float32{1, -2, 0.5}
	header := transport.Header{Kind: transport.Gradient, Codec: transport.BF16, Step: 7, Bucket: 3, Elements: uint64(len(x))}
	fmt.Println(c.Transfer(ctx, transport.Outgoing{Header: header, Data: transport.BF16.Encode(x)}))
	fmt.Println(<-here.got)
	header.Elements = 2000
	err = c.Transfer(ctx, transport.Outgoing{Header: header, Data: transport.BF16.Encode(make([]float32, 2000))})
	fmt.Println(errors.Is(err, transport.ErrRefused))
	// Output:
	// hello, worker 2
	// <nil>
	// step 7, group 3, from worker 2: [1 -2 0.5]
	// true
}
