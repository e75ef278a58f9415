package transport

import (
	"crypto/x509"
	"encoding/binary"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
)

// 60 strangers connect as if to join, open as many streams as they can and send all that
// is taken: memory is bounded by a few connections' first windows, few lines are said,
// and a machine of another host joins meanwhile.
func TestStrangersTakeLittle(t *testing.T) {
	const attackers = 60
	var said atomic.Int32
	ca := newCA(t)
	id, secret := NewSecret()
	e := open(t, ca, 1, newService(), func(o *Options) {
		o.Join = &JoinPolicy{CA: ca, Secret: func(x string) ([]byte, bool) { return secret, x == id },
			Admit:   func(string, net.Addr) (uint32, error) { return 2, nil },
			Refused: func(net.Addr, string) { said.Add(1) }}
	})
	l := Line{Addrs: []string{e.Addr().String()}, CA: Fingerprint(ca.Certificate()), ID: id, Secret: secret}
	var taken, inside, most atomic.Int64
	var wg sync.WaitGroup
	for range attackers {
		wg.Go(func() {
			var root *x509.Certificate
			q, err := quic.DialAddr(t.Context(), l.Addrs[0], pinned(l.CA, &root), &quic.Config{})
			if err != nil {
				return
			}
			now := inside.Add(1)
			defer inside.Add(-1)
			for old := most.Load(); now > old && !most.CompareAndSwap(old, now); old = most.Load() {
			}
			defer q.CloseWithError(0, "")
			for range 8 {
				s, err := q.OpenStream()
				if err != nil {
					return
				}
				s.SetWriteDeadline(time.Now().Add(2 * time.Second))
				s.Write(binary.LittleEndian.AppendUint32(nil, 60_000)) // a message that never ends
				wg.Go(func() {
					n, _ := s.Write(make([]byte, 2<<20))
					taken.Add(int64(n))
				})
			}
			<-q.Context().Done()
		})
	}
	time.Sleep(300 * time.Millisecond)
	if other, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 2)}); err == nil { // as on Linux
		if _, _, err := Join(t.Context(), other, l); err != nil {
			t.Errorf("a machine of another host: %v", err)
		}
		other.Close()
	}
	wg.Wait()
	if n := taken.Load(); n > maxUnverified*strangerWindow*5/4 {
		t.Errorf("%.1f MB were taken of strangers", float64(n)/1e6)
	}
	if n := most.Load(); n > maxUnverified/2+maxPerHost {
		t.Errorf("%d strangers were connected at one time", n)
	}
	if n := said.Load(); n > 6 {
		t.Errorf("%d lines about strangers", n)
	}
	t.Logf("%.2f MB taken, %d at one time, %d lines", float64(taken.Load())/1e6, most.Load(), said.Load())
	if _, _, err := Join(t.Context(), udp(t), l); err != nil {
		t.Errorf("after them: %v", err)
	}
}

// Strangers are counted by host once their address is known to be theirs, and forged
// addresses leave room for those who answer.
func TestStrangersAreCounted(t *testing.T) {
	var s strangers
	host := func(n byte) net.Addr { return &net.UDPAddr{IP: net.IPv4(10, 0, 0, n), Port: int(n)} }
	for n := range byte(maxUnverified) {
		if s.crowded() != (n >= maxUnverified/2) {
			t.Errorf("crowded after %d: %v", n, s.crowded())
		}
		if _, ok := s.take(host(n), false); !ok {
			t.Fatalf("unverified %d is refused", n)
		}
	}
	if _, ok := s.take(host(200), false); ok {
		t.Error("too many forged addresses")
	}
	var releases []func()
	for range maxPerHost {
		release, ok := s.take(host(1), true)
		if !ok {
			t.Fatal("an address that answers is refused")
		}
		releases = append(releases, release)
	}
	if _, ok := s.take(host(1), true); ok {
		t.Error("one host takes more than its share")
	}
	if _, ok := s.take(host(2), true); !ok {
		t.Error("another host is refused")
	}
	releases[0]()
	releases[0]() // once
	if _, ok := s.take(host(1), true); !ok {
		t.Error("what was given back is not there")
	}
	if _, ok := s.take(host(1), true); ok {
		t.Error("given back twice")
	}
	a, b := &net.UDPAddr{IP: net.ParseIP("2001:db8::1")}, &net.UDPAddr{IP: net.ParseIP("2001:db8::2:1")}
	if hostOf(a) != hostOf(b) || hostOf(a) == hostOf(host(1)) {
		t.Errorf("%v, %v", hostOf(a), hostOf(b))
	}
}

// QUIC's library is behind the interface of sessions and streams, in one file.
func TestOneFileKnowsQUIC(t *testing.T) {
	for _, name := range sources(t) {
		if text := read(t, name); name != "quic.go" && strings.Contains(text, `"github.com/quic-go`) {
			t.Errorf("%s imports quic-go", name)
		}
	}
}

// sources are the package's files, without tests.
func sources(t *testing.T) (names []string) {
	t.Helper()
	all, err := filepath.Glob("*.go")
	if err != nil || len(all) == 0 {
		t.Fatal(all, err)
	}
	return slices.DeleteFunc(all, func(n string) bool { return strings.HasSuffix(n, "_test.go") })
}

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
