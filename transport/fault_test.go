package transport

import (
	"bytes"
	"testing"
	"time"

	"concord/internal/faultproxy"
)

// behind dials b through a proxy.
func behind(t *testing.T, from, to *Endpoint, h Handler) (*faultproxy.Proxy, *Conn) {
	t.Helper()
	p, err := faultproxy.New(to.Addr().String(), 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	c, err := from.Dial(t.Context(), p.Addr(), "test", "hi", nil, h)
	if err != nil {
		t.Fatal(err)
	}
	return p, c
}

// What the network does to packets does not reach the payload (reference case 14).
func TestTransferThroughABadNetwork(t *testing.T) {
	ca, s := newCA(t), newService()
	patient := func(o *Options) { o.Stall = 20 * time.Second }
	a, b := open(t, ca, 1, newService(), patient), open(t, ca, 2, s, patient)
	p, c := behind(t, a, b, newService())
	p.Set(faultproxy.Faults{Loss: 0.02, Duplicate: 0.05, Corrupt: 0.01, Reorder: 0.05})
	data := randomBytes(2 << 20)
	for range 3 {
		if err := c.Transfer(t.Context(), outgoing("x", data)); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(s.body("x"), data) {
			t.Fatal("other bytes arrived")
		}
	}
	if st := c.Stats(); st.PacketsLost == 0 {
		t.Error("nothing was lost: the proxy does nothing")
	}
}

// An outage shorter than the patience, and a router that changes its mind twice,
// in the middle of a transfer (reference cases 12 and 29): the connection stays. The sender is paced, so
// that the transfer spans all of it and the proxy's socket holds no seconds of it.
func TestTransferOutlivesOutageAndRebinding(t *testing.T) {
	ca, s := newCA(t), newService()
	patient := func(o *Options) { o.Stall = 20 * time.Second }
	paced := func(o *Options) { patient(o); o.UploadLimit = 4 << 20 }
	a, b := open(t, ca, 1, newService(), paced), open(t, ca, 2, s, patient)
	p, c := behind(t, a, b, newService())
	p.Set(faultproxy.Faults{Delay: 5 * time.Millisecond})
	data, done := randomBytes(12<<20), make(chan error)
	go func() { done <- c.Transfer(t.Context(), outgoing("x", data)) }()
	time.Sleep(50 * time.Millisecond)
	if err := p.Rebind(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(100 * time.Millisecond)
	p.Set(faultproxy.Faults{ToTarget: true, FromTarget: true})
	time.Sleep(1500 * time.Millisecond)
	p.Set(faultproxy.Faults{Delay: 5 * time.Millisecond})
	if err := p.Rebind(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-done:
		if err != nil || !bytes.Equal(s.body("x"), data) {
			t.Errorf("%v", err)
		}
	case <-time.After(30 * time.Second):
		t.Error("hangs")
	}
	if s.connections() != 1 {
		t.Errorf("%d connections", s.connections())
	}
}

// A link that stays dead, in one direction or both (reference case 11), is an
// error in bounded time.
func TestDeadLinkIsAnError(t *testing.T) {
	for name, f := range map[string]faultproxy.Faults{"both ways": {ToTarget: true, FromTarget: true}, "there": {ToTarget: true},
		"back": {FromTarget: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ca, s := newCA(t), newService()
			a, b := open(t, ca, 1, newService(), nil), open(t, ca, 2, s, nil) // a peer may stall for 2 s
			p, c := behind(t, a, b, newService())
			p.Set(f)
			start := time.Now()
			err := c.Transfer(t.Context(), outgoing("x", randomBytes(1<<20)))
			if d := time.Since(start); err == nil || d > 12*time.Second {
				t.Errorf("after %v: %v", d, err)
			}
		})
	}
}
