// Package freeport finds ports for tests whose servers are stopped and started again.
package freeport

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"testing"
)

// Of returns a host and port of this machine that nobody uses; network is "tcp" or "udp". The port
// is none of those that systems give to a socket that asks for any one: a test beside this one
// would be given it while the server that listens there is away.
func Of(t testing.TB, network string) string {
	t.Helper()
	for range 100 {
		addr := fmt.Sprintf("127.0.0.1:%d", 20000+rand.IntN(10000))
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
