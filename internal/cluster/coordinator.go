package cluster

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"concord/internal/cluster/store"
	"concord/transport"
)

// CoordinatorOptions are what a coordinator needs to know of the run.
type CoordinatorOptions struct {
	Store   store.Store
	Local   uint32          // worker number of this process; its step leads the run
	Port    int             // of this process
	Config  json.RawMessage // for workers
	Files   []File
	Open    func(name string) (io.ReadCloser, error) // the content of a file
	Units   []int                                    // elements by unit
	Work    func(step int) Work
	Codec   transport.Codec
	SeqLen  int
	Workers int // how many the first step waits for
	// Silence is how long a worker may not be heard of; 0 means 3 s.
	Silence time.Duration
	// NoDeadline waits for slow workers instead of doing without their rows, and
	// does a step again that lost a machine: the result depends on neither.
	NoDeadline bool
	Equal      bool // shares do not follow speed
	CheckEvery int  // steps between comparisons of the replicas; 0: never
	Log        func(format string, args ...any)
	Changed    func(s Status, last bool) // after every change worth showing
	// Probe says whether a worker can be dialled: who cannot owns no buckets.
	Probe   func(ctx context.Context, addr string, worker uint32) error
	Secrets *Secrets // for revocations; nil: none
}

// Coordinator runs the steps. Its state belongs to one goroutine, loop; all else
// sends it functions.
type Coordinator struct {
	opt    CoordinatorOptions
	events chan func()
	done   chan struct{}
	stop   context.CancelFunc
	wg     sync.WaitGroup

	term      uint32
	termRev   int64
	commitRev int64

	members  map[uint32]*member
	step     int     // the next to be committed
	last     *Commit // nil before the first
	epoch    uint32
	plan     *Plan
	planned  time.Time // when the present plan's shares were sent
	started  bool      // the first step had its workers
	settled  time.Time // until when a step waits for those who did the last one
	boot     time.Time // until when the second step waits for those who joined before the first
	history  history
	sizes    map[uint32]int // of the last step's shares
	ended    bool
	told     string       // whose shares were last explained
	traffic  Alternatives // of those
	late     map[uint32]string
	evicted  []Eviction
	banned   map[uint32]string // workers put out for a fault of theirs, with the reason
	revoked  atomic.Pointer[[]uint32]
	waiting  string
	rollback time.Time // when to give up hoping for a machine with newer state
	err      error
}

// member is a worker as the coordinator knows it.
type member struct {
	id      uint32
	conn    *transport.Conn
	hello   Hello
	addr    string // "" cannot be dialled
	joined  time.Time
	heard   time.Time
	step    int  // next to do; -1: not known yet, or fetching the state of another machine
	holds   int  // with state: the step that its own weights are of
	state   bool // wants the state of another machine
	receive int  // first step whose buckets it is sent, -1: none yet
	pace    measured
	speed   float64 // batch tokens per second, of the last step
	rows    int     // of the last plan
	done    *Done   // of the present plan's epoch
	first   bool    // was there before the first step
	counted bool    // did the last step
	units   int     // owned, as last shown
	out     chan transport.Message
	hashes  *Hashes
	drifts  int // times that its weights were not those of the others
}

// current says that the member can work on step s.
func (m *member) current(s int) bool { return m.step == s && !m.state }

// tell sends a message in order, without waiting for the member to take it.
func (c *Coordinator) tell(m *member, msg transport.Message) {
	select {
	case m.out <- msg:
	default: // 10 s of silence come first, normally
		go c.post(func() { c.evict(m, "it takes no messages") })
	}
}

// mail sends what tell queues until the member is gone.
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

// resync has the member fetch the state of another machine.
func (c *Coordinator) resync(m *member) {
	c.tell(m, transport.Pack(msgResync, Ready{State: true}))
	m.step, m.receive = -1, -1 // it answers with Ready.State
}

// Eviction is one that happened.
type Eviction struct {
	Time   time.Time `json:"time"`
	Worker uint32    `json:"worker"`
	Name   string    `json:"name"`
	Reason string    `json:"reason"`
}

// committed is what the store holds.
type committed struct {
	Next int     `json:"next"` // step
	Last *Commit `json:"last,omitempty"`
}

const (
	keyTerm      = "term"
	keyCommitted = "committed"
)

// NewCoordinator takes office: it raises the term in the store, so that an
// earlier coordinator can commit no more, and goes on behind the last committed
// step, or at start where there is none.
func NewCoordinator(ctx context.Context, o CoordinatorOptions, start int) (*Coordinator, error) {
	if o.Silence == 0 {
		o.Silence = 3 * time.Second
	}
	c := &Coordinator{opt: o, events: make(chan func(), 64), done: make(chan struct{}), members: map[uint32]*member{}, late: map[uint32]string{}, banned: map[uint32]string{}, step: start}
	if err := c.takeOffice(ctx); err != nil {
		return nil, err
	}
	ctx, c.stop = context.WithCancel(context.Background())
	c.wg.Go(func() { c.loop(ctx) })
	return c, nil
}

func (c *Coordinator) takeOffice(ctx context.Context) error {
	b, rev, err := c.opt.Store.Get(ctx, keyTerm)
	if err != nil {
		return err
	}
	if rev > 0 {
		if err := json.Unmarshal(b, &c.term); err != nil {
			return fmt.Errorf("cluster: the store's term: %w", err)
		}
	}
	c.term++
	b, _ = json.Marshal(c.term)
	if c.termRev, err = c.opt.Store.Put(ctx, keyTerm, b, rev); err != nil {
		return fmt.Errorf("cluster: take office: %w", err)
	}
	c.epoch = c.term << 12
	var k committed
	if b, c.commitRev, err = c.opt.Store.Get(ctx, keyCommitted); err != nil {
		return err
	}
	if c.commitRev > 0 {
		if err := json.Unmarshal(b, &k); err != nil {
			return fmt.Errorf("cluster: the store's committed step: %w", err)
		}
		c.step, c.last, c.started = k.Next, k.Last, true
	}
	return nil
}

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

// do runs f in the loop and waits for it.
func (c *Coordinator) do(f func()) {
	ran := make(chan struct{})
	select {
	case c.events <- func() { f(); close(ran) }:
		<-ran
	case <-c.done:
		f() // nobody else is there any more
	}
}

// post runs f in the loop.
func (c *Coordinator) post(f func()) {
	select {
	case c.events <- f:
	case <-c.done:
	}
}

// beat is how often both sides say that they are there.
const beat = 500 * time.Millisecond

func (c *Coordinator) loop(ctx context.Context) {
	defer close(c.done)
	tick := time.NewTicker(beat)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case f := <-c.events:
			f()
		case <-tick.C:
			c.tick()
		}
		if c.err == nil {
			c.proceed()
		}
	}
}

// tick looks for those who are silent and tells everyone that this side is there.
func (c *Coordinator) tick() {
	now := time.Now()
	for _, m := range c.sorted() {
		if now.Sub(m.heard) > c.opt.Silence {
			c.evict(m, fmt.Sprintf("not heard of for %.1f s", now.Sub(m.heard).Seconds()))
			continue
		}
		c.tell(m, transport.Message{Type: msgAlive})
	}
	c.overdue(now)
	c.revoke()
	c.changed()
}

// stuckLimit is how long a step may take in which somebody is done and somebody
// else is not.
func (c *Coordinator) stuckLimit() time.Duration {
	if d := c.history.deadline(); d > 0 {
		return max(10*d, 30*time.Second)
	}
	return 10 * time.Minute
}

// overdue evicts those who do not come to the end of a step that others finished.
func (c *Coordinator) overdue(now time.Time) {
	if c.plan == nil || now.Sub(c.planned) < c.stuckLimit() {
		return
	}
	if !slices.ContainsFunc(c.sorted(), func(m *member) bool { return m.done != nil }) {
		return
	}
	for _, s := range c.plan.Shares {
		if m := c.members[s.Worker]; m != nil && m.done == nil && m.id != c.opt.Local {
			c.evict(m, fmt.Sprintf("step %d: not done after %.0f s, others are", c.step+1, now.Sub(c.planned).Seconds()))
		}
	}
}

func (c *Coordinator) sorted() []*member {
	return slices.SortedFunc(maps.Values(c.members), func(a, b *member) int { return cmp.Compare(a.id, b.id) })
}

// proceed does whatever can be done now.
func (c *Coordinator) proceed() {
	if c.plan == nil {
		c.begin()
	}
	if c.plan != nil {
		c.commit()
	}
}

// begin plans the next step when enough machines are ready for it.
func (c *Coordinator) begin() {
	if c.waiting = c.lacking(); c.waiting != "" {
		return
	}
	if !c.started {
		c.started, c.boot = true, time.Now().Add(bootFor)
		for _, m := range c.members {
			m.first = m.state
		}
	}
	c.late = map[uint32]string{}
	c.makePlan()
}

// lacking says what the next step waits for, "" for nothing.
func (c *Coordinator) lacking() string {
	here, current, dialled := 0, 0, 0
	var settling []string
	for _, m := range c.sorted() {
		if m.current(c.step) {
			current++
			if m.addr != "" {
				dialled++
			}
		}
		if m.current(c.step) || m.state {
			here++
		}
		if m.counted && m.step >= 0 && m.step < c.step && (c.opt.NoDeadline || time.Now().Before(c.settled)) || m.first && !m.state && time.Now().Before(c.boot) && !m.current(c.step) {
			settling = append(settling, m.hello.Name)
		}
	}
	local := c.members[c.opt.Local]
	switch {
	case c.opt.Local != 0 && (local == nil || !local.current(c.step) && !local.state):
		return "machine 1"
	case !c.started && here < c.opt.Workers:
		return fmt.Sprintf("%d more workers", c.opt.Workers-here)
	case current == 0:
		return c.hope(local)
	case dialled == 0: // who owns buckets must be dialled by the others
		return "a machine that the others can reach"
	case len(settling) > 0:
		return fmt.Sprintf("%v to apply step %d", settling, c.step)
	}
	return ""
}

// settleLeast is how long the next step waits, at least, for those who did the
// last one to apply it.
const settleLeast = 250 * time.Millisecond

// bootFor bounds how long the machines that were there before the first step may
// take to fetch its weights before the second goes on without them.
const bootFor = 2 * time.Minute

// hopeFor is how long a restarted coordinator waits for a machine that holds the
// last committed step.
const hopeFor = 20 * time.Second

// hope waits for somebody with the committed state. When nobody comes, the run
// goes back to machine 1's checkpoint: everything later is lost with the
// machines that held it.
func (c *Coordinator) hope(local *member) string {
	if local == nil {
		return "a machine that holds the weights"
	}
	if c.rollback.IsZero() {
		c.rollback = time.Now().Add(hopeFor)
	}
	if time.Now().Before(c.rollback) {
		return fmt.Sprintf("a machine that holds the weights of step %d", c.step)
	}
	c.opt.Log("no machine holds the weights of the committed step %d any more: going on from machine 1's checkpoint of step %d", c.step, local.holds)
	c.step, c.last, local.step, local.state, c.rollback = local.holds, nil, local.holds, false, time.Time{}
	if err := c.write(committed{Next: c.step}); err != nil {
		c.fail(err)
	}
	c.tell(local, transport.Pack(msgResync, Ready{Step: local.step}))
	return "machine 1"
}

// makePlan plans the step anew, shares and all.
func (c *Coordinator) makePlan() {
	c.epoch++
	var candidates []Candidate
	for _, m := range c.sorted() {
		m.done = nil
		if m.current(c.step) {
			m.first = false
			x := Candidate{Worker: m.id}
			if !c.opt.Equal {
				x.Pace = m.pace.pace()
			}
			candidates = append(candidates, x)
		}
	}
	p := &Plan{Generation: c.epoch, Step: c.step, Shares: Assign(c.opt.Work(c.step), candidates, c.sizes)}
	p.Check = c.opt.CheckEvery > 0 && c.step > 0 && c.step%c.opt.CheckEvery == 0
	if !c.opt.NoDeadline {
		p.Deadline = c.history.deadline()
	}
	c.planned = time.Now()
	c.send(p, nil)
}

// replan goes on with a step after a machine was lost. Rows that are computed
// stay valid, unless a language has nobody left to compute it, or the result may
// not depend on who was lost: then the step is done again by those who are there.
func (c *Coordinator) replan(old *Plan) {
	if c.opt.NoDeadline && slices.ContainsFunc(old.Shares, func(s Share) bool { return s.Size() > 0 && c.members[s.Worker] == nil }) {
		c.opt.Log("step %d is done again, as one of its machines was lost", c.step+1)
		c.makePlan()
		return
	}
	w := c.opt.Work(c.step)
	p := &Plan{Generation: old.Generation, Step: old.Step, Deadline: old.Deadline, Check: old.Check}
	alive := map[int]bool{}
	for _, s := range old.Shares {
		if c.members[s.Worker] != nil {
			p.Shares = append(p.Shares, s)
			for seg := range w.segments(s) {
				alive[seg] = true
			}
		}
	}
	for seg := range w.segments(Share{From: 0, To: len(w.Lang)}) {
		if !alive[seg] {
			c.opt.Log("step %d is done again: nobody else has rows of language %d", c.step+1, seg)
			c.makePlan()
			return
		}
	}
	c.epoch++
	c.send(p, old)
}

// send completes a plan with owners, members and sources, and sends it.
func (c *Coordinator) send(p, old *Plan) {
	p.Epoch = c.epoch
	var owners []uint32
	var source uint32
	for _, m := range c.sorted() {
		if m.current(c.step) || m.state || m.receive >= 0 {
			if m.receive < 0 {
				m.receive = c.step
			}
			m.state = false
			p.Members = append(p.Members, Address{Worker: m.id, Name: m.hello.Name, Addr: m.addr})
		}
		if m.current(c.step) && m.addr != "" {
			owners = append(owners, m.id)
			if source == 0 || m.id == c.opt.Local {
				source = m.id
			}
		}
		m.rows, m.done = p.share(m.id).Size(), nil
	}
	for _, m := range c.sorted() {
		if m.receive == c.step && m.step < 0 {
			if p.Sources == nil {
				p.Sources = map[uint32]uint32{}
			}
			p.Sources[m.id] = source
		}
	}
	defer c.explain(p)
	p.Owners, p.Revoked = c.owners(old, owners), c.revocations()
	for u := range p.Owners {
		since := c.epoch
		if old != nil && old.Generation == p.Generation && old.Owners[u] == p.Owners[u] {
			since = old.Since[u]
		}
		p.Since = append(p.Since, since)
	}
	c.plan = p
	for _, a := range p.Members {
		c.tell(c.members[a.Worker], transport.Pack(msgPlan, p))
	}
}

// explain tells the user what a step sends, whenever other machines take part.
func (c *Coordinator) explain(p *Plan) {
	if len(p.Shares) < 2 {
		return
	}
	who, sizes := "", []string{}
	for _, s := range p.Shares {
		who += fmt.Sprint(s.Worker, " ")
		sizes = append(sizes, fmt.Sprint(s.Size()))
	}
	if who == c.told {
		return
	}
	c.told = who
	w := c.opt.Work(c.step)
	var members []uint32
	for _, m := range p.Members {
		members = append(members, m.Worker)
	}
	a := Compare(w, p.Shares, p.Owners, func(u int) int64 { return int64(c.opt.Codec.Size(c.opt.Units[u])) }, members)
	c.traffic = a
	const mb = 1e6
	c.opt.Log("step %d: %d machines with %s rows, %v languages each; %.1f MB a step, %.1f MB from the busiest. Every language everywhere: %.1f MB; plain data parallelism: %.1f MB",
		c.step+1, len(p.Shares), strings.Join(sizes, "+"), w.Languages(p.Shares), float64(a.Chosen.Total())/mb, float64(a.Chosen.Most())/mb, float64(a.Dealt.Total())/mb, float64(a.Plain.Total())/mb)
}

// owners keeps the units of those who are still there where they are.
func (c *Coordinator) owners(old *Plan, workers []uint32) []uint32 {
	fresh := Owners(c.opt.Units, workers)
	if old == nil {
		return fresh
	}
	out := slices.Clone(old.Owners)
	for u, w := range out {
		if !slices.Contains(workers, w) {
			out[u] = fresh[u]
		}
	}
	return out
}

// commit commits the step when everyone who is waited for has all of it.
func (c *Coordinator) commit() {
	var waits []string
	var root *transport.Hash
	for _, m := range c.sorted() {
		if m.done == nil {
			if c.plan.share(m.id).Size() > 0 && c.late[m.id] == "" || m.id == c.opt.Local || slices.Contains(c.plan.Owners, m.id) {
				waits = append(waits, m.hello.Name)
			}
			continue
		}
		if root == nil {
			root = &m.done.Root
		}
		if *root != m.done.Root {
			c.evict(m, fmt.Sprintf("step %d: its resolved buckets are not those of the others (%x, not %x)", c.step+1, m.done.Root[:4], root[:4]))
			return
		}
	}
	if len(waits) > 0 || root == nil {
		c.waiting = fmt.Sprintf("step %d: %v", c.step+1, waits)
		return
	}
	k := c.summary(*root)
	if err := c.write(committed{Next: c.step + 1, Last: k}); err != nil {
		if errors.Is(err, store.ErrConflict) {
			c.fail(fmt.Errorf("cluster: another coordinator has taken over: %w", err))
			return
		}
		c.waiting = fmt.Sprintf("the store, to commit step %d: %v", c.step+1, err)
		c.changed()
		return // tried again with the next event
	}
	c.advance(k)
}

// write stores what is committed, in this coordinator's term only.
func (c *Coordinator) write(k committed) error {
	b, err := json.Marshal(k)
	if err != nil {
		return err
	}
	rev, err := c.opt.Store.Put(context.Background(), keyCommitted, b, c.commitRev, store.Guard{Key: keyTerm, Rev: c.termRev})
	if err == nil {
		c.commitRev = rev
	}
	return err
}

// summary adds up what the workers computed, in the order of their numbers.
func (c *Coordinator) summary(root transport.Hash) *Commit {
	k := &Commit{Step: c.step, Epoch: c.epoch, Root: root}
	for _, m := range c.sorted() {
		if m.done == nil || m.rows == 0 || c.late[m.id] != "" {
			continue
		}
		if k.Loss == nil {
			k.Loss, k.Tokens = make([]float64, len(m.done.Loss)), make([]int, len(m.done.Tokens))
		}
		for i := range min(len(k.Loss), len(m.done.Loss), len(m.done.Tokens)) {
			k.Loss[i] += m.done.Loss[i]
			k.Tokens[i] += m.done.Tokens[i]
		}
	}
	return k
}

// advance tells everyone that the step is committed and learns from it.
func (c *Coordinator) advance(k *Commit) {
	took := time.Since(c.planned)
	c.history.add(took)
	c.sizes = map[uint32]int{}
	for _, s := range c.plan.Shares {
		c.sizes[s.Worker] = s.Size()
	}
	for _, a := range c.plan.Members {
		m := c.members[a.Worker]
		if m == nil {
			continue
		}
		m.counted = m.done != nil && m.rows > 0
		if m.counted && m.done.Compute > 0 {
			m.speed = float64(m.rows*c.opt.SeqLen) / m.done.Compute.Seconds()
			if !m.done.Cold {
				m.pace.add(m.rows, m.done.Compute.Seconds())
			}
		}
		c.tell(m, transport.Pack(msgCommit, k))
	}
	c.settled = time.Now().Add(max(settleLeast, took/4))
	c.step, c.last, c.plan, c.waiting = c.step+1, k, nil, ""
	c.repair(k.Step)
	for _, m := range c.members {
		if m.receive < 0 && m.step >= 0 { // came during the step and was not sent its buckets
			c.resync(m)
		}
	}
	c.changed()
}

// evict takes a member out of the run and tells everyone why.
func (c *Coordinator) evict(m *member, reason string) {
	if c.members[m.id] != m {
		return
	}
	delete(c.members, m.id)
	m.conn.Close(reason)
	if c.ended {
		return
	}
	c.opt.Log("%s (worker %d) is out: %s", m.hello.Name, m.id, reason)
	c.evicted = append(c.evicted, Eviction{Time: time.Now(), Worker: m.id, Name: m.hello.Name, Reason: reason})
	if p := c.plan; p != nil {
		c.plan = nil
		if slices.ContainsFunc(c.sorted(), func(x *member) bool { return x.current(c.step) && x.addr != "" }) {
			c.replan(p)
		}
	}
	c.changed()
}

// ban evicts a member whose machine is at fault: it may not come back.
func (c *Coordinator) ban(m *member, reason string) {
	c.banned[m.id] = reason
	c.evict(m, reason)
}

// fail ends this coordinator: the worker of its own process ends with it, the
// others look for another one.
func (c *Coordinator) fail(err error) {
	c.err, c.waiting = err, err.Error()
	c.opt.Log("%v", err)
	for _, m := range c.members {
		if m.id == c.opt.Local {
			c.tell(m, transport.Pack(msgEnd, End{Text: err.Error()}))
		} else {
			m.conn.Close("the coordinator has stopped")
		}
	}
	c.plan = nil
	c.changed()
}

// goodbye is how long machines may take to hear how the run ended.
const goodbye = 2 * time.Second

// Close tells everyone how the run ended, and stops when they have heard it.
func (c *Coordinator) Close(e End) {
	c.do(func() {
		c.ended = true
		for _, m := range c.members {
			if m.id != c.opt.Local {
				c.tell(m, transport.Pack(msgEnd, e))
			}
		}
	})
	if c.opt.Changed != nil {
		c.do(func() { c.opt.Changed(c.status(), true) })
	}
	for limit := time.Now().Add(goodbye); time.Now().Before(limit); time.Sleep(10 * time.Millisecond) {
		left := 0
		c.do(func() { left = len(c.members) })
		if left <= 1 {
			break
		}
	}
	c.stop()
	c.wg.Wait()
}

// Abandon stops without a word: the machines look for another coordinator.
func (c *Coordinator) Abandon() {
	c.do(func() {
		c.ended = true
		for _, m := range c.members {
			m.conn.Close("the coordinator has stopped")
		}
	})
	c.stop()
	c.wg.Wait()
}
