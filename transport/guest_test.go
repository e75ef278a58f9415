package transport

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// hoard offers transfers on one connection and sends a byte a second of each: it holds what grants
// it gets for as long as it may.
func hoard(t *testing.T, c *Conn, ca *CA, sender uint32, n int) {
	t.Helper()
	for range n {
		st, err := c.s.OpenStream(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		o := outgoing("", make([]byte, 2*ChunkSize))
		o.Run, o.Sender, o.Payload = ca.Run, sender, uint64(len(o.Data))
		st.Write(o.Encode())
		go func() {
			for st.SetWriteDeadline(time.Now().Add(time.Second)) == nil {
				if _, err := st.Write([]byte{0}); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		}()
	}
}

// Peers that send as slowly as they may do not keep others from sending, however many
// transfers they begin.
func TestHoardedGrants(t *testing.T) {
	t.Parallel()
	ca, s := newCA(t), newService()
	to := open(t, ca, 1, s, func(o *Options) { o.Stall = time.Minute })
	for worker := uint32(2); worker < 5; worker++ {
		hoard(t, dial(t, open(t, ca, worker, newService(), nil), to, newService()), ca, worker, 20)
	}
	time.Sleep(500 * time.Millisecond)
	c := dial(t, open(t, ca, 9, newService(), nil), to, newService())
	within(t, 20*time.Second, "an honest transfer", func(ctx context.Context) {
		o := outgoing("honest", randomBytes(100))
		o.Patience = time.Minute
		if err := c.Transfer(ctx, o); err != nil {
			t.Error(err)
		}
	})
}

// One peer opens connections, and asks for contents that it does not read, without end:
// what it is given is bounded, and others get theirs.
func TestOnePeerTakesLittle(t *testing.T) {
	t.Parallel()
	ca, s := newCA(t), newService()
	s.files["x"] = randomBytes(4 << 20)
	to := open(t, ca, 1, s, func(o *Options) { o.Stall = time.Minute })
	from := open(t, ca, 2, newService(), nil)
	opened := 0
	for range maxConns + 10 {
		c, err := from.Dial(t.Context(), to.Addr().String(), "test", nil, nil, newService())
		if err != nil {
			continue
		}
		if opened++; opened > 1 {
			continue
		}
		for range 40 {
			st, err := c.s.OpenStream(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := writeMessage(st, Message{Type: msgFetch, Body: json.RawMessage(`"x"`)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if opened > maxConns {
		t.Errorf("%d connections of one peer", opened)
	}
	time.Sleep(300 * time.Millisecond)
	if n := s.opened.Load(); n > maxFetches {
		t.Errorf("%d contents are sent to one peer at one time", n)
	}
	var got bytes.Buffer
	c := dial(t, open(t, ca, 3, newService(), nil), to, newService())
	err := c.Fetch(t.Context(), "x", 5*time.Second, func(int64) (io.Writer, error) { return &got, nil })
	if err != nil || !bytes.Equal(got.Bytes(), s.files["x"]) {
		t.Errorf("another peer gets %d bytes of its content: %v", got.Len(), err)
	}
}

// Connections whose peer says nothing yet count with those that are open: all at once
// are no more than one after the other.
func TestOnePeerComesAtOnce(t *testing.T) {
	t.Parallel()
	ca := newCA(t)
	to, from := open(t, ca, 1, newService(), nil), open(t, ca, 2, newService(), nil)
	var silent []session
	for range maxConns + 10 {
		q, err := connect(t.Context(), from.net, to.Addr().String(), from.clientTLS())
		if err == nil { // else it was refused at once
			silent = append(silent, q)
		}
	}
	var opened atomic.Int64
	var all sync.WaitGroup
	for _, q := range silent {
		all.Go(func() {
			if _, err := from.introduce(t.Context(), q, "test", nil, nil, newService()); err == nil {
				opened.Add(1)
			}
		})
	}
	all.Wait()
	if n := opened.Load(); n > maxConns || n == 0 {
		t.Errorf("%d connections of one peer", n)
	}
	greeted := func() int { to.mu.Lock(); defer to.mu.Unlock(); return len(to.greets) }
	for limit := time.Now().Add(5 * time.Second); greeted() > 0 && time.Now().Before(limit); time.Sleep(time.Millisecond) {
	} // a peer reads the answer before the last of its greeting is over here
	if n := greeted(); n != 0 {
		t.Errorf("%d peers are greeted for ever", n)
	}
}
