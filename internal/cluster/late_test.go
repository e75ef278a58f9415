package cluster

import (
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"concord/internal/cluster/protocol"
	"concord/internal/cluster/worker"
	"concord/transport"
)

// A worker that starts before machine 1 answers goes on trying, by a line that may have
// changed meanwhile: of machines that are started together that one may come last, or go
// on elsewhere.
func TestWorkerWaitsForMachine1(t *testing.T) {
	t.Parallel()
	silent, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	h, _ := hosted(t)
	old := h.Line
	old.Addrs = []string{silent.LocalAddr().String()}
	var asked atomic.Int32
	var said []string
	o := JoinOptions{Dir: t.TempDir(), Line: old, Listen: "127.0.0.1:0", Patience: time.Minute,
		Again: func() (transport.Line, error) { asked.Add(1); return h.Line, nil },
		Member: worker.Options{Hello: protocol.Hello{Name: "early"}, Log: logTo(func(format string, args ...any) {
			said = append(said,
				fmt.Sprintf(format, args...))
		})}}
	w, err := Join(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	w.Close()
	if asked.Load() == 0 || len(said) == 0 || !strings.Contains(said[0], "trying again") {
		t.Errorf("asked for the line %d times, said %q", asked.Load(), said)
	}
}
