package transport

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
)

// A peer that grants a transfer and then reads no more, though its machine answers
// every packet, is given up in bounded time; transfers to others go on meanwhile,
// and nothing piles up (reference case 17).
func TestSlowReaderIsGivenUp(t *testing.T) {
	ca, s := newCA(t), newService()
	from := open(t, ca, 1, newService(), func(o *Options) { o.Stall = 2 * time.Second })
	good := open(t, ca, 3, s, nil)
	tr := &quic.Transport{Conn: udp(t)}
	defer tr.Close()
	ln, err := tr.Listen(open(t, ca, 2, newService(), nil).serverTLS(), quicConfig(false))
	if err != nil {
		t.Fatal(err)
	}
	go func() { // greets, grants, and that is all
		q, err := ln.Accept(t.Context())
		if err != nil {
			return
		}
		control, err := q.AcceptStream(t.Context())
		if err != nil {
			return
		}
		readMessage(control, 64<<10)
		writeMessage(control, Pack(msgHelloOK, nil))
		for {
			st, err := q.AcceptStream(t.Context())
			if err != nil {
				return
			}
			io.ReadFull(st, make([]byte, HeaderSize))
			st.Write([]byte{ansGrant})
		}
	}()
	slow, err := from.Dial(t.Context(), ln.Addr().String(), "test", "hi", nil, newService())
	if err != nil {
		t.Fatal(err)
	}
	fast := dial(t, from, good, newService())
	data := randomBytes(8 << 20)
	before, _ := usage()
	gone := make(chan error, 1)
	go func() { gone <- slow.Transfer(t.Context(), outgoing("slow", data)) }()
	within(t, 20*time.Second, "the transfers to others", func(ctx context.Context) {
		for i := range 5 {
			if err := fast.Transfer(ctx, outgoing(string(rune('a'+i)), data)); err != nil {
				t.Error(err)
			}
		}
	})
	select {
	case err := <-gone:
		if !errors.Is(err, ErrStalled) {
			t.Errorf("the slow one: %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the slow one is waited for")
	}
	if after, _ := usage(); after-before > 5*8.4+32 { // what the good one has kept, and windows
		t.Errorf("%.0f MB, then %.0f", before, after)
	}
}
