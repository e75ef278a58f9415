//go:build unix

package transport

import (
	"net"
	"os"

	"golang.org/x/sys/unix"
)

func init() { os.Setenv("QUIC_GO_DISABLE_RECEIVE_BUFFER_WARNING", "true") } // Socket tells it in its own words

// receiveBuffer is the size that a socket got, 0 where it cannot be told. Linux
// tells twice the usable size.
func receiveBuffer(c *net.UDPConn) int {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0
	}
	n := 0
	raw.Control(func(fd uintptr) { n, _ = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF) })
	return n
}
