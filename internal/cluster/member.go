package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
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
	Find             func(ctx context.Context) (string, error)
	HeartbeatTimeout time.Duration
	// Patience is how long to wait for a coordinator that is gone; 0 means 10 min.
	Patience time.Duration
	Link     float64      // bytes per second that a link should carry, for striping; 0: 100 Mbit/s
	Log      *slog.Logger // nil: nothing is logged

	revoked func(worker uint32) bool // the coordinator's, in its process; nil elsewhere
}

// Shape is what a run's steps look like, once the model is known.
type Shape struct {
	Units           []int // elements by unit
	Segments, Langs int
	Names           []string // of the segments, for messages
	Codec           transport.Codec
	Device          string // the adapter
	StepName        string // what a user calls a step of the coordinator; "": step
	// Parameters: owners keep the optimizer's moments and send updated weights, all
	// others get no gradients (ZeRO-1; Rajbhandari et al., SC 2020).
	Parameters bool
}

// Member is a worker's side of the run. Begin, State and the Step that Begin
// returns belong to one goroutine; the network's call the rest.
type Member struct {
	opt MemberOptions
	ep  *transport.Endpoint
	id  uint32

	mu            sync.Mutex
	changed       *sync.Cond
	coord         *transport.Conn // nil while there is none
	heard         time.Time
	shape         Shape
	plan          *Plan         // the latest
	plans         map[int]*Plan // the latest of each step that is not applied
	commits       map[int]*Commit
	inbox         map[int]map[unitKey]*resolved // by step: what owners sent
	cache         map[int]moments               // by unit
	inboxBytes    int64                         // bytes
	cur           *Step
	applied       int  // next step; -1: the state of another machine is wanted
	holds         int  // meanwhile: the next step of this machine's own
	trained       bool // a step was applied here
	resync        bool
	ended         *End
	lost          error
	peers         map[uint32]*transport.Peer
	dialing       map[uint32]chan struct{}
	poking        map[string]bool // addresses
	states        offeredState
	offer         func() error              // calls Offer with the state before the next step
	feedback      map[feedbackKey][]float32 // of int8, what rounding left behind
	newFeedback   map[feedbackKey][]float32 // the same of the present step, which may be done again
	newFeedbackIn int                       // that step
	saved         int                       // see Saved
	closed        bool
	stop          context.CancelFunc
	ctx           context.Context

	life sync.Mutex // guards dead; apart from mu, as goroutines are started with and without it
	dead bool
	wg   sync.WaitGroup
}

// spawn runs f in a goroutine that Leave waits for; after Leave it does nothing.
func (m *Member) spawn(f func()) {
	m.life.Lock()
	defer m.life.Unlock()
	if !m.dead {
		m.wg.Go(f)
	}
}

// unitKey is a place for what an owner sends of a unit: its gradient, its weights.
type unitKey struct {
	kind transport.Kind
	unit int
}

// resolved is a unit's gradient, or its updated weights, as its owner sent it.
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
	if o.HeartbeatTimeout == 0 {
		o.HeartbeatTimeout = 3 * time.Second
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
	m := &Member{opt: o, plans: map[int]*Plan{}, commits: map[int]*Commit{}, inbox: map[int]map[unitKey]*resolved{},
		cache: map[int]moments{}, applied: -1,
		peers: map[uint32]*transport.Peer{}, dialing: map[uint32]chan struct{}{}, poking: map[string]bool{}, feedback: map[feedbackKey][]float32{},
		newFeedback: map[feedbackKey][]float32{}, newFeedbackIn: -1}
	m.changed = sync.NewCond(&m.mu)
	m.states.changed = m.changed
	m.ctx, m.stop = context.WithCancel(context.Background())
	return m
}

// logf logs a sentence for the user.
func (m *Member) logf(format string, args ...any) { logf(m.opt.Log, format, args...) }

// Services are what the endpoint of a machine offers: its worker, and c where
// it is the coordinator too.
func (m *Member) Services(c *Coordinator) map[string]transport.Handler {
	if c == nil {
		return map[string]transport.Handler{serviceWorker: (*workerService)(m), servicePing: pingService{}}
	}
	return m.services(c)
}

func (m *Member) services(coordinator transport.Handler) map[string]transport.Handler {
	return map[string]transport.Handler{serviceWorker: (*workerService)(m), servicePing: pingService{}, serviceCoordinator: coordinator}
}

// Connect introduces this machine to the coordinator.
func (m *Member) Connect(ctx context.Context, ep *transport.Endpoint) (Welcome, error) {
	m.ep, m.id = ep, ep.Identity().Worker
	w, err := m.dialCoordinator(ctx)
	if err == nil {
		m.spawn(m.sendHeartbeats)
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
	if err == nil {
		err = checkText("the run's configuration", w.Config)
	}
	if err == nil && w.Banned != "" {
		err = fmt.Errorf("%w: %s", ErrBanned, plain(w.Banned))
	}
	if err != nil {
		if c != nil {
			c.Close("not taken")
		}
		return w, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.coord, m.heard = c, time.Now()
	m.changed.Broadcast()
	return w, nil
}

// Configure tells the shape of the steps, before the first Begin or State. offer
// calls Offer with the state as it is: Begin calls it for machines that come before
// the run's first step.
func (m *Member) Configure(s Shape, offer func() error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.shape, m.offer = s, offer
}

// Saved says that the state before step n, the next, is in a checkpoint: the other
// machines keep what only they have of it.
func (m *Member) Saved(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.saved = n
}

// Fetch copies a file of the run, of so many bytes, to w.
func (m *Member) Fetch(ctx context.Context, name string, size int64, w io.Writer) error {
	m.mu.Lock()
	c := m.coord
	m.mu.Unlock()
	if c == nil {
		return transport.ErrClosed
	}
	return c.Fetch(ctx, name, 10*time.Second, func(sent int64) (io.Writer, error) {
		if sent != size {
			return nil, fmt.Errorf("%w: machine 1 sends %d bytes of it, after it had announced %d", transport.ErrDamaged, sent, size)
		}
		return w, nil
	})
}

// Leave tells the coordinator that this machine goes, and ends all goroutines.
// The endpoint stays open.
func (m *Member) Leave() {
	m.mu.Lock()
	c := m.coord
	m.closed = true
	m.states.clear()
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

// send sends a message to the coordinator; without one it is dropped, as
// everything is told again to the next.
func (m *Member) send(msg transport.Message) {
	m.mu.Lock()
	c := m.coord
	m.mu.Unlock()
	if c != nil {
		c.Send(msg)
	}
}

// sendHeartbeats says that this side is there, and finds out that the other is not.
func (m *Member) sendHeartbeats() {
	t := time.NewTicker(heartbeat)
	defer t.Stop()
	for {
		select {
		case <-m.ctx.Done():
			return
		case <-t.C:
		}
		m.mu.Lock()
		c, silent, p := m.coord, time.Since(m.heard) > m.opt.HeartbeatTimeout, m.progress()
		m.mu.Unlock()
		switch {
		case c == nil:
		case silent:
			c.Close("not heard of")
		default:
			c.Send(transport.Pack(msgHeartbeat, p))
		}
	}
}

// revoked says that the latest plan names the worker as revoked, or that this process's
// coordinator knows it.
func (m *Member) revoked(worker uint32) bool {
	if m.opt.revoked != nil && m.opt.revoked(worker) {
		return true
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.plan != nil && slices.Contains(m.plan.Revoked, worker)
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
