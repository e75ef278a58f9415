package cluster

import (
	"bufio"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"concord/internal/cluster/coordinator"
	"concord/internal/cluster/store/file"
	"concord/internal/cluster/worker"
)

// listeners are the local addresses, in hex, of the TCP sockets on which this process
// listens.
func listeners(t *testing.T) (out []string) {
	t.Helper()
	own := map[string]bool{}
	fds, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		if to, err := os.Readlink(fd); err == nil {
			own[strings.TrimSuffix(strings.TrimPrefix(to, "socket:["), "]")] = true
		}
	}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		f, err := os.Open(table)
		if err != nil {
			continue // no IPv6
		}
		for lines := bufio.NewScanner(f); lines.Scan(); {
			if field := strings.Fields(lines.Text()); len(field) > 9 && field[3] == "0A" && own[field[9]] {
				out = append(out, field[1])
			}
		}
		f.Close()
	}
	return out
}

// Machine 1 opens one UDP socket and no port besides: its store has none (reference
// case 18 stopped a run over one).
func TestHostOpensNoPort(t *testing.T) {
	before := listeners(t)
	h, err := StartHost(t.Context(), HostOptions{Dir: t.TempDir(), Store: file.Open, Listen: "127.0.0.1:0", JoinUses: -1,
		Coordinator: coordinator.Options{Log: logTo(t.Logf), Workers: 2}, Member: worker.Options{Log: logTo(t.Logf)}}, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Abandon()
	if after := listeners(t); len(after) > len(before) {
		t.Errorf("it listens on TCP at %v", after)
	}
}
