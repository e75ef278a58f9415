// Package freeport finds ports for tests whose servers are stopped and started again.
package freeport

import (
	"fmt"
	"io"
	"net"
	"os"
	"sync/atomic"
	"testing"
)

// The ports from first on are none of those that systems give by default to a socket that asks for any one: a
// test beside this one would be given it while the server that listens there is away. A process
// gives each of them once, and processes begin at different places.
const first, count = 20000, 10000

var next atomic.Uint32

func init() { next.Store(uint32(os.Getpid()) * 97) }

// Of returns a host and port of this machine that nobody uses; network is "tcp" or "udp".
func Of(t testing.TB, network string) string {
	t.Helper()
	for range 100 {
		addr := fmt.Sprintf("127.0.0.1:%d", first+next.Add(1)%count)
		if c, err := open(network, addr); err == nil {
			c.Close()
			return addr
		}
	}
	t.Fatal("no free port")
	return ""
}

func open(network, addr string) (io.Closer, error) {
	if network == "udp" {
		return net.ListenPacket(network, addr)
	}
	return net.Listen(network, addr)
}
