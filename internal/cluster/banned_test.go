package cluster

import (
	"bytes"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"concord/transport"
)

// putOut are the ways in which a worker is put out for good.
var putOut = map[string]func(c *Coordinator, s *Secrets, w uint32) error{
	"revoked": func(c *Coordinator, s *Secrets, w uint32) error {
		_, err := s.Revoke(w)
		c.do(c.revoke)
		return err
	},
	"banned": func(c *Coordinator, _ *Secrets, w uint32) error {
		c.do(func() { c.ban(c.members[w], "for a test") })
		return nil
	},
}

// A worker that is put out for good gets none of the run's files from machine 1, with
// whatever program it comes, and keeps no connection.
func TestPutOutGetsNoFiles(t *testing.T) {
	for name, put := range putOut {
		t.Run(name, func(t *testing.T) {
			h, dir := hosted(t)
			h.Coordinator.do(func() {
				h.Coordinator.opt.Files = []File{{Name: "data", Size: 3}}
				h.Coordinator.opt.Open = func(string) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("abc")), nil }
			})
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
			if err := put(h.Coordinator, secrets, w.Welcome.Worker); err != nil {
				t.Fatal(err)
			}
			w.Close()
			knock(t, h, readIdentity(filepath.Join(mine, identityFile), h.Line.CA), name == "revoked")
		})
	}
}

// knock comes as a worker that is put out and does not close the connection.
func knock(t *testing.T, h *Host, identity *transport.Identity, revoked bool) {
	socket, _, err := transport.Socket("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ep, err := transport.Open(socket, transport.Options{Identity: identity})
	if err != nil {
		t.Fatal(err)
	}
	defer ep.Close()
	var welcome Welcome
	c, err := ep.Dial(t.Context(), h.Line.Addrs[0], serviceCoordinator, Hello{Name: "w"}, &welcome, nothing{})
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
	if _, err := ep.Dial(t.Context(), h.Line.Addrs[0], serviceWorker, nil, nil, nothing{}); revoked && err == nil {
		t.Error("machine 1's worker takes one that is revoked")
	}
}
