package worker

import (
	"encoding/json"
	"fmt"
	"net"
	"testing"
	"time"

	"concord/internal/cluster/protocol"
	"concord/transport"
)

// A machine pokes an address once at a time, and not more than so many.
func TestPokesAreBounded(t *testing.T) {
	ca, err := transport.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	id, err := ca.NewIdentity(2)
	if err != nil {
		t.Fatal(err)
	}
	conn, _, err := transport.Socket("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := New(Options{Coordinator: "127.0.0.1:1"})
	if m.ep, err = transport.Open(conn, transport.Options{Identity: id}); err != nil {
		t.Fatal(err)
	}
	defer m.ep.Close()
	poking := func(from, to int) int {
		for port := from; port < to; port++ {
			b, _ := json.Marshal(protocol.Poke{Addr: fmt.Sprintf(":%d", 20000+port%1000)})
			(&coordinatorLink{m: m}).Message(nil, transport.Message{Type: protocol.MsgPoke, Body: b})
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		return len(m.poking)
	}
	if n := poking(1, 2) + poking(1001, 1002); n != 2 { // the same address
		t.Errorf("it pokes %d addresses", n-1)
	}
	if n := poking(0, 1000); n != mostPokes {
		t.Errorf("it pokes %d addresses", n)
	}
	m.Leave()
	if len(m.poking) != 0 {
		t.Errorf("%d are left", len(m.poking))
	}
}

// A worker pokes whom the coordinator names: without a host, the coordinator's.
func TestPoke(t *testing.T) {
	ca, err := transport.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	id, err := ca.NewIdentity(2)
	if err != nil {
		t.Fatal(err)
	}
	there, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer there.Close()
	conn, _, err := transport.Socket("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := New(Options{Coordinator: "127.0.0.1:1"})
	if m.ep, err = transport.Open(conn, transport.Options{Identity: id}); err != nil {
		t.Fatal(err)
	}
	defer m.ep.Close()
	_, port, _ := net.SplitHostPort(there.LocalAddr().String())
	go m.poke(protocol.Poke{Addr: ":" + port})
	defer m.stop()
	there.SetReadDeadline(time.Now().Add(5 * time.Second))
	_, from, err := there.ReadFrom(make([]byte, 10))
	if err != nil || from.String() != m.ep.Addr().String() {
		t.Errorf("poked from %v: %v", from, err)
	}
}
