package coordinator

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"concord/internal/cluster/protocol"
	"concord/internal/cluster/store"
	"concord/internal/cluster/store/storetest"
	"concord/transport"
)

// A coordinator's epochs are higher than all of its predecessor's, which may have made
// a million plans: who comes next must not be taken for an old one.
func TestTermsDoNotOverlap(t *testing.T) {
	s := storetest.NewMemory()
	last := committed{Next: 3, Epoch: 1 << 20}
	b, err := json.Marshal(last)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Put(t.Context(), keyCommitted, b, 0); err != nil {
		t.Fatal(err)
	}
	for term := range uint32(3) {
		c, err := New(t.Context(), Options{Store: s}, 0)
		if err != nil {
			t.Fatal(err)
		}
		c.do(func() {
			if c.term != term+1 || c.epoch < last.Epoch+termEpochs || c.step != 3 {
				t.Errorf("term %d begins at step %d with epoch %d, after %d", c.term, c.step, c.epoch, last.Epoch)
			}
			last.Epoch = c.epoch
		})
		c.Abandon()
	}
}

// endpoint opens the endpoint of a worker on this machine.
func endpoint(t *testing.T, ca *transport.CA, worker uint32, services map[string]transport.Handler) *transport.Endpoint {
	t.Helper()
	identity, err := ca.NewIdentity(worker)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	ep, err := transport.Open(conn, transport.Options{Identity: identity, Services: services})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ep.Close() })
	return ep
}

// A worker that is put out for a fault gets none of the run's files, with whatever
// program it comes, and keeps no connection.
func TestBannedGetsNoFiles(t *testing.T) {
	ca, err := transport.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	c, err := New(t.Context(), Options{Store: storetest.NewMemory(), Workers: 9, Files: []protocol.File{{Name: "data", Size: 3}},
		Open: func(string) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("abc")), nil }}, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Abandon()
	at := endpoint(t, ca, 1, map[string]transport.Handler{protocol.ServiceCoordinator: c}).Addr().String()
	ep := endpoint(t, ca, 2, nil)
	dial := func(incarnation uint64) (*transport.Conn, protocol.Welcome) {
		var w protocol.Welcome
		conn, err := ep.Dial(t.Context(), at, protocol.ServiceCoordinator, protocol.Hello{Name: "w", Incarnation: incarnation}, &w, deaf{})
		if err != nil {
			t.Fatal(err)
		}
		return conn, w
	}
	fetch := func(conn *transport.Conn) error {
		return conn.Fetch(t.Context(), "data", 5*time.Second, func(int64) (io.Writer, error) { return io.Discard, nil })
	}
	member, _ := dial(1)
	if err := fetch(member); err != nil {
		t.Fatalf("a member: %v", err)
	}
	c.do(func() { c.ban(c.members[2], "for a test") })
	conn, w := dial(2)
	if w.Banned != "for a test" {
		t.Fatalf("it is welcomed with %+v", w)
	}
	if err := fetch(conn); err == nil || !strings.Contains(err.Error(), "members") {
		t.Errorf("it fetches data: %v", err)
	}
	select {
	case <-conn.Context().Done():
	case <-time.After(20 * time.Second):
		t.Error("it keeps its connection")
	}
}

// deaf hears nothing.
type deaf struct{ protocol.Nothing }

func (deaf) Message(*transport.Conn, transport.Message) {}

// A coordinator whose election is lost fails, and says so.
func TestLostElection(t *testing.T) {
	lost := make(chan struct{})
	c, err := New(t.Context(), Options{Store: storetest.NewMemory(), Lost: lost}, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Abandon()
	if err := c.Err(); err != nil {
		t.Fatal(err)
	}
	close(lost)
	<-c.Failed()
	if err := c.Err(); !errors.Is(err, ErrLostLeadership) {
		t.Error(err)
	}
}

// TestFinishedIsNotLedAgain: an elected coordinator that ends the run leaves word of it in the store, and a
// process that took part leads no further; one that was started for it does, and its next commit takes the
// word back.
func TestFinishedIsNotLedAgain(t *testing.T) {
	st := storetest.NewMemory()
	elected := func(tookPart bool) (*Coordinator, error) {
		return New(t.Context(), Options{Store: st, Lost: make(chan struct{}), Regather: true, TookPart: tookPart}, 0)
	}
	c, err := elected(false)
	if err != nil {
		t.Fatal(err)
	}
	c.Close(protocol.End{Text: "for a test"})
	if c, err = elected(true); err != nil {
		t.Fatalf("after a run that is not finished: %v", err)
	}
	c.do(func() { c.step, c.last, c.epoch, c.back = 7, &protocol.Commit{Step: 6}, 5, 3 })
	c.Close(protocol.End{Text: "for a test", Finished: true})
	var k committed
	if b, _, err := st.Get(t.Context(), keyCommitted); err != nil || json.Unmarshal(b, &k) != nil ||
		k.Next != 7 || k.Last == nil || k.Last.Step != 6 || k.Epoch != 5 || k.Back != 3 || !k.Finished {
		t.Errorf("on record is %+v: %v", k, err)
	}
	if _, err := elected(true); !errors.Is(err, ErrFinished) {
		t.Fatalf("after a finished run: %v", err)
	}
	if c, err = elected(false); err != nil {
		t.Fatalf("a new process: %v", err)
	}
	var next committed
	var rev int64
	c.do(func() { next, rev = c.outcome(), c.commitRev })
	if _, err := c.write(next, rev); err != nil {
		t.Fatal(err)
	}
	c.Abandon()
	if c, err = elected(true); err != nil {
		t.Fatalf("after another step: %v", err)
	}
	c.Abandon()
}

// TestEndWithoutTheStore: a store that does not answer at the run's end holds it up for storeLimit at most, and
// a lease that runs out meanwhile does not make a failure of it.
func TestEndWithoutTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, lost := &mute{Store: storetest.NewMemory()}, make(chan struct{})
		c, err := New(t.Context(), Options{Store: st, Lost: lost}, 0)
		if err != nil {
			t.Fatal(err)
		}
		st.on.Store(true)
		time.AfterFunc(time.Second, func() { close(lost) })
		began := time.Now()
		c.Close(protocol.End{Text: "for a test", Finished: true})
		if took := time.Since(began); took > storeLimit || c.Err() != nil {
			t.Errorf("the end took %v: %v", took, c.Err())
		}
	})
}

// mute is a store that answers no Put while it is on.
type mute struct {
	store.Store
	on atomic.Bool
}

func (s *mute) Put(ctx context.Context, key string, value []byte, rev int64, guards ...store.Guard) (int64, error) {
	if s.on.Load() {
		<-ctx.Done()
		return 0, ctx.Err()
	}
	return s.Store.Put(ctx, key, value, rev, guards...)
}
