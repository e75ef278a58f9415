package transport

import (
	"context"
	"crypto/tls"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
)

// catcher is a socket that keeps the first packet of every connection and lets
// nothing through.
type catcher struct {
	net.PacketConn
	mu   sync.Mutex
	got  [][]byte
	seen chan struct{}
}

func (c *catcher) WriteTo(b []byte, _ net.Addr) (int, error) {
	c.mu.Lock()
	c.got = append(c.got, append([]byte(nil), b...))
	c.mu.Unlock()
	c.seen <- struct{}{}
	return len(b), nil
}

// hellos are the first packets of n handshakes that never go on.
func hellos(t *testing.T, n int) [][]byte {
	c := &catcher{PacketConn: udp(t), seen: make(chan struct{}, 10*n)}
	tr := &quic.Transport{Conn: c}
	defer tr.Close()
	to := &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9}
	for range n {
		ctx, cancel := context.WithCancel(t.Context())
		go tr.Dial(ctx, to, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{alpnRun}, ServerName: certName},
			&quic.Config{HandshakeIdleTimeout: time.Second})
		<-c.seen
		cancel()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.got[:n]
}

// 10,000 handshakes from addresses that never answer: memory stays bounded, and a
// machine of the run still gets in (reference case 27).
func TestFloodOfHandshakes(t *testing.T) {
	n := 10_000
	if testing.Short() {
		n = 1000
	}
	ca := newCA(t)
	b := open(t, ca, 2, newService(), nil)
	packets := hellos(t, n)
	time.Sleep(200 * time.Millisecond)
	heap, goroutines := usage()
	var from []net.PacketConn
	for range 50 {
		c := udp(t)
		defer c.Close()
		from = append(from, c)
	}
	flooded := make(chan struct{})
	go func() {
		defer close(flooded)
		for i, p := range packets {
			from[i%len(from)].WriteTo(p, b.Addr())
			if i%50 == 49 {
				time.Sleep(5 * time.Millisecond) // what the socket's buffer can take
			}
		}
	}()
	time.Sleep(300 * time.Millisecond)
	within(t, 20*time.Second, "to join under a flood", func(ctx context.Context) {
		a := open(t, ca, 1, newService(), nil)
		c, err := a.Dial(ctx, b.Addr().String(), "test", "hi", nil, newService())
		for err != nil && ctx.Err() == nil { // as workers do
			c, err = a.Dial(ctx, b.Addr().String(), "test", "hi", nil, newService())
		}
		if err != nil {
			t.Error(err)
			return
		}
		if err := c.Transfer(ctx, outgoing("a", randomBytes(1<<20))); err != nil {
			t.Error(err)
		}
	})
	<-flooded
	mb, more := usage()
	t.Logf("%d handshakes: %.1f MB and %d goroutines before, %.1f MB and %d behind", n, heap, goroutines, mb, more)
	if mb-heap > 64 || more-goroutines > 2500 { // 100 at once and 50 a second are believed without proof
		t.Errorf("%.1f MB and %d goroutines more", mb-heap, more-goroutines)
	}
}

func usage() (mb float64, goroutines int) {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc) / 1e6, runtime.NumGoroutine()
}
