package coordinator

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"concord/internal/cluster/protocol"
	"concord/internal/cluster/store"
	"concord/transport"
)

// Options describe the run to its coordinator.
type Options struct {
	Store   store.Store
	Local   uint32          // worker number of this process; its step leads the run
	Port    int             // of this process
	Config  json.RawMessage // for workers
	Files   []protocol.File
	Open    func(name string) (io.ReadCloser, error) // the content of a file
	Groups  []int                                    // elements by group: all of a resolve group, or a slice of it
	Leads   protocol.Leads
	Work    func(step int) protocol.Work
	Codec   transport.Codec
	SeqLen  int
	Workers int // how many the first step waits for
	// Gather has the first step of this coordinator, too, wait for so many; Regather
	// only where no machine is left that was in the run.
	Gather, Regather bool
	// HeartbeatTimeout is how long a worker may not be heard of; 0 means 3 s.
	HeartbeatTimeout time.Duration
	// NoDeadline waits for slow workers instead of doing without their rows, and
	// does a step again that lost a machine: the result depends on neither.
	NoDeadline bool
	Equal      bool // shares do not follow speed
	// Lost is closed when a coordinator that was elected leads no longer: it fails, and
	// the worker of its process works on for the next one. nil: there is no election.
	Lost       <-chan struct{}
	TookPart   bool // a coordinator has planned with this process before
	Parameters bool // see Shape
	// StateTimeout is how long a restarted coordinator waits for a machine that holds the
	// last committed step; 0 means 20 s.
	StateTimeout time.Duration
	// StepAfter is the trainer's step after so many of the coordinator's, for the
	// status; nil: they are the same.
	StepAfter  func(steps int) int
	StepName   string                    // a user's word for a step of the coordinator; "": step
	Langs      []string                  // names, for messages; nil: numbers
	CheckEvery int                       // steps between comparisons of the replicas; 0: never
	Log        *slog.Logger              // nil: nothing is logged
	Changed    func(s Status, last bool) // after every change worth showing
	// Probe says whether a worker can be dialled: others own no groups.
	Probe ProbeFunc
	// Relay: workers that neither can dial the other reach each other over this machine.
	Relay bool
	// Revocations lists the workers whose certificates are worth nothing any more; nil:
	// none ever.
	Revocations func() []uint32
}

// Coordinator runs the steps. Its state belongs to one goroutine, loop; all else
// sends it functions.
type Coordinator struct {
	protocol.Nothing // takes no gradients
	opt              Options
	events           chan func()
	done             chan struct{}   // closed after the last of loop
	after            sync.Mutex      // guards the state from then on
	failed           chan struct{}   // closed by fail
	ctx              context.Context // of the loop
	stop             context.CancelFunc
	wg               sync.WaitGroup

	term      uint32
	termRev   int64
	commitRev int64

	members        map[uint32]*member
	step           int              // the next to be committed
	last           *protocol.Commit // nil before the first
	epoch          uint32
	back           uint32 // the epoch when the run last went back: weights of plans until then may be of steps that were lost
	plan           *protocol.Plan
	work           protocol.Work    // of its step
	pending        *protocol.Commit // being written to the store
	planned        time.Time        // when the present plan's shares were sent
	started        bool             // the first step had its workers
	graceUntil     time.Time        // until when a step waits for those who did the last one
	boot           time.Time        // until when the second step waits for those who joined before the first
	history        history
	sizes          map[uint32]int // of the last step's shares
	saved          int            // the step before which machine 1 last saved, -1: none
	ended          bool
	end            *protocol.End         // how, where machines are told
	announced      string                // whose shares were last explained
	traffic        protocol.Alternatives // of those
	missing        int                   // steps in a row without some language
	without        map[uint32]string     // whose rows the present step goes on without, and why
	stalled        map[uint32]bool       // workers that do not resolve their groups in the present step
	vain           int                   // machines in a row that the run has waited for, and that did nothing
	cold           time.Duration         // that this process's own worker took to compile and compute a share
	accusers       map[accusation]map[uint32]bool
	doubted        doubted // within the step
	apart          map[pair]*separation
	given          []protocol.Share // of the present generation, as first planned
	deadline       time.Duration    // likewise
	timer          *time.Timer      // for it
	asked          time.Time        // when everyone was asked how far it is, zero: not now
	advanced       time.Time        // when the last step was committed
	working        protocol.Silence // since planned and since advanced, but for this process's own sleep:
	applying       protocol.Silence // it keeps nobody from a step
	evicted        []Eviction
	relay          *transport.Relay
	relayTold      string                   // pairs that the user knows to be relayed
	pairs          atomic.Pointer[[]uint32] // the members between which it relays
	barred         map[uint32]bars
	banned         map[uint32]string // workers put out for a fault of theirs, with the reason
	revoked        atomic.Pointer[[]uint32]
	waiting        string
	rollback       *protocol.Silence // of machines with newer state, while the run waits for one
	momentsMissing *protocol.Silence // of the machines that hold groups' moments, while they are missing
	err            error
}

// member is a worker as the coordinator knows it.
type member struct {
	id      uint32
	conn    *transport.Conn
	hello   protocol.Hello
	addr    string // "" cannot be dialled
	at      string // where it was when that was found out
	punched bool   // it is dialled while it pokes back
	relayed bool   // it cannot be dialled, and is reached over this machine
	paths   map[uint32]protocol.Path
	pokes   map[uint32]time.Time // when it was last asked to poke a worker
	joined  time.Time
	heard   time.Time
	silence protocol.Silence
	step    int  // next to do; -1: not known yet, or fetching the state of another machine
	holds   int  // with state: the step that its own weights are of
	state   bool // wants the state of another machine
	asked   bool // was told to fetch it, and has not answered
	receive int  // first step whose buckets it is sent, -1: none yet
	pace    measured
	speed   float64        // batch tokens per second, of the last step
	rows    int            // of the last plan
	done    *protocol.Done // of the present plan's epoch
	first   bool           // was there before the first step
	counted bool           // did the last step
	groups  int            // resolve groups owned under the latest plan
	slices  int            // of others, likewise
	out     chan transport.Message
	flow    *rate.Limiter // of its messages
	hashes  *protocol.Hashes
	moments string // by group, as Ready told it
	trained bool   // likewise
	drifts  int    // times that its weights were not those of the others

	last     *protocol.Done    // of the last step that it did
	shaped   int               // rows of the last share that was counted: kernels are compiled for them
	progress protocol.Progress // as last reported,
	reported time.Time         // at this time
	dissents int               // times that its root was not that of most others
	passed   int               // steps in a row that it followed without rows
	late     int               // likewise, that went on without its rows or its groups
	lateAt   int               // the last of them
	spoilt   int               // steps whose groups it resolved to values that nobody can use
	problems int               // reported since the last commit

	baseless   int // steps in which it complained of rows that it was not to be sent
	baselessAt int // the last of them
}

// current says that the member can work on step s.
func (m *member) current(s int) bool { return m.step == s && !m.state }

// send sends a message in order, without waiting for the member to take it.
func (c *Coordinator) send(m *member, msg transport.Message) {
	select {
	case m.out <- msg:
	default: // the heartbeat timeout comes first, normally
		go c.post(func() { c.evict(m, "it takes no messages") })
	}
}

// mail sends the messages that send queues until the member is gone.
func (m *member) mail() {
	for {
		select {
		case msg := <-m.out:
			if m.conn.Send(msg) != nil {
				return
			}
		case <-m.conn.Context().Done():
			return
		}
	}
}

// resync has the member fetch the state of another machine. It answers with Ready.State; a Ready
// before that was under way, and is of weights that it is to replace.
func (c *Coordinator) resync(m *member) {
	if m.state {
		return // it wants to, and would not answer
	}
	c.send(m, transport.Pack(protocol.MsgResync, protocol.Ready{State: true}))
	m.step, m.receive, m.asked = -1, -1, true
}

// Eviction is one that happened.
type Eviction struct {
	Time   time.Time `json:"time"`
	Worker uint32    `json:"worker"`
	Name   string    `json:"name"`
	Reason string    `json:"reason"`
}

// New raises the term in the store, so that an
// earlier coordinator can commit no more, and goes on after the last committed
// step, or at start where there is none.
func New(ctx context.Context, o Options, start int) (*Coordinator, error) {
	if o.HeartbeatTimeout == 0 {
		o.HeartbeatTimeout = 3 * time.Second
	}
	if o.StateTimeout == 0 {
		o.StateTimeout = 20 * time.Second
	}
	if o.StepAfter == nil {
		o.StepAfter = func(steps int) int { return steps }
	}
	c := &Coordinator{opt: o, events: make(chan func(), 64), done: make(chan struct{}), failed: make(chan struct{}),
		members: map[uint32]*member{}, without: map[uint32]string{}, stalled: map[uint32]bool{}, accusers: map[accusation]map[uint32]bool{},
		apart: map[pair]*separation{}, barred: map[uint32]bars{}, banned: map[uint32]string{}, step: start, saved: -1}
	c.relay = c.newRelay()
	if err := c.acquireTerm(ctx); err != nil {
		return nil, err
	}
	c.revoke()
	c.ctx, c.stop = context.WithCancel(context.WithoutCancel(ctx)) // Close says how the run ended, after ctx
	c.wg.Go(func() { c.loop(c.ctx) })
	return c, nil
}

// logf logs a sentence for the user.
func (c *Coordinator) logf(format string, args ...any) { protocol.Logf(c.opt.Log, format, args...) }

// Step is the next step to be committed.
func (c *Coordinator) Step() (step int) {
	c.do(func() { step = c.step })
	return step
}

// Err is why the coordinator gave up, nil while it goes on.
func (c *Coordinator) Err() (err error) {
	c.do(func() { err = c.err })
	return err
}

// Failed is closed when the coordinator gives up.
func (c *Coordinator) Failed() <-chan struct{} { return c.failed }

// do runs f in the loop and waits for it; after the loop's end, here.
func (c *Coordinator) do(f func()) {
	ran := make(chan struct{})
	select {
	case c.events <- func() { f(); close(ran) }:
	case <-c.done:
	}
	select {
	case <-ran:
		return
	case <-c.done: // the loop runs no more functions
	}
	select {
	case <-ran: // it was the last that ran
	default:
		c.after.Lock()
		defer c.after.Unlock()
		f()
	}
}

// post runs f in the loop.
func (c *Coordinator) post(f func()) {
	select {
	case c.events <- f:
	case <-c.done:
	}
}

func (c *Coordinator) loop(ctx context.Context) {
	defer close(c.done)
	tick := time.NewTicker(protocol.Heartbeat)
	defer tick.Stop()
	lost := c.opt.Lost
	for {
		select {
		case <-ctx.Done():
			c.stopDeadline()
			return
		case f := <-c.events:
			f()
		case <-lost:
			if lost = nil; c.ended {
				break // everyone is told how the run ended
			}
			c.fail(fmt.Errorf("%w: its lease in the store ran out", ErrLostLeadership))
		case <-tick.C:
			c.tick()
		}
		if c.err == nil && !c.ended { // after the end nothing is committed any more: members leave
			c.proceed()
		}
	}
}

// tick looks for those who are silent and tells everyone that this side is there.
func (c *Coordinator) tick() {
	now := time.Now()
	for _, m := range c.silent(now) {
		c.evict(m, fmt.Sprintf("not heard of for %.1f s", now.Sub(m.heard).Seconds()))
	}
	for _, m := range c.sorted() {
		c.follow(m)
		c.send(m, transport.Message{Type: protocol.MsgAlive})
	}
	c.overdue(now)
	c.revoke()
	c.changed()
}

// silent are the members that have not been heard of for too long.
func (c *Coordinator) silent(now time.Time) []*member {
	return slices.DeleteFunc(c.sorted(), func(m *member) bool { return m.silence.Look(now) <= c.opt.HeartbeatTimeout })
}

func (c *Coordinator) sorted() []*member {
	return slices.SortedFunc(maps.Values(c.members), func(a, b *member) int { return cmp.Compare(a.id, b.id) })
}

// proceed does all that can be done now.
func (c *Coordinator) proceed() {
	if c.plan == nil {
		c.begin()
	}
	if c.plan != nil && c.pending == nil {
		c.commit()
	}
}
