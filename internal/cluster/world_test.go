package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"runtime/pprof"
	"slices"
	"sync"
	"testing"
	"time"

	"concord/internal/cluster/coordinator"
	"concord/internal/cluster/protocol"
	"concord/internal/cluster/store"
	"concord/internal/cluster/store/storetest"
	"concord/internal/cluster/worker"
	"concord/transport"
)

// world is a run without a GPU: workers whose gradients are a function of their
// weights and rows, whose resolution is a sum, and whose optimizer is a
// subtraction. What the protocol does to them is everything that can differ.
type world struct {
	t                testing.TB
	ca               *transport.CA
	store            store.Store
	groups           []int
	cut              protocol.Leads // the slices among groups, but in parameters mode
	langs            int
	rows             int
	steps            int
	codec            transport.Codec
	min              int
	deadline         bool
	relay            bool
	alone            bool                           // machine 1 owns everything, as nobody else can be dialled
	calm             bool                           // on a machine with much else to do
	socket           func() (net.PacketConn, error) // to probe from; nil: as it is usual
	simulated        bool                           // in virtual time: no real sockets
	inexact          bool                           // rows are not rounded: their sums depend on the split, as on a GPU
	check            int
	params           bool                                                     // owners keep the momentum and send weights
	stateTimeout     time.Duration                                            // 0: as it is usual
	waits            time.Duration                                            // of workers for machine 1; 0: as it is usual
	gather, regather bool                                                     // of equal machines
	patience         time.Duration                                            // of wait; 0: 20 s
	drift            func(n *node)                                            // before a step
	saving           func(n *node, s *worker.Step)                            // a step has begun
	flip             func(worker uint32, step int) bool                       // a bit of what it receives of the step
	sent             func(to uint32, h transport.Header, payload []byte) bool // whether a transfer is sent, and its values then
	unreachable      uint32                                                   // a worker that cannot be dialled
	committedAt      func(step int)                                           // machine 1 has applied it
	crash            func(n *node, where string) error                        // non-nil: n was killed there
	listen           func(i int) net.PacketConn
	slow             func(worker uint32, step, group int)        // before a worker pushes
	perRow           func(worker uint32, rows int) time.Duration // how long a share takes
	tamper           func(worker uint32, step, group int, x [][]float32)
	spoilTold        func(worker uint32, step int) bool                             // the Grams and solutions that it tells
	spoil            func(worker uint32, step int, d []float32, meta []byte) []byte // what an owner resolves

	mu      sync.Mutex
	roots   map[int]transport.Hash  // by step
	record  map[int]protocol.Commit // likewise
	logged  []string
	status  coordinator.Status
	sampled func(coordinator.Status) // every status, with the mutex
	coord   *coordinator.Coordinator
	addr    string
}

func newWorld(t testing.TB, steps int) *world {
	ca, err := transport.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, ca: ca, store: storetest.NewMemory(), groups: []int{300, 17, 400, 300, 300, 64, 129},
		cut: protocol.Leads{0, 1, 2, 2, 2, 5, 6}, langs: 4, rows: 12, steps: steps, min: 1, waits: 20 * time.Second,
		roots: map[int]transport.Hash{}, record: map[int]protocol.Commit{}}
	w.listen = func(int) net.PacketConn {
		c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	return w
}

// keepLogged bounds what a long test remembers.
const keepLogged = 2000

func (w *world) log(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.logged) == keepLogged {
		w.logged = slices.Delete(w.logged, 0, keepLogged/2)
	}
	w.logged = append(w.logged, fmt.Sprintf(format, args...))
	if testing.Verbose() {
		w.t.Logf(format, args...)
	}
}

// logTo is a log that calls f.
func logTo(f func(format string, args ...any)) *slog.Logger { return slog.New(&logFunc{f: f}) }

type logFunc struct {
	slog.Handler
	f func(format string, args ...any)
}

func (l *logFunc) Enabled(context.Context, slog.Level) bool { return true }
func (l *logFunc) Handle(_ context.Context, r slog.Record) error {
	l.f("%s", r.Message)
	return nil
}

// work is the batch of a step: rows sorted by language, shares that vary.
func (w *world) work(step int) protocol.Work {
	r := rand.New(rand.NewPCG(7, uint64(step)))
	k := protocol.Work{Segments: w.langs, Langs: w.langs}
	for i := range w.rows {
		k.Lang = append(k.Lang, i*w.langs/w.rows)
		k.Tokens = append(k.Tokens, 5+r.IntN(20))
	}
	k.Segment = k.Lang
	return k
}

// cable is a socket that can be cut, as by kill -9.
type cable struct {
	net.PacketConn
	mu   sync.Mutex
	cut  bool
	deny string // an address that packets do not reach
	only string // the one address that packets reach, "": all
}

func (c *cable) WriteTo(b []byte, to net.Addr) (int, error) {
	c.mu.Lock()
	cut := c.cut || c.deny == to.String() || c.only != "" && c.only != to.String()
	c.mu.Unlock()
	if cut {
		return len(b), nil
	}
	return c.PacketConn.WriteTo(b, to)
}

func (c *cable) sever() { c.mu.Lock(); c.cut = true; c.mu.Unlock(); c.PacketConn.Close() }

func (w *world) coordinate(n *node, identity *transport.Identity) *coordinator.Coordinator {
	o := coordinator.Options{Store: w.store, Local: 1, Port: n.conn.LocalAddr().(*net.UDPAddr).Port, Groups: w.groups, Leads: w.leads(),
		Work:   w.work,
		Codec:  w.codec,
		SeqLen: 8, Workers: w.min, Log: logTo(w.log), HeartbeatTimeout: w.silence(2 * time.Second), NoDeadline: !w.deadline,
		StateTimeout: w.stateTimeout, Parameters: w.params, Relay: w.relay,
		Gather: w.gather, Regather: w.regather, CheckEvery: w.check, Probe: coordinator.ProbeFrom(identity, nil),
		Changed: func(s coordinator.Status,
			_ bool) {
			w.mu.Lock()
			w.status = s
			if w.sampled != nil {
				w.sampled(s)
			}
			w.mu.Unlock()
		}}
	if w.simulated {
		o.Probe = nil
	}
	if w.alone {
		o.Probe = func(_ context.Context, _ string, id uint32, _ func(string)) error {
			return errors.New("not to be dialled")
		}
	}
	if w.socket != nil {
		o.Probe = coordinator.ProbeFrom(identity, w.socket)
	}
	if w.unreachable != 0 {
		o.Probe = func(_ context.Context, _ string, id uint32, _ func(string)) error {
			if id == w.unreachable {
				return errors.New("cannot be dialled")
			}
			return nil
		}
	}
	c, err := coordinator.New(context.Background(), o, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	w.mu.Lock()
	w.coord = c
	w.mu.Unlock()
	return c
}

// silence is how long machines may not be heard of.
func (w *world) silence(usual time.Duration) time.Duration {
	if w.calm {
		return 30 * time.Second
	}
	return usual
}

// lose kills machine 1, with its coordinator, and others; it may be started again at
// the same address.
func (w *world) lose(first *node, others ...*node) {
	port := first.conn.LocalAddr()
	first.die()
	w.coord.Abandon() // nobody hears of it
	for _, n := range others {
		n.die()
	}
	time.Sleep(100 * time.Millisecond)
	w.rebind(port)
}

// wait waits for workers to finish the run and closes the world.
func (w *world) wait(nodes ...*node) {
	w.t.Helper()
	for _, n := range nodes {
		select {
		case err := <-n.done:
			if err != nil {
				w.t.Errorf("worker %d at step %d: %v", n.id, n.step, err)
			}
		case <-time.After(max(w.patience, 5*time.Minute)): // it hangs, however slow this machine is
			w.mu.Lock()
			s := w.status
			w.mu.Unlock()
			for _, x := range nodes {
				x.dump()
			}
			pprof.Lookup("goroutine").WriteTo(os.Stderr, 1)
			w.t.Fatalf("worker %d hangs at step %d; the coordinator waits for %q\n%+v", n.id, n.step, s.Waiting, s.Members)
		}
	}
}

// awaitWorking waits until these machines take part: one that still looks for the rest of a step whose owner
// was killed, or fetches weights, would find a run that ends meanwhile without anybody who has them.
func (w *world) awaitWorking(nodes ...*node) {
	w.t.Helper()
	from := w.committed() + 2 // "working" is also said of one that has not applied the last step
	for end := time.Now().Add(max(w.patience, time.Minute)); ; time.Sleep(10 * time.Millisecond) {
		w.mu.Lock()
		members, working := w.status.Members, 0
		w.mu.Unlock()
		for _, m := range members {
			if m.State == "working" && m.Step >= from && slices.ContainsFunc(nodes, func(n *node) bool { return n.id == m.Worker }) {
				working++
			}
		}
		if working == len(nodes) {
			return
		}
		if time.Now().After(end) {
			w.t.Fatalf("of %d machines %d take part: %+v", len(nodes), working, members)
		}
	}
}

// at waits until step is committed.
func (w *world) at(step int) {
	w.t.Helper()
	for range int(max(w.patience, time.Minute) / (10 * time.Millisecond)) {
		w.mu.Lock()
		n := len(w.roots)
		w.mu.Unlock()
		if n >= step {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	w.t.Fatalf("step %d is not committed after 60 s; the coordinator waits for %q", step, w.status.Waiting)
}

func (w *world) close(nodes ...*node) {
	w.coord.Close(protocol.End{Finished: true})
	for _, n := range nodes {
		n.leave()
	}
}

// same compares two runs' weights.
func same(t testing.TB, what string, a, b *node) {
	t.Helper()
	for u := range a.weights {
		if !slices.Equal(a.weights[u], b.weights[u]) {
			t.Errorf("%s: group %d differs", what, u)
			return
		}
	}
}

// rebind has the next worker listen where addr was.
func (w *world) rebind(addr net.Addr) {
	before := w.listen
	w.listen = func(i int) net.PacketConn {
		w.listen = before
		c, err := net.ListenUDP("udp", addr.(*net.UDPAddr))
		if err != nil {
			w.t.Fatal(err)
		}
		return c
	}
}

// dump shows what a worker waits for.
func (n *node) dump() {
	n.w.t.Logf("worker %d at step %d, with the plan %+v", n.id, n.step, n.m.Plan())
}

// evictions waits for n evictions.
func (w *world) evictions(n int) []coordinator.Eviction {
	w.t.Helper()
	for range 6000 {
		w.mu.Lock()
		e := w.status.Evicted
		w.mu.Unlock()
		if len(e) >= n {
			return e
		}
		time.Sleep(10 * time.Millisecond)
	}
	w.t.Fatalf("no %d evictions after a minute: %+v", n, w.status)
	return nil
}

// joined waits for a worker to be a member.
func (w *world) joined(id uint32) error {
	for range 2000 {
		w.mu.Lock()
		in := slices.ContainsFunc(w.status.Members, func(m coordinator.MemberStatus) bool { return m.Worker == id })
		w.mu.Unlock()
		if in {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return fmt.Errorf("worker %d has not joined after 20 s", id)
}

// length is how many steps the run has.
func (w *world) length() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.steps
}

// committed is how many steps some worker has applied.
func (w *world) committed() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.roots)
}
