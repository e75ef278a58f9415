package cluster

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"concord/internal/cluster/coordinator"
	"concord/internal/cluster/protocol"
	"concord/internal/cluster/store"
	"concord/internal/cluster/store/storetest"
	"concord/internal/cluster/worker"
	"concord/transport"
)

// hosted is a machine 1 that leads a run, without a trainer.
func hosted(t *testing.T) (*Host, string) {
	t.Helper()
	dir := t.TempDir()
	h, err := StartHost(t.Context(), HostOptions{Dir: dir, Store: func(string) (store.Store, error) { return storetest.NewMemory(), nil },
		Listen: "127.0.0.1:0", JoinFor: time.Hour, JoinUses: -1, Member: worker.Options{Log: logTo(t.Logf)},
		Coordinator: coordinator.Options{Groups: []int{4}, Work: func(int) protocol.Work {
			return protocol.Work{Segments: 1, Langs: 1, Segment: []int{0}, Lang: []int{0}, Tokens: []int{1}}
		}, Workers: 9, Log: logTo(t.Logf), Files: []protocol.File{{Name: "data", Size: 3}},
			Open: func(string) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("abc")), nil }}}, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close(protocol.End{}) })
	return h, dir
}

func join(t *testing.T, dir string, line transport.Line) (*Joined, error) {
	return Join(t.Context(), JoinOptions{Dir: dir, Line: line, Listen: "127.0.0.1:0",
		Member: worker.Options{Hello: protocol.Hello{Name: "w"}, Log: logTo(t.Logf)}})
}

// A worker whose certificate is revoked is told so, at once and when it comes again,
// and the line that it holds admits it no more; whom the line has admitted stays.
func TestRevokedIsTold(t *testing.T) {
	t.Parallel()
	h, dir := hosted(t)
	mine := t.TempDir()
	w, err := join(t, mine, h.Line)
	if err != nil {
		t.Fatal(err)
	}
	other, err := join(t, t.TempDir(), h.Line)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	secrets, err := OpenSecrets(dir)
	if err != nil {
		t.Fatal(err)
	}
	if ended, err := secrets.Revoke(w.Welcome.Worker); err != nil || ended != 1 {
		t.Fatal(ended, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := w.Member.Wait(ctx); !errors.Is(err, worker.ErrBanned) || !strings.Contains(err.Error(), "revoked") {
		t.Errorf("it is told: %v", err)
	}
	w.Close()
	if _, err := join(t, mine, h.Line); !errors.Is(err, worker.ErrBanned) || !strings.Contains(err.Error(), "revoked") {
		t.Errorf("when it comes again: %v", err)
	}
	if _, err := join(t, t.TempDir(), h.Line); err == nil || !strings.Contains(err.Error(), "concord invite") {
		t.Errorf("as somebody new, by the same line: %v", err)
	}
	fresh, err := Invite(dir, time.Hour, 2)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := join(t, mine, fresh); !errors.Is(err, worker.ErrBanned) {
		t.Errorf("by a new line, with its old identity: %v", err)
	}
	again, err := join(t, t.TempDir(), fresh)
	if err != nil {
		t.Fatalf("by a new line, in an empty folder: %v", err)
	}
	again.Close()
	if err := other.Member.Fetch(t.Context(), "data", 3, io.Discard); err != nil {
		t.Errorf("the other one, admitted by the same line: %v", err)
	}
}

// A worker that is killed and started again at once takes its place.
func TestRestartedAtOnce(t *testing.T) {
	t.Parallel()
	one := reference(t, 60)
	synctestWorld(t, func(w *world) {
		w.steps, w.patience = 60, time.Hour
		w.slow = func(uint32, int, int) { time.Sleep(20 * time.Millisecond) }
		a, b := w.start(1), w.start(2)
		w.at(10)
		b.die()
		time.Sleep(100 * time.Millisecond)
		b = w.start(2)
		w.wait(a, b)
		same(t, "machine 1", one, a)
		same(t, "the one that was started again", one, b)
		w.close(a, b)
		time.Sleep(30 * time.Second)
	})
}

// Where nothing answers the user is told what to look at.
func TestUnansweredIsExplained(t *testing.T) {
	t.Parallel()
	silent, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	id, secret := transport.NewSecret()
	_, err = join(t, t.TempDir(), transport.Line{Addrs: []string{silent.LocalAddr().String()}, ID: id, Secret: secret})
	if err == nil {
		t.Fatal("joined nobody")
	}
	for _, word := range []string{"UDP", "firewall", silent.LocalAddr().String()} {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("no %q in %q", word, err)
		}
	}
	if strings.Contains(err.Error(), "context deadline") {
		t.Error(err)
	}
}

// greedy is a coordinator's service that sends more than it announces.
type greedy struct {
	nothing
	welcome protocol.Welcome
}

func (g *greedy) Connected(*transport.Conn, json.RawMessage) (any, error) { return g.welcome, nil }
func (g *greedy) Fetch(*transport.Conn, json.RawMessage) (int64, io.ReadCloser, error) {
	return 1 << 50, io.NopCloser(rand.Reader), nil
}

// nothing is a service that does nothing.
type nothing struct{ protocol.Nothing }

func (nothing) Message(*transport.Conn, transport.Message) {}

// impostor leads a run whose coordinator does as it likes.
func impostor(t *testing.T, h transport.Handler) transport.Line {
	t.Helper()
	ca, err := transport.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	identity, err := ca.NewIdentity(1)
	if err != nil {
		t.Fatal(err)
	}
	conn, _, err := transport.Socket("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	id, secret := transport.NewSecret()
	ep, err := transport.Open(conn, transport.Options{Identity: identity,
		Services: map[string]transport.Handler{protocol.ServiceCoordinator: h,
			protocol.ServiceWorker: h},
		Join: &transport.JoinPolicy{CA: ca, Secret: func(string) ([]byte, bool) { return secret, true }, Admit: func(string,
			net.Addr) (uint32, error) {
			return 2, nil
		}, Refused: func(net.Addr, string) {}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ep.Close() })
	return transport.Line{Addrs: []string{conn.LocalAddr().String()}, CA: transport.Fingerprint(ca.Certificate()), ID: id, Secret: secret}
}

// A coordinator cannot fill a worker's disk: a file that is sent has the announced size.
func TestNoMoreThanAnnounced(t *testing.T) {
	t.Parallel()
	line := impostor(t, &greedy{welcome: protocol.Welcome{Worker: 2, Config: json.RawMessage("{}"),
		Files: []protocol.File{{Name: "run.toml", Size: 3,
			Hash: "00"}}}})
	dir := t.TempDir()
	w, err := join(t, dir, line)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if err := w.Fetch(t.Context(), Files{Dir: filepath.Join(dir, "run")}); !errors.Is(err, transport.ErrDamaged) ||
		!strings.Contains(err.Error(),
			"announced 3") {
		t.Errorf("a file: %v", err)
	}
	filepath.Walk(dir, func(path string, st os.FileInfo, err error) error {
		if err == nil && st.Size() > 1<<20 {
			t.Errorf("%s has %d bytes", path, st.Size())
		}
		return nil
	})
}

// What a coordinator says cannot reach a terminal as it is.
func TestControlCharactersAreNotTaken(t *testing.T) {
	t.Parallel()
	const evil = "\x1b]0;owned\x07\x1b[31mred"
	for name, welcome := range map[string]protocol.Welcome{
		"a name in the configuration": {Config: json.RawMessage(`{"run": {"name": "` + `\u001b[31mred` + `"}}`)},
		"the reason of a ban":         {Banned: evil},
	} {
		_, err := join(t, t.TempDir(), impostor(t, &greedy{welcome: welcome}))
		if err == nil || strings.ContainsRune(err.Error(), '\x1b') {
			t.Errorf("%s: %v", name, err)
		}
	}
	line := impostor(t, &greedy{welcome: protocol.Welcome{Worker: 2, Config: json.RawMessage("{}"),
		Files: []protocol.File{{Name: evil, Size: 3}}}})
	w, err := join(t, t.TempDir(), line)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if err := w.Fetch(t.Context(), Files{Dir: t.TempDir()}); err == nil || strings.ContainsRune(err.Error(), '\x1b') {
		t.Errorf("a file's name: %v", err)
	}
}
