package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"

	"concord/transport"
)

// Errors that end a step, for errors.Is.
var (
	// ErrRedo: the step is planned anew; begin it again.
	ErrRedo = errors.New("the step is done again")
	// ErrState: this machine's weights are not the run's; fetch them with State.
	ErrState = errors.New("this machine's weights are not the run's")
	// ErrLost: the coordinator did not come back.
	ErrLost = errors.New("the coordinator is gone")
	// ErrBanned: the coordinator has put this machine out for a fault.
	ErrBanned = errors.New("this machine was put out of the run")
)

// EndedError says that the coordinator has ended the run.
type EndedError struct{ End }

func (e *EndedError) Error() string { return "the run has ended: " + e.Text }

// MemberOptions are a worker's settings.
type MemberOptions struct {
	Hello       Hello
	Coordinator string // address
	// Find, if not nil, looks the address up anew before every connection.
	Find    func(ctx context.Context) (string, error)
	Silence time.Duration
	// Patience is how long to wait for a coordinator that is gone; 0 means 10 min.
	Patience time.Duration
	Link     float64 // bytes per second that a link should carry, for striping; 0: 100 Mbit/s
	Log      func(format string, args ...any)
}

// Shape is what a run's steps look like, once the model is known.
type Shape struct {
	Units           []int // elements by unit
	Segments, Langs int
	Names           []string // of the segments, for messages
	Codec           transport.Codec
	Device          string // the adapter
}

// Member is a worker's side of the run. Begin, State and the Step that Begin
// returns belong to one goroutine; the network's call the rest.
type Member struct {
	opt MemberOptions
	ep  *transport.Endpoint
	id  uint32

	mu      sync.Mutex
	changed *sync.Cond
	coord   *transport.Conn // nil while there is none
	heard   time.Time
	shape   Shape
	plan    *Plan         // the latest
	plans   map[int]*Plan // the latest of each step that is not applied
	commits map[int]*Commit
	boxes   map[int]map[int]*resolved // by step and unit: what owners sent
	boxed   int64                     // bytes
	cur     *Step
	applied int // next step; -1: no state
	resync  bool
	ended   *End
	lost    error
	peers   map[uint32]*transport.Peer
	dialing map[uint32]*sync.Mutex
	states  stateShelf
	residue map[residueKey][]float32 // of int8, what rounding left behind
	closed  bool
	stop    context.CancelFunc
	ctx     context.Context

	life sync.Mutex // guards dead; apart from mu, as goroutines are started with and without it
	dead bool
	wg   sync.WaitGroup
}

// spawn runs f in a goroutine that Leave waits for; behind Leave it does nothing.
func (m *Member) spawn(f func()) {
	m.life.Lock()
	defer m.life.Unlock()
	if !m.dead {
		m.wg.Go(f)
	}
}

// resolved is a unit's gradient as its owner sent it.
type resolved struct {
	epoch   uint32
	meta    []byte
	payload []byte
	hash    transport.Hash
	sender  uint32
}

// NewMember returns a worker that is not connected yet: it is the service
// "worker" of an endpoint, which Attach names.
func NewMember(o MemberOptions) *Member {
	if o.Silence == 0 {
		o.Silence = 3 * time.Second
	}
	if o.Patience == 0 {
		o.Patience = 10 * time.Minute
	}
	if o.Link == 0 {
		o.Link = 12.5e6
	}
	if o.Hello.Incarnation == 0 {
		o.Hello.Incarnation = rand.Uint64()
	}
	m := &Member{opt: o, plans: map[int]*Plan{}, commits: map[int]*Commit{}, boxes: map[int]map[int]*resolved{}, applied: -1,
		peers: map[uint32]*transport.Peer{}, dialing: map[uint32]*sync.Mutex{}, residue: map[residueKey][]float32{}}
	m.changed = sync.NewCond(&m.mu)
	m.states.changed = m.changed
	m.ctx, m.stop = context.WithCancel(context.Background())
	return m
}

// Services are what the endpoint of a machine offers: its worker, and c where
// it is the coordinator too.
func (m *Member) Services(c *Coordinator) map[string]transport.Handler {
	if c == nil {
		return map[string]transport.Handler{serviceWorker: (*workerService)(m)}
	}
	return m.services(c)
}

func (m *Member) services(coordinator transport.Handler) map[string]transport.Handler {
	return map[string]transport.Handler{serviceWorker: (*workerService)(m), serviceCoordinator: coordinator}
}

// probe finds out whether a worker can be dialled.
func (m *Member) probe(ctx context.Context, ep *transport.Endpoint, addr string, worker uint32) error {
	c, err := ep.Dial(ctx, addr, serviceWorker, nil, nil, (*workerService)(m))
	if err != nil {
		return err
	}
	if c.Peer.Worker != worker {
		c.Close("another worker was meant")
		return fmt.Errorf("it is worker %d", c.Peer.Worker)
	}
	m.addConn(c)
	return nil
}

// Connect introduces this machine to the coordinator.
func (m *Member) Connect(ctx context.Context, ep *transport.Endpoint) (Welcome, error) {
	m.ep, m.id = ep, ep.Identity().Worker
	w, err := m.dialCoordinator(ctx)
	if err == nil {
		m.spawn(m.pulse)
		m.spawn(m.stripes)
	}
	return w, err
}

func (m *Member) dialCoordinator(ctx context.Context) (Welcome, error) {
	var w Welcome
	if m.opt.Find != nil {
		addr, err := m.opt.Find(ctx)
		if err != nil {
			return w, err
		}
		m.mu.Lock()
		m.opt.Coordinator = addr
		m.mu.Unlock()
	}
	c, err := m.ep.Dial(ctx, m.opt.Coordinator, serviceCoordinator, m.opt.Hello, &w, (*coordinatorLink)(m))
	if err != nil {
		return w, err
	}
	if w.Banned != "" {
		c.Close("put out")
		return w, fmt.Errorf("%w: %s", ErrBanned, w.Banned)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.coord, m.heard = c, time.Now()
	m.changed.Broadcast()
	return w, nil
}

// Configure tells the shape of the steps, before the first Begin or State.
func (m *Member) Configure(s Shape) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.shape = s
}

// Fetch copies a file of the run to w.
func (m *Member) Fetch(ctx context.Context, name string, w io.Writer) error {
	m.mu.Lock()
	c := m.coord
	m.mu.Unlock()
	if c == nil {
		return transport.ErrClosed
	}
	return c.Fetch(ctx, name, 10*time.Second, func(int64) (io.Writer, error) { return w, nil })
}

// Leave tells the coordinator that this machine goes, and ends all goroutines.
// The endpoint stays open.
func (m *Member) Leave() {
	m.mu.Lock()
	c := m.coord
	m.closed = true
	m.changed.Broadcast()
	m.mu.Unlock()
	if c != nil {
		c.Send(transport.Message{Type: msgLeave})
	}
	m.stop()
	m.life.Lock()
	m.dead = true
	m.life.Unlock()
	m.wg.Wait()
}

// Wait waits for the coordinator to end the run, for a machine that has made all
// its steps.
func (m *Member) Wait(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { m.mu.Lock(); m.changed.Broadcast(); m.mu.Unlock() })
	defer stop()
	m.mu.Lock()
	defer m.mu.Unlock()
	for m.over() == nil && ctx.Err() == nil {
		m.changed.Wait()
	}
	return m.over()
}

// tell sends a message to the coordinator; without one it is dropped, as
// everything is told again to the next.
func (m *Member) tell(msg transport.Message) {
	m.mu.Lock()
	c := m.coord
	m.mu.Unlock()
	if c != nil {
		c.Send(msg)
	}
}

// pulse says that this side is there, and finds out that the other is not.
func (m *Member) pulse() {
	t := time.NewTicker(beat)
	defer t.Stop()
	for {
		select {
		case <-m.ctx.Done():
			return
		case <-t.C:
		}
		m.mu.Lock()
		c, silent := m.coord, time.Since(m.heard) > m.opt.Silence
		m.mu.Unlock()
		switch {
		case c == nil:
		case silent:
			c.Close("not heard of")
		default:
			c.Send(transport.Message{Type: msgBeat})
		}
	}
}

// revoked says that the latest plan names the worker as revoked.
func (m *Member) revoked(worker uint32) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.plan != nil && slices.Contains(m.plan.Revoked, worker)
}

// reconnect looks for the coordinator until it is back.
func (m *Member) reconnect(why error) {
	began := time.Now()
	m.opt.Log("the coordinator at %s is gone (%v): looking for it", m.opt.Coordinator, why)
	for time.Since(began) < m.opt.Patience && m.ctx.Err() == nil {
		w, err := m.dialCoordinator(m.ctx)
		if err == nil {
			m.opt.Log("the coordinator is back after %.1f s", time.Since(began).Seconds())
			m.returned(w)
			return
		}
		if errors.Is(err, transport.ErrProof) || errors.Is(err, ErrBanned) {
			m.giveUp(err)
			return
		}
		select {
		case <-m.ctx.Done():
		case <-time.After(beat):
		}
	}
	m.giveUp(fmt.Errorf("%w: not back after %v", ErrLost, m.opt.Patience))
}

// returned takes up the thread: a step that was committed while the coordinator
// was away, and where this machine stands.
func (m *Member) returned(w Welcome) {
	m.mu.Lock()
	if w.Last != nil && w.Last.Step >= m.applied {
		m.commits[w.Last.Step] = w.Last
	}
	step := m.applied
	finishing := w.Last != nil && m.cur != nil && m.cur.n == w.Last.Step
	m.changed.Broadcast()
	m.mu.Unlock()
	if finishing && m.finishes(step) {
		return // and Begin says where it stands
	}
	if step >= 0 {
		m.tell(transport.Pack(msgReady, Ready{Step: step, Device: m.shape.Device}))
	} else {
		m.tell(transport.Pack(msgReady, Ready{State: true}))
	}
}

// finishes waits for the committed step to be applied: all of its buckets may be
// here, or on their way.
func (m *Member) finishes(step int) bool {
	limit := time.Now().Add(5 * time.Second)
	timer := time.AfterFunc(5*time.Second, func() { m.mu.Lock(); m.changed.Broadcast(); m.mu.Unlock() })
	defer timer.Stop()
	m.mu.Lock()
	defer m.mu.Unlock()
	for m.applied == step && !m.resync && m.over() == nil && time.Now().Before(limit) {
		m.changed.Wait()
	}
	return m.applied > step
}

func (m *Member) giveUp(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lost = err
	m.changed.Broadcast()
}

// over is why this machine can do no more, nil while it can.
func (m *Member) over() error {
	switch {
	case m.ended != nil:
		return &EndedError{*m.ended}
	case m.lost != nil:
		return m.lost
	case m.closed:
		return context.Canceled
	}
	return nil
}

// coordinatorLink hears the coordinator.
type coordinatorLink Member

func (l *coordinatorLink) Connected(*transport.Conn, json.RawMessage) (any, error) {
	return nil, errors.New("not a service")
}

func (l *coordinatorLink) Message(c *transport.Conn, msg transport.Message) {
	m := (*Member)(l)
	m.mu.Lock()
	defer m.mu.Unlock()
	defer m.changed.Broadcast()
	m.heard = time.Now()
	switch msg.Type {
	case msgPlan:
		p := new(Plan)
		if err := msg.Unpack(p); err != nil || p.check(m.shape) != nil {
			m.opt.Log("a plan that cannot be: %v", errors.Join(err, p.check(m.shape)))
			return
		}
		m.take(p)
	case msgCommit:
		k := new(Commit)
		if msg.Unpack(k) == nil && k.Step >= m.applied {
			m.commits[k.Step] = k
		}
	case msgResync:
		m.resync = true
	case msgEnd:
		e := new(End)
		msg.Unpack(e)
		m.ended = e
	}
}

// check refuses plans that do not fit the model.
func (p *Plan) check(s Shape) error {
	if s.Units == nil {
		return nil // kept until the model is known; checked again then
	}
	if len(p.Owners) != len(s.Units) || len(p.Since) != len(s.Units) || p.Step < 0 {
		return fmt.Errorf("owners of %d units; the model has %d: the machines do not run the same configuration or version", len(p.Owners), len(s.Units))
	}
	return nil
}

// take makes p the plan of its step, unless a later one is known: that is the
// fence against a coordinator that does not know that it is none any more.
func (m *Member) take(p *Plan) {
	if m.plan != nil && p.Epoch < m.plan.Epoch {
		return
	}
	m.plan = p
	if m.commits[p.Step] != nil && m.plans[p.Step] != nil {
		return // the step is final under the plan that is known
	}
	m.plans[p.Step] = p
	if m.cur != nil && m.cur.n == p.Step {
		m.cur.replan(p)
	}
	for _, owner := range p.Owners {
		if owner != m.id && len(p.Members) > 1 {
			m.spawn(func() { m.peer(m.ctx, owner) }) // what cannot be dialled receives over this
		}
	}
}

func (l *coordinatorLink) Offer(*transport.Conn, transport.Header) (transport.Verdict, string) {
	return transport.Refuse, "a coordinator sends no buckets"
}

func (l *coordinatorLink) Deliver(*transport.Conn, transport.Header, []byte, []byte) error {
	return errors.New("a coordinator sends no buckets")
}

func (l *coordinatorLink) Fetch(*transport.Conn, json.RawMessage) (int64, io.ReadCloser, error) {
	return 0, nil, errors.New("nothing to fetch here")
}

func (l *coordinatorLink) Disconnected(c *transport.Conn, err error) {
	m := (*Member)(l)
	m.mu.Lock()
	mine := m.coord == c
	if mine {
		m.coord = nil
	}
	ended := m.over() != nil
	m.mu.Unlock()
	if mine && !ended {
		m.spawn(func() { m.reconnect(err) })
	}
}

// peer is the connections to another worker, dialled where there are none.
func (m *Member) peer(ctx context.Context, worker uint32) (*transport.Peer, error) {
	m.mu.Lock()
	p, lock := m.peers[worker], m.dialing[worker]
	if lock == nil {
		lock = new(sync.Mutex)
		m.dialing[worker] = lock
	}
	m.mu.Unlock()
	if p != nil && len(p.Conns()) > 0 {
		return p, nil
	}
	lock.Lock() // one dials, the others wait for it
	defer lock.Unlock()
	m.mu.Lock()
	p, addr := m.peers[worker], m.address(worker)
	m.mu.Unlock()
	if p != nil && len(p.Conns()) > 0 {
		return p, nil
	}
	if addr == "" {
		return nil, fmt.Errorf("worker %d cannot be dialled and has not dialled", worker)
	}
	return m.dialPeer(ctx, worker, addr)
}

func (m *Member) dialPeer(ctx context.Context, worker uint32, addr string) (*transport.Peer, error) {
	c, err := m.ep.Dial(ctx, addr, serviceWorker, nil, nil, (*workerService)(m))
	if err != nil {
		return nil, err
	}
	if c.Peer.Worker != worker {
		c.Close("another worker was meant")
		return nil, fmt.Errorf("at %s is worker %d, not %d", addr, c.Peer.Worker, worker)
	}
	return m.addConn(c), nil
}

func (m *Member) addConn(c *transport.Conn) *transport.Peer {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.peers[c.Peer.Worker]
	if p == nil {
		p = new(transport.Peer)
		m.peers[c.Peer.Worker] = p
	}
	p.Add(c)
	m.changed.Broadcast()
	return p
}

// address is where a worker is dialled: a port alone is at the coordinator's
// machine.
func (m *Member) address(worker uint32) string {
	if m.plan == nil {
		return ""
	}
	i := slices.IndexFunc(m.plan.Members, func(a Address) bool { return a.Worker == worker })
	if i < 0 {
		return ""
	}
	host, port, err := net.SplitHostPort(m.plan.Members[i].Addr)
	if err != nil || host != "" {
		return m.plan.Members[i].Addr
	}
	host, _, _ = net.SplitHostPort(m.opt.Coordinator)
	return net.JoinHostPort(host, port)
}

// stripes keeps as many connections to each owner as its losses call for.
func (m *Member) stripes() {
	t := time.NewTicker(2 * time.Second)
	defer t.Stop()
	for {
		select {
		case <-m.ctx.Done():
			return
		case <-t.C:
		}
		m.mu.Lock()
		type target struct {
			worker uint32
			addr   string
			conns  []*transport.Conn
		}
		var all []target
		for w, p := range m.peers {
			all = append(all, target{w, m.address(w), p.Conns()})
		}
		m.mu.Unlock()
		for _, x := range all {
			want := 1
			for _, c := range x.conns {
				want = max(want, transport.Stripes(c.Stats(), m.opt.Link))
			}
			if x.addr != "" && len(x.conns) > 0 && len(x.conns) < want {
				m.dialPeer(m.ctx, x.worker, x.addr)
			}
		}
	}
}
