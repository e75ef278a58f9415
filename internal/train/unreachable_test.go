package train

import (
	"errors"
	"net"
	"os"
	"strings"
	"testing"

	"concord/transport"
)

// When nothing answers, a worker names what to look at; a refusal is left as it is.
func TestUnreachable(t *testing.T) {
	line := transport.Line{Addrs: []string{"192.0.2.1:4433"}}
	err := unreachable(line, &net.OpError{Op: "read", Err: os.ErrDeadlineExceeded})
	for _, want := range []string{"192.0.2.1:4433", "machine 1 still running", "UDP port", "firewall"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("message lacks %q: %v", want, err)
		}
	}
	if refused := errors.New("the line is not valid any more"); unreachable(line, refused) != refused {
		t.Error("a refusal is changed")
	}
}
