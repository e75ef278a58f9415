package cluster

import (
	"bytes"
	"context"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"concord/internal/cluster/protocol"
	"concord/internal/cluster/worker"
	"concord/transport"
)

// A worker that is revoked gets none of the run's files from machine 1, with whatever
// program it comes, and keeps no connection.
func TestRevokedGetsNoFiles(t *testing.T) {
	t.Parallel()
	h, dir := hosted(t)
	mine := t.TempDir()
	w, err := join(t, mine, h.Line)
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	if err := w.Member.Fetch(t.Context(), "data", 3, &got); err != nil || got.String() != "abc" {
		t.Fatalf("a member gets %q: %v", got.String(), err)
	}
	secrets, err := OpenSecrets(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := secrets.Revoke(w.Welcome.Worker); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := w.Member.Wait(ctx); !errors.Is(err, worker.ErrBanned) {
		t.Fatal(err)
	}
	w.Close()
	identity := readIdentity(filepath.Join(mine, identityFile), h.Line.CA)
	socket, _, err := transport.Socket("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ep, err := transport.Open(socket, transport.Options{Identity: identity})
	if err != nil {
		t.Fatal(err)
	}
	defer ep.Close()
	var welcome protocol.Welcome
	c, err := ep.Dial(t.Context(), h.Line.Addrs[0], protocol.ServiceCoordinator, protocol.Hello{Name: "w"}, &welcome, nothing{})
	if err != nil || welcome.Banned == "" {
		t.Fatalf("it is welcomed with %+v: %v", welcome, err)
	}
	err = c.Fetch(t.Context(), "data", 5*time.Second, func(int64) (io.Writer, error) { return io.Discard, nil })
	if err == nil || !strings.Contains(err.Error(), "members") {
		t.Errorf("it fetches data: %v", err)
	}
	select {
	case <-c.Context().Done():
	case <-time.After(20 * time.Second):
		t.Error("it keeps its connection")
	}
	if _, err := ep.Dial(t.Context(), h.Line.Addrs[0], protocol.ServiceWorker, nil, nil, nothing{}); err == nil {
		t.Error("machine 1's worker takes one that is revoked")
	}
}
