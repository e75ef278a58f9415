package transport

import (
	"fmt"
	"net"
)

// wantBuffer is the size that quic-go wants of both socket buffers: 16 senders at once
// lose 5 % of their packets with Linux's default and 0.4 % with this.
const wantBuffer = 7 << 20

// Socket opens a UDP socket with large buffers. hint is "" or a thing that the user can
// do about buffers that the system keeps small.
func Socket(addr string) (conn net.PacketConn, hint string, err error) {
	to, err := net.ResolveUDPAddr("udp", addr)
	if err != nil {
		return nil, "", fmt.Errorf("transport: address %q: %w", addr, err)
	}
	c, err := net.ListenUDP("udp", to)
	if err != nil {
		return nil, "", fmt.Errorf("transport: listen on %s: %w", addr, err)
	}
	c.SetReadBuffer(wantBuffer)
	c.SetWriteBuffer(wantBuffer)
	if got := receiveBuffer(c); got > 0 && got < wantBuffer {
		hint = fmt.Sprintf("the system keeps UDP buffers at %d kB; with many senders packets are lost. On Linux: sysctl -w "+
			"net.core.rmem_max=7500000 net.core.wmem_max=7500000", got>>10)
	}
	return c, hint, nil
}
