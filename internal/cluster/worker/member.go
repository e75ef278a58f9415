package worker

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

	"concord/internal/cluster/protocol"
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
type EndedError struct{ protocol.End }

func (e *EndedError) Error() string { return "the run has ended: " + e.Text }

// Options are a worker's settings.
type Options struct {
	Hello       protocol.Hello
	Coordinator string // address
	// Find, if not nil, looks the address up anew before every connection.
	Find             func(ctx context.Context) (string, error)
	HeartbeatTimeout time.Duration
	// Patience is how long to wait for a coordinator that is gone; 0 means 10 min.
	Patience time.Duration
	Link     float64      // bytes per second that a link should carry, for striping; 0: 100 Mbit/s
	Log      *slog.Logger // nil: nothing is logged

	Revoked func(worker uint32) bool // the coordinator's, in its process; nil elsewhere
}

// Shape describes a run's steps, once the model is known.
type Shape struct {
	Groups          []int // elements by group: all of a resolve group, or a slice of it
	Leads           protocol.Leads
	Segments, Langs int
	Names           []string // of the segments, for messages
	Codec           transport.Codec
	Device          string // the adapter
	StepName        string // a user's word for a step of the coordinator; "": step
	// Parameters: owners keep the optimizer's moments and send updated weights, all
	// others get no gradients (ZeRO-1; Rajbhandari et al., SC 2020).
	Parameters bool
	Moments    []int64 // then: the bytes of a group's moments
	// Check refuses an owner's message on a resolved group that cannot be, in a step of
	// so many supervised tokens by language (nil: not known); nil: none is refused.
	Check func(meta []byte, tokens []int) error
	// CheckSolution is the same for a leader's message to the owners of the other slices.
	CheckSolution func(b []byte) error
}

// Member is a worker's side of the run. Begin, State and the Step that Begin
// returns belong to one goroutine; the network's call the rest.
type Member struct {
	opt Options
	ep  *transport.Endpoint
	id  uint32

	mu            sync.Mutex
	changed       *sync.Cond
	coord         *transport.Conn // nil while there is none
	since         time.Time       // when coord began, or the last one before
	redials       Attempts        // since the last connection that lasted; used by reconnect only
	silence       protocol.Silence
	shape         Shape
	plan          *protocol.Plan         // the latest
	plans         map[int]*protocol.Plan // the latest of each step that is not applied
	commits       map[int]*protocol.Commit
	inbox         map[int]map[groupKey]*resolved // by step, from owners
	cache         map[int]moments                // by group
	inboxBytes    int64                          // bytes
	cur           *Step
	applied       int    // next step; -1: the state of another machine is wanted
	holds         int    // meanwhile: the next step of this machine's own
	trained       bool   // a step was applied here
	under         uint32 // epoch of the plan by which it has its weights, 0: its own
	resync        bool
	own           bool // no other machine has later weights than this one's: it goes on from its own
	ended         *protocol.End
	lost          error
	peers         map[uint32]*transport.Peer
	dialing       map[uint32]chan struct{}
	poking        map[string]bool // addresses
	ways          ways
	states        offeredState
	offer         func() error              // calls Offer with the state before the next step
	feedback      map[feedbackKey][]float32 // of int8, the rounding error
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

// TookPart says that a coordinator has planned with this process.
func (m *Member) TookPart() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.plan != nil
}

// Finish ends the run here as the coordinator's word does, where no machine leads that could say it: another
// one has finished the run. A step that waits for others ends with an EndedError.
func (m *Member) Finish(text string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.endsAs(&protocol.End{Text: text, Finished: true})
	m.changed.Broadcast()
}

// groupKey is a place for a group's gradient or its weights, as its owner sends them.
type groupKey struct {
	kind  transport.Kind
	group int
}

// resolved is a group's gradient, or its updated weights, as its owner sent it.
type resolved struct {
	epoch   uint32
	meta    []byte
	payload []byte
	hash    transport.Hash
	sender  uint32
}

// New returns a worker that is not connected yet: it is the service
// "worker" of an endpoint: see Services.
func New(o Options) *Member {
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
	m := &Member{opt: o, plans: map[int]*protocol.Plan{}, commits: map[int]*protocol.Commit{}, inbox: map[int]map[groupKey]*resolved{},
		cache: map[int]moments{}, applied: -1,
		peers: map[uint32]*transport.Peer{}, dialing: map[uint32]chan struct{}{}, poking: map[string]bool{},
		ways:        newWays(),
		feedback:    map[feedbackKey][]float32{},
		newFeedback: map[feedbackKey][]float32{}, newFeedbackIn: -1}
	m.changed = sync.NewCond(&m.mu)
	m.ctx, m.stop = context.WithCancel(context.Background())
	return m
}

// logf logs a sentence for the user.
func (m *Member) logf(format string, args ...any) { protocol.Logf(m.opt.Log, format, args...) }

// Services are those of a machine's endpoint: its worker, and coordinator where
// that is not nil.
func (m *Member) Services(coordinator transport.Handler) map[string]transport.Handler {
	all := map[string]transport.Handler{protocol.ServiceWorker: (*workerService)(m), protocol.ServicePing: protocol.Nothing{}}
	if coordinator != nil {
		all[protocol.ServiceCoordinator] = coordinator
	}
	return all
}

// Connect introduces this machine to the coordinator.
func (m *Member) Connect(ctx context.Context, ep *transport.Endpoint) (protocol.Welcome, error) {
	m.ep, m.id = ep, ep.Identity().Worker
	w, err := m.dialCoordinator(ctx)
	if err == nil {
		m.spawn(m.sendHeartbeats)
		m.spawn(m.stripes)
	}
	return w, err
}

// ConnectTo is Connect to a coordinator at another address than the options have.
func (m *Member) ConnectTo(ctx context.Context, ep *transport.Endpoint, addr string) (protocol.Welcome, error) {
	m.opt.Coordinator = addr
	return m.Connect(ctx, ep)
}

// SetHeartbeatTimeout is for a machine that has the run's configuration from the
// coordinator.
func (m *Member) SetHeartbeatTimeout(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.opt.HeartbeatTimeout = d
}

func (m *Member) dialCoordinator(ctx context.Context) (protocol.Welcome, error) {
	var w protocol.Welcome
	if m.opt.Find != nil {
		addr, err := m.opt.Find(ctx)
		if err != nil {
			return w, err
		}
		m.mu.Lock()
		m.opt.Coordinator = addr
		m.mu.Unlock()
	}
	link := &coordinatorLink{m: m}
	c, err := m.ep.Dial(ctx, m.opt.Coordinator, protocol.ServiceCoordinator, m.opt.Hello, &w, link)
	if err == nil {
		err = protocol.CheckText("the run's configuration", w.Config)
	}
	if err == nil && w.Banned != "" {
		err = fmt.Errorf("%w: %s", ErrBanned, protocol.Plain(w.Banned))
	}
	if err != nil {
		if c != nil {
			c.Close("not taken")
		}
		return w, err
	}
	return w, link.note(c)
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
// machines keep the part that only they have.
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
		c.Send(transport.Message{Type: protocol.MsgLeave})
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
	defer m.endWith(ctx)()
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

// Report tells the coordinator of a problem.
func (m *Member) Report(p protocol.Problem) { m.send(transport.Pack(protocol.MsgProblem, p)) }

// Plan is the latest plan that this machine has heard of, nil before the first. It must
// not be changed.
func (m *Member) Plan() *protocol.Plan {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.plan
}

// Revoked says that the latest plan names the worker as revoked, or that this process's
// coordinator knows it.
func (m *Member) Revoked(worker uint32) bool {
	if m.opt.Revoked != nil && m.opt.Revoked(worker) {
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
