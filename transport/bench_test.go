package transport

import (
	"context"
	"crypto/tls"
	"io"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
)

// The share of bare quic-go's throughput that a bucket transfer keeps, with
// checksums, hash, grant and acknowledgement: pairs of the same bytes one after
// the other, so that what else the machine does falls on both; processor time, of which a
// busy machine takes nothing, says the same without the wait for a core.
//
//	CONCORD_BENCH=1 go test ./transport -run TestWireThroughput -v
func TestWireThroughput(t *testing.T) {
	if os.Getenv("CONCORD_BENCH") == "" {
		t.Skip("a measurement: set CONCORD_BENCH=1")
	}
	const size, pairs = 25 << 20, 15
	data := randomBytes(size)
	ca, s := newCA(t), newService()
	s.set(func() { s.deliver = func(Header, []byte) error { return nil } })
	a, b := open(t, ca, 1, newService(), nil), open(t, ca, 2, s, nil)
	c := dial(t, a, b, newService())
	bare := bareConn(t, ca)
	var ratios, ours, cpu []float64
	for range pairs {
		before := cpuTime()
		plain := timed(t, func() error { return sendBare(t.Context(), bare, data) })
		between := cpuTime()
		mine := timed(t, func() error { return c.Transfer(t.Context(), outgoing("x", data)) })
		cpu = append(cpu, float64(cpuTime()-between)/float64(max(between-before, 1)))
		ratios, ours = append(ratios, plain.Seconds()/mine.Seconds()), append(ours, size*8/mine.Seconds()/1e9)
	}
	slices.Sort(ratios)
	slices.Sort(ours)
	slices.Sort(cpu)
	t.Logf("25 MiB buckets over loopback: %.2f Gbit/s, %.0f %% of bare quic-go (medians of %d pairs; quartiles %.0f to %.0f %%); "+
		"processor time of both ends %.2f of bare quic-go's (quartiles %.2f to %.2f)",
		ours[pairs/2], 100*ratios[pairs/2], pairs, 100*ratios[pairs/4], 100*ratios[3*pairs/4], cpu[pairs/2], cpu[pairs/4],
		cpu[3*pairs/4])
}

func timed(t *testing.T, f func() error) time.Duration {
	t.Helper()
	start := time.Now()
	if err := f(); err != nil {
		t.Fatal(err)
	}
	return time.Since(start)
}

// bareConn is a connection to a server that reads streams and answers one byte.
func bareConn(t *testing.T, ca *CA) *quic.Conn {
	id, err := ca.NewIdentity(3)
	if err != nil {
		t.Fatal(err)
	}
	tr := &quic.Transport{Conn: udp(t)}
	ln, err := tr.Listen(&tls.Config{Certificates: []tls.Certificate{id.cert}, NextProtos: []string{"bare"}}, quicConfig(false))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tr.Close() })
	go func() {
		q, err := ln.Accept(context.Background())
		for err == nil {
			var s *quic.Stream
			if s, err = q.AcceptStream(context.Background()); err == nil {
				io.Copy(io.Discard, s)
				s.Write([]byte{1})
				s.Close()
			}
		}
	}()
	client := &quic.Transport{Conn: udp(t)}
	t.Cleanup(func() { client.Close() })
	q, err := client.Dial(t.Context(), ln.Addr(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"bare"}}, quicConfig(false))
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func sendBare(ctx context.Context, q *quic.Conn, data []byte) error {
	s, err := q.OpenStreamSync(ctx)
	if err != nil {
		return err
	}
	if _, err := s.Write(data); err != nil {
		return err
	}
	s.Close()
	_, err = io.ReadFull(s, make([]byte, 1))
	return err
}
