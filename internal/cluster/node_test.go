package cluster

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"time"
	"weak"

	"concord/internal/cluster/protocol"
	"concord/internal/cluster/worker"
	"concord/transport"
)

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
		Patience: w.waits, HeartbeatTimeout: w.silence(0)})
	services := n.m.Services(leads)
	for name, h := range services {
		if w.flip != nil {
			services[name] = flipping{h, func(step int) bool { return w.flip(id, step) }}
		}
		if w.sent != nil && name == protocol.ServiceWorker {
			services[name] = listening{h, func(h transport.Header, payload []byte) bool { return w.sent(id, h, payload) }}
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

// listening is a machine's service of which a test decides what others send it, where they dial it.
type listening struct {
	transport.Handler
	sent func(h transport.Header, payload []byte) bool
}

func (l listening) Offer(c *transport.Conn, h transport.Header) (transport.Verdict, string) {
	if !l.sent(h, nil) {
		return transport.Have, ""
	}
	return l.Handler.Offer(c, h)
}

func (l listening) Deliver(c *transport.Conn, h transport.Header, meta, payload []byte) error {
	l.sent(h, payload)
	return l.Handler.Deliver(c, h, meta, payload)
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
