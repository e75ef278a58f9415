package cluster

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"math/rand/v2"
	"net"
	"os"
	"runtime/pprof"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"
	"weak"

	"concord/bucket/exchange"
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
	params           bool                               // owners keep the momentum and send weights
	stateTimeout     time.Duration                      // 0: as it is usual
	gather, regather bool                               // of equal machines
	patience         time.Duration                      // of wait; 0: 20 s
	drift            func(n *node)                      // before a step
	saving           func(n *node, s *worker.Step)      // a step has begun
	flip             func(worker uint32, step int) bool // a bit of what it receives of the step
	unreachable      uint32                             // a worker that cannot be dialled
	committedAt      func(step int)                     // machine 1 has applied it
	crash            func(n *node, where string) error  // non-nil: n was killed there
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
		cut: protocol.Leads{0, 1, 2, 2, 2, 5, 6}, langs: 4, rows: 12, steps: steps, min: 1,
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

// node is a worker: a Member and what it trains.
type node struct {
	w       *world
	m       *worker.Member
	ep      *transport.Endpoint
	id      uint32
	weights [][]float32
	step    int
	done    chan error
	kill    context.CancelFunc
	ctx     context.Context
	conn    *cable

	offered []weak.Pointer[byte] // states for those who join
	kept    map[int][]byte       // what it holds of the momentum, in parameters mode

	restored *saved              // what it starts from, nil: step 0
	before   func(n *node) error // every step
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

// start starts worker id; 1 brings the coordinator with it.
func (w *world) start(id uint32) *node { return w.startFrom(id, nil, nil) }

// startFrom is start from what was saved, with before called before every step.
func (w *world) startFrom(id uint32, k *saved, before func(*node) error) *node {
	identity, err := w.ca.NewIdentity(id)
	if err != nil {
		w.t.Fatal(err)
	}
	n := &node{w: w, id: id, restored: k, before: before, done: make(chan error, 1)}
	n.ctx, n.kill = context.WithCancel(context.Background())
	n.conn = &cable{PacketConn: w.listen(int(id))}
	var leads transport.Handler
	if id == 1 {
		w.addr = n.conn.LocalAddr().String()
		leads = w.coordinate(n, identity)
	}
	stall := 2 * time.Second
	if w.calm {
		stall = 20 * time.Second
	}
	n.m = worker.New(worker.Options{Hello: protocol.Hello{Name: fmt.Sprintf("w%d", id)}, Coordinator: w.addr, Log: logTo(w.log),
		Patience: 20 * time.Second, HeartbeatTimeout: w.silence(0)})
	services := n.m.Services(leads)
	for name, h := range services {
		if w.flip != nil {
			services[name] = flipping{h, func(step int) bool { return w.flip(id, step) }}
		}
	}
	n.ep, err = transport.Open(n.conn, transport.Options{Identity: identity, Services: services, ResetKey: [32]byte{byte(id)},
		Stall: stall})
	if err != nil {
		w.t.Fatal(err)
	}
	go func() { n.done <- n.run() }()
	return n
}

// flipping is a machine's service with bad memory.
type flipping struct {
	transport.Handler
	flips func(step int) bool
}

func (f flipping) Deliver(c *transport.Conn, h transport.Header, meta, payload []byte) error {
	if h.Kind == transport.Gradient && f.flips(int(h.Step)) {
		payload[3] ^= 1
	}
	return f.Handler.Deliver(c, h, meta, payload)
}

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

// reset makes the weights of step 0.
func (n *node) reset() {
	n.weights, n.step = nil, 0
	for u, size := range n.w.groups {
		x := make([]float32, size)
		for i := range x {
			x[i] = float32(math.Sin(float64(u*1000 + i)))
		}
		n.weights = append(n.weights, x)
	}
}

// run is a worker's life.
func (n *node) run() error {
	if err := n.at("not connected"); err != nil {
		return err
	}
	if _, err := n.m.Connect(n.ctx, n.ep); err != nil {
		return err
	}
	shape := worker.Shape{Groups: n.w.groups, Leads: n.w.leads(), Segments: n.w.langs, Langs: n.w.langs, Codec: n.w.codec,
		Parameters: n.w.params, Check: func(meta []byte, _ []int) error {
			_, err := strconv.ParseFloat(string(meta), 64)
			return err
		}, CheckSolution: func(b []byte) error { var w []float32; return json.Unmarshal(b, &w) }}
	for _, size := range n.w.groups {
		shape.Moments = append(shape.Moments, 8*int64(size)) // two float32, see momentum
	}
	n.m.Configure(shape, n.offer)
	n.reset()
	switch zeros := map[int][]byte{}; {
	case n.restored != nil:
		n.restore()
	case n.id == 1:
		for u := range n.w.groups {
			zeros[u] = nil
		}
		n.m.Hold(0, zeros)
	}
	if n.id != 1 || n.restored != nil && n.w.coord.Step() > n.step {
		if err := n.fetch(); err != nil {
			return err
		}
	}
	for n.step < n.w.length() {
		err := n.advance()
		switch {
		case errors.Is(err, worker.ErrState):
			if err := n.fetch(); err != nil {
				return err
			}
		case errors.Is(err, worker.ErrRedo):
		case err != nil:
			return err
		}
	}
	return nil
}

// at is a place where a test may kill the machine.
func (n *node) at(where string) error {
	if n.w.crash == nil {
		return nil
	}
	return n.w.crash(n, where)
}

func (n *node) fetch() error {
	var b buffer
	step, err := n.m.State(n.ctx, n.step, []string{"weights"}, func(string) (io.WriteCloser, error) { b.Reset(); return &b, n.at("fetching") })
	if err != nil || b.Len() == 0 {
		n.step = step
		return err
	}
	n.step = step
	for _, x := range n.weights {
		binary.Read(&b, binary.LittleEndian, x)
	}
	return nil
}

type buffer struct{ bytes.Buffer }

func (*buffer) Close() error { return nil }

// advance does one step.
func (n *node) advance() error {
	if n.w.drift != nil {
		n.w.drift(n)
	}
	if n.before != nil {
		if err := n.before(n); err != nil {
			return err
		}
	}
	k := n.w.work(n.step)
	if err := n.at("not ready"); err != nil {
		return err
	}
	s, err := n.m.Begin(n.ctx, n.step, k)
	if err != nil {
		return err
	}
	if err := n.at("planned"); err != nil {
		return err
	}
	if s.Snapshot {
		n.offer()
	}
	if s.Check {
		n.m.Compare(n.step, n.hashes())
	}
	if n.w.perRow != nil {
		time.Sleep(n.w.perRow(n.id, s.Share.Size()))
	}
	n.w.mu.Lock()
	saving := n.w.saving
	n.w.mu.Unlock()
	if saving != nil {
		saving(n, s)
	}
	s.Losses(lossesOf(k, n.step, s.Share))
	for u := range n.w.groups {
		if len(s.Rows()) > 0 {
			if n.w.slow != nil {
				n.w.slow(n.id, n.step, u)
			}
			rows, losses := n.rows(k, s.Share, s.Rows(), u)
			if n.w.tamper != nil {
				n.w.tamper(n.id, n.step, u, rows)
			}
			s.Push(u, rows, losses)
			if err := n.at(fmt.Sprint("pushed ", u)); err != nil {
				return err
			}
		}
	}
	return n.resolve(s)
}

// hashes are those of the weights by resolve group.
func (n *node) hashes() (groups []transport.Hash) {
	for u := range n.weights {
		from, to := n.w.leads().Range(u)
		if u > from {
			continue
		}
		var b bytes.Buffer
		for _, x := range n.weights[from:to] {
			binary.Write(&b, binary.LittleEndian, x)
		}
		groups = append(groups, transport.Sum(b.Bytes()))
	}
	return groups
}

func (n *node) offer() error {
	var b bytes.Buffer
	for _, x := range n.weights {
		binary.Write(&b, binary.LittleEndian, x)
	}
	n.offered = append(n.offered, weak.Make(&b.Bytes()[0]))
	n.m.Offer(n.step, map[string][]byte{"weights": b.Bytes()})
	return nil
}

// lossesOf are the sums of a share's losses by language, exact in any split.
func lossesOf(k protocol.Work, step int, s protocol.Share) []float64 {
	sums := make([]float64, k.Langs)
	for r := s.From; r < s.To; r++ {
		sums[k.Lang[r]] += float64(k.Tokens[r]) * float64((step+r)%7+1) / 8
	}
	return sums
}

// rows are this worker's gradient rows of a group: every batch row adds values
// that depend on it, on the weights and on nothing else.
func (n *node) rows(k protocol.Work, share protocol.Share, segments []int, u int) (rows [][]float32, losses []float64) {
	total := k.LangTokens()
	for _, seg := range segments {
		x := make([]float32, n.w.groups[u])
		for r := share.From; r < share.To; r++ {
			if k.Segment[r] == seg {
				scale := float32(k.Tokens[r]) / float32(total[k.Lang[r]])
				for i := range x {
					v := scale * groupNoise(n.step, r, u, i) * (1 + n.weights[u][i])
					if !n.w.inexact {
						v = float32(math.Round(float64(v)*(1<<20))) / (1 << 20)
					}
					x[i] += v
				}
			}
		}
		rows, losses = append(rows, x), append(losses, float64(seg))
	}
	return rows, losses
}

// groupNoise is what a row adds; rows rounds it so that sums are exact in float32
// whatever the split.
func groupNoise(step, row, group, i int) float32 {
	h := uint32(step)*0x9e3779b1 ^ uint32(row)*0x85ebca77 ^ uint32(group)*0xc2b2ae3d ^ uint32(i)*0x27d4eb2f
	h = (h ^ h>>15) * 0x2c1b3c6d
	h = (h ^ h>>12) * 0x297a2d39
	return float32(int32((h^h>>15)%64)-32) / 4096
}

func (n *node) resolve(s *worker.Step) error {
	got, kept := make([][]float32, len(n.w.groups)), map[int]exchange.Event{}
	resolved := func(e exchange.Event, d []float32) (err error) {
		meta := func(norm2 float64) []byte { return []byte(fmt.Sprint(norm2)) }
		if n.w.spoil != nil {
			bad := n.w.spoil(n.id, n.step, d, []byte("1"))
			meta = func(float64) []byte { return bad }
		}
		if got[e.Slice], err = s.Resolved(e, d, meta); err != nil {
			return err
		}
		return n.at("resolved one")
	}
	for {
		e, err := s.Next(true)
		if err != nil {
			return err
		}
		switch e.Kind {
		case exchange.Sum:
			if n.w.leads().Sliced(e.Slice) {
				if err := n.at("summed"); err != nil {
					return err
				}
				kept[e.Slice] = e
				g := gramOf(e.Rows)
				if n.w.spoilTold != nil && n.w.spoilTold(n.id, n.step) {
					for i := range g {
						g[i] = math.NaN()
					}
				}
				s.Gram(e, g)
				err = n.at("told a Gram")
				break
			}
			err = resolved(e, n.w.combined(e.Slice, e.Rows, nil))
		case exchange.Solve:
			b, _ := json.Marshal(weigh(e.Grams, n.w.langs))
			if n.w.spoilTold != nil && n.w.spoilTold(n.id, n.step) {
				b = []byte("{")
			}
			s.Solved(e, b)
			err = n.at("told a solution")
		case exchange.Combine:
			var weights []float32
			if err := json.Unmarshal(e.Solution, &weights); err != nil {
				return err
			}
			if of := kept[e.Slice]; of.Epoch == e.Epoch {
				err = resolved(e, n.w.combined(e.Slice, of.Rows, weights))
			}
		case exchange.Gradient:
			got[e.Slice] = e.Gradient
		case exchange.Final:
			if err := n.at("all is there"); err != nil {
				return err
			}
			return n.apply(s, got)
		}
		if err != nil {
			return err
		}
	}
}

// leads are the slices of resolve groups.
func (w *world) leads() protocol.Leads {
	if w.params {
		return nil
	}
	return w.cut
}

// gramOf is the lower triangle of the Gram of rows; nil is zero.
func gramOf(rows [][]float32) (out []float64) {
	for i, a := range rows {
		for _, b := range rows[:i+1] {
			sum := 0.0
			if a != nil && b != nil {
				for k, v := range a {
					sum += float64(v) * float64(b[k])
				}
			}
			out = append(out, sum)
		}
	}
	return out
}

// weigh solves a group of several slices: weights up to one that depend on all of the Gram's diagonal.
func weigh(grams [][]float64, langs int) (weights []float32) {
	at := 0
	for m := range langs {
		at += m
		sum := 0.0
		for _, g := range grams {
			sum += g[at+m]
		}
		weights = append(weights, float32(1/(1+1000*sum)))
	}
	return weights
}

// combined is the gradient of a group, or with weights of a slice.
func (w *world) combined(u int, rows [][]float32, weights []float32) []float32 {
	d := make([]float32, w.groups[u])
	for m, x := range rows {
		for i, v := range x {
			if weights != nil {
				v = float32(v * weights[m])
			}
			d[i] += v / float32(w.langs)
		}
	}
	return d
}

// apply takes the committed step, and checks that there is one root for each.
func (n *node) apply(s *worker.Step, got [][]float32) error {
	if n.w.params {
		if err := n.share(s, got); err != nil {
			return err
		}
	}
	for u, d := range got {
		if n.w.params {
			break
		}
		if d == nil {
			return fmt.Errorf("step %d is final without group %d", n.step, u)
		}
		for i, v := range d {
			n.weights[u][i] -= 0.1 * v
		}
	}
	n.w.mu.Lock()
	defer n.w.mu.Unlock()
	root := s.Outcome().Root
	if old, ok := n.w.roots[n.step]; ok && old != root {
		return fmt.Errorf("step %d has two roots", n.step)
	}
	n.w.roots[n.step] = root
	n.w.record[n.step] = s.Outcome()
	if n.id == 1 && n.w.committedAt != nil {
		n.w.committedAt(n.step)
	}
	n.step++
	return nil
}

// share is apply in parameters mode: owners subtract a momentum that nobody else
// has, but for the backups that recompute it.
func (n *node) share(s *worker.Step, got [][]float32) error {
	after := map[int][]byte{}
	for _, u := range s.Mine() {
		state := momentum(s.Moments(u), got[u])
		x := slices.Clone(n.weights[u])
		for i := range x {
			x[i] -= 0.1 * state[2*i]
		}
		after[u] = transport.F32.Encode(state)
		s.Updated(u, x)
		if err := n.at("updated one"); err != nil {
			return err
		}
	}
	if err := n.at("updated all"); err != nil {
		return err
	}
	if err := s.AllGatherWeights(); err != nil {
		return err
	}
	if err := n.at("weights gathered"); err != nil {
		return err
	}
	for u := range n.weights {
		x, err := s.Weights(u)
		if err != nil {
			return err
		}
		copy(n.weights[u], x)
	}
	for _, u := range s.Backed() {
		g, err := s.Gradient(u)
		if err != nil {
			return err
		}
		after[u] = transport.F32.Encode(momentum(s.Moments(u), g))
	}
	s.Keep(after)
	n.kept = after
	return nil
}

// momentum is the state behind a step: the momentum, and as much that stays zero.
func momentum(before []byte, g []float32) []float32 {
	x := make([]float32, 2*len(g))
	if before != nil {
		if err := transport.F32.Decode(x, before); err != nil {
			panic(err)
		}
	}
	for i, v := range g {
		x[2*i] = 0.5*x[2*i] + v
	}
	return x
}

// saved is what a machine needs to go on from a step.
type saved struct {
	step    int
	weights [][]float32
	moments map[int][]byte
}

// save gathers a checkpoint, between two steps.
func (n *node) save() (*saved, error) {
	k := &saved{step: n.step, moments: map[int][]byte{}}
	for u, x := range n.weights {
		k.weights = append(k.weights, slices.Clone(x))
		if !n.w.params {
			continue
		}
		b, err := n.m.Moments(n.ctx, n.step, u)
		if err != nil {
			return nil, err
		}
		k.moments[u] = b
	}
	return k, nil
}

// restore starts from what was saved.
func (n *node) restore() {
	n.step = n.restored.step
	for u, x := range n.restored.weights {
		n.weights[u] = slices.Clone(x)
	}
	n.m.Hold(n.step, n.restored.moments)
}

// stopNode ends a worker as its user would.
func (n *node) leave() {
	n.m.Leave()
	n.kill()
	n.ep.Close()
}

// die ends a worker as kill -9 would: no goodbye.
func (n *node) die() {
	n.conn.sever()
	n.kill()
	go n.m.Leave()
	go n.ep.Close()
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
		case <-time.After(max(w.patience, 20*time.Second)):
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
	for range 500 {
		w.mu.Lock()
		e := w.status.Evicted
		w.mu.Unlock()
		if len(e) >= n {
			return e
		}
		time.Sleep(10 * time.Millisecond)
	}
	w.t.Fatalf("no %d evictions after 5 s: %+v", n, w.status)
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
