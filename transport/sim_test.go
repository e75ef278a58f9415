package transport

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"concord/internal/simrouter"
)

// On a long link that loses packets one connection carries little and several
// together fill it (reference case 13); QUIC's own numbers say how many. On links
// that lose nothing one is enough. Virtual time, seeded.
func TestStripesFillALossyLink(t *testing.T) {
	const seed = 3
	lossy := simrouter.Line{Rate: 12.5e6, Delay: 20 * time.Millisecond, Loss: 0.001}
	one, stats := simulated(t, seed, lossy, 1)
	eight, _ := simulated(t, seed, lossy, 8)
	t.Logf("100 Mbit/s, 40 ms, 0.1 %% loss: %.1f Mbit/s with one connection, %.1f with eight (seed %d)", one, eight, seed)
	if eight < 2.5*one || eight < 45 {
		t.Errorf("eight connections carry %.1f Mbit/s, one %.1f", eight, one)
	}
	if n := Stripes(stats, 12.5e6); n < 3 {
		t.Errorf("%d stripes for %+v", n, stats)
	}
	for name, l := range map[string]simrouter.Line{"1 Gbit/s, 1 ms": {Rate: 125e6, Delay: 500 * time.Microsecond},
		"100 Mbit/s, 40 ms": {Rate: 12.5e6, Delay: 20 * time.Millisecond}} {
		rate, stats := simulated(t, seed, l, 1)
		t.Logf("%s: %.0f Mbit/s", name, rate)
		if rate < 0.6*l.Rate*8/1e6 {
			t.Errorf("%s: %.0f Mbit/s", name, rate)
		}
		if n := Stripes(stats, l.Rate); float64(stats.PacketsLost) < 1e-4*float64(stats.PacketsSent) && n != 1 {
			t.Errorf("%s: %d stripes for %+v", name, n, stats)
		}
	}
}

// A certificate is good on machines whose clocks differ by an hour; one that has
// run out is refused with a word about the clock (reference case 30).
func TestClocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca, network := newCA(t), simrouter.New(1)
		start := time.Now()
		end := func(n int) *Endpoint {
			id, err := ca.NewIdentity(uint32(n))
			if err != nil {
				t.Fatal(err)
			}
			if id.cert.Leaf.NotBefore.After(start.Add(-time.Hour)) || id.Expires().Before(start.Add(time.Hour)) {
				t.Errorf("a clock that is an hour off refuses a certificate of %v to %v", id.cert.Leaf.NotBefore, id.Expires())
			}
			e, err := Open(network.Listen(n, simrouter.Line{}), Options{Identity: id, Services: map[string]Handler{"test": newService()}})
			if err != nil {
				t.Fatal(err)
			}
			return e
		}
		a, b := end(1), end(2)
		defer a.Close()
		defer b.Close()
		c, err := a.Dial(t.Context(), b.Addr().String(), "test", nil, nil, newService())
		if err != nil {
			t.Fatal(err)
		}
		c.Close("enough")
		time.Sleep(certValidity + time.Hour)
		_, err = a.Dial(t.Context(), b.Addr().String(), "test", nil, nil, newService())
		if err == nil || !strings.Contains(err.Error(), "clock") {
			t.Errorf("after the certificates' time: %v", err)
		}
	})
}

// simulated sends 24 buckets of 1 MiB over so many connections and returns
// Mbit/s and the numbers of the first connection.
func simulated(t *testing.T, seed uint64, l simrouter.Line, conns int) (rate float64, stats LinkStats) {
	synctest.Test(t, func(t *testing.T) {
		ca := newCA(t) // by the bubble's clock
		net := simrouter.New(seed)
		var ends []*Endpoint
		for n := range 2 {
			id, err := ca.NewIdentity(uint32(n + 1))
			if err != nil {
				t.Fatal(err)
			}
			e, err := Open(net.Listen(n+1, l), Options{Identity: id, Services: map[string]Handler{"test": newService()}, Grants: 16,
				Stall: time.Minute, WAN: true})
			if err != nil {
				t.Fatal(err)
			}
			defer e.Close()
			ends = append(ends, e)
		}
		var p Peer
		for range conns {
			c, err := ends[0].Dial(t.Context(), ends[1].Addr().String(), "test", nil, nil, newService())
			if err != nil {
				t.Fatal(err)
			}
			p.Add(c)
		}
		data := randomBytes(1 << 20)
		start := time.Now()
		var wg sync.WaitGroup
		for range 24 {
			wg.Go(func() {
				if err := p.Transfer(context.Background(), outgoing("", data)); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		rate, stats = 24*(1<<20)*8/time.Since(start).Seconds()/1e6, p.Conns()[0].Stats()
	})
	return rate, stats
}
