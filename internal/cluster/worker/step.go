package worker

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"concord/bucket/exchange"
	"concord/internal/cluster/protocol"
	"concord/transport"
)

// Step is one step of this worker: an exchange.Exchange. Its fields are guarded
// by the member's mutex.
type Step struct {
	Share    protocol.Share
	Check    bool // the weights are to be compared: call Member.Compare
	Saved    bool // machine 1 has saved the state before this step
	Snapshot bool // somebody needs the weights as they are before this step: call Member.Offer

	m         *Member
	n         int
	work      protocol.Work
	plan      *protocol.Plan
	rows      []int
	tokens    map[int]int // own, by row
	queue     []exchange.Event
	together  map[int]*together // by a resolve group's first slice, those in several
	owned     map[int]*owned
	out       map[int][]*outRow
	have      map[int]transport.Hash // groups whose gradient was handed over or resolved here
	updated   map[int]transport.Hash // groups whose weights are here, in parameters mode
	weights   map[int][]float32      // of this machine's groups, in parameters mode
	commit    *protocol.Commit
	redo      bool
	aborted   error
	cold      bool
	doneEpoch uint32 // epoch
	saving    int    // see Saving

	began, computed, first time.Time
	waited                 time.Duration
	arrivals               map[uint32]time.Time // last row of each worker
	lossSum                []float64
	stats                  transport.Stats
}

// outRow is a row on its way to its owner, kept until the step is committed.
type outRow struct {
	group, row int
	data       []byte
	values     []float32 // as the receiver decodes them
	tokens     int
	loss       float64
	losses     []float64   // of a row that is its machine's whole, by language
	of         map[int]int // of one that was counted: its segments' tokens
	norm2      float64
	sent       uint32 // epoch in which its owner was told
}

// owned is a group that this machine resolves.
type owned struct {
	expect  map[contribution]int // tokens of the rows still to come
	counted map[contribution]outRow
	ready   bool // all are there: they are added up, or were
}

type contribution struct {
	worker uint32
	row    int
}

// Begin says that this machine is ready for step n, whose batch is w, and waits
// for its plan. Cancelling ctx ends the wait.
func (m *Member) Begin(ctx context.Context, n int, w protocol.Work) (*Step, error) {
	defer m.endWith(ctx)()
	m.standAt(n)
	m.send(m.ready(n))
	m.mu.Lock()
	defer m.mu.Unlock()
	var tries Attempts  // to fetch moments
	synced := uint32(0) // epoch
	for {
		switch err := m.over(); {
		case err != nil:
			return nil, err
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case m.resync:
			return nil, ErrState
		}
		if p := m.plan; p != nil && p.InitialSync && p.Step == n && p.Epoch != synced && m.offer != nil && p.IsSource(m.id) {
			synced = p.Epoch
			m.mu.Unlock()
			err := m.offer()
			if m.mu.Lock(); err != nil {
				return nil, err
			}
			continue
		}
		if p := m.plans[n]; p != nil {
			if err := m.shape.fits(p); err != nil {
				return nil, err
			}
			if missing := m.missingMoments(p); len(missing) > 0 {
				if err := m.collect(ctx, p, missing, &tries); err != nil {
					return nil, err
				}
				continue
			}
			return m.open(n, w, p), nil
		}
		m.changed.Wait()
	}
}

// standAt notes that this machine has applied n steps.
func (m *Member) standAt(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cur != nil && n == m.cur.n+1 {
		m.trained, m.under = true, m.cur.plan.Epoch
	}
	m.applied, m.cur = n, nil
	m.forget(n)
	m.startFeedback(n)
	m.changed.Broadcast()
}

// forget drops everything of steps before n.
func (m *Member) forget(n int) {
	maps.DeleteFunc(m.plans, func(s int, _ *protocol.Plan) bool { return s < n })
	maps.DeleteFunc(m.commits, func(s int, _ *protocol.Commit) bool { return s < n })
	for s, box := range m.inbox {
		if s < n {
			for _, r := range box {
				m.inboxBytes -= int64(len(r.payload))
			}
			delete(m.inbox, s)
		}
	}
}

// open starts the step under plan p.
func (m *Member) open(n int, w protocol.Work, p *protocol.Plan) *Step {
	s := &Step{m: m, n: n, work: w, plan: p, Share: p.ShareOf(m.id), owned: map[int]*owned{}, out: map[int][]*outRow{},
		have: map[int]transport.Hash{}, updated: map[int]transport.Hash{}, weights: map[int][]float32{},
		together: map[int]*together{}, arrivals: map[uint32]time.Time{}, began: time.Now(),
		lossSum: make([]float64, w.Langs), stats: m.ep.Stats()}
	if m.commits[n] != nil {
		s.Share = protocol.Share{Worker: m.id} // the others did it without this machine
	}
	s.Check, s.Saved = p.Check, p.Saved
	s.tokens = w.PartTokens(s.Share)
	s.rows = slices.Sorted(maps.Keys(s.tokens))
	s.Snapshot = p.IsSource(m.id)
	m.cur = s
	s.own()
	for u := range p.Owners {
		s.arrived(u)
		s.landed(u)
	}
	m.changed.Broadcast()
	return s
}

// own prepares the groups that are this machine's now.
func (s *Step) own() {
	for u, owner := range s.plan.Owners {
		if owner != s.m.id || s.owned[u] != nil {
			continue
		}
		o := &owned{expect: map[contribution]int{}, counted: map[contribution]outRow{}}
		for _, sh := range s.plan.Shares {
			for row, tokens := range s.work.PartTokens(sh) {
				o.expect[contribution{sh.Worker, row}] = tokens
			}
		}
		s.owned[u] = o
		s.complete(u)
	}
}

// replan goes on under a later plan of the step. Groups that have another owner, or
// whose rows are to be added up anew as fewer shares count, begin again.
func (s *Step) replan(p *protocol.Plan) {
	old := s.plan
	if p.Generation != old.Generation {
		s.redo = true
		return
	}
	s.plan = p
	for u := range p.Owners {
		if p.Since[u] != old.Since[u] { // the old owner's transfers may not have reached everyone
			delete(s.have, u)
			delete(s.owned, u)
			delete(s.together, u)
			s.queue = slices.DeleteFunc(s.queue, func(e exchange.Event) bool { return e.Slice == u })
			s.arrived(u)
		}
	}
	s.own()
	for _, rows := range s.out {
		for _, r := range rows {
			s.m.spawn(func() { s.push(r) })
		}
	}
}

// Rows implements exchange.Exchange.
func (s *Step) Rows() []int { return s.rows }

// Push implements exchange.Exchange.
func (s *Step) Push(group int, rows [][]float32, losses []float64) {
	codec := s.m.shape.Codec
	for i, x := range rows {
		r := &outRow{group: group, row: s.rows[i], tokens: s.tokens[s.rows[i]], loss: losses[i]}
		if s.work.Whole {
			s.m.mu.Lock()
			r.losses = slices.Clone(s.lossSum)
			s.m.mu.Unlock()
		}
		r.values = x
		if !codec.Lossless() {
			s.m.quantizeWithFeedback(r, codec)
		} else {
			r.data = codec.Encode(x)
		}
		for _, v := range r.values {
			r.norm2 += float64(v) * float64(v)
		}
		err := protocol.Summable(r.values)
		s.m.mu.Lock()
		s.out[group] = append(s.out[group], r)
		if s.first.IsZero() {
			s.first = time.Now()
		}
		generation := s.plan.Generation
		s.m.mu.Unlock()
		if err != nil {
			s.m.Report(protocol.Problem{Kind: protocol.ProblemValues, Worker: s.m.id, Step: s.n, Generation: generation, Group: group,
				Row:  r.row,
				Text: fmt.Sprintf("%s: group %d, %s: %v", s.m.named(s.n+1), group, s.m.segment(r.row), err)})
			continue
		}
		s.m.spawn(func() { s.push(r) })
	}
}

// Abort implements exchange.Exchange.
func (s *Step) Abort(err error) {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	s.aborted = err
	s.m.changed.Broadcast()
}

// push takes a row to its group's present owner.
func (s *Step) push(r *outRow) {
	m := s.m
	for {
		m.mu.Lock()
		owner, epoch, over := s.plan.Owners[r.group], s.plan.Since[r.group], !s.live() || s.plan.ShareOf(m.id).Size() == 0
		if over || r.sent == epoch {
			m.mu.Unlock()
			return
		}
		if owner == m.id {
			r.sent = epoch
			err := s.count(r.group, contribution{m.id, r.row}, *r)
			m.mu.Unlock()
			if err != nil {
				m.logf("%s: own rows: %v", m.named(s.n+1), err)
			}
			return
		}
		m.mu.Unlock()
		err := m.transfer(m.ctx, owner, transport.Outgoing{Header: transport.Header{Kind: transport.Rows, Codec: m.shape.Codec,
			Step:  uint64(s.n),
			Epoch: epoch, Bucket: uint32(r.group), Row: uint16(r.row), Elements: uint64(m.shape.Groups[r.group]),
			Tokens: uint64(r.tokens), Loss: r.loss, Norm2: r.norm2}, Metadata: packLosses(r.losses), Data: r.data, Urgency: 2,
			Patience: time.Minute})
		m.mu.Lock()
		if err == nil {
			r.sent = epoch
		}
		m.mu.Unlock()
		if s.pause(err, fmt.Sprintf("%s: %s of group %d to worker %d", s.m.named(s.n+1), m.segment(r.row), r.group, owner)) {
			return
		}
	}
}

// live says that the step still wants rows.
func (s *Step) live() bool {
	return s.m.cur == s && !s.redo && s.m.commits[s.n] == nil && s.m.over() == nil
}

// interrupted is why the step cannot go on, nil while it can.
func (s *Step) interrupted() error {
	switch err := s.m.over(); {
	case err != nil && !s.lasts():
		return err
	case s.aborted != nil:
		return s.aborted
	case s.m.resync:
		return ErrState
	case s.redo:
		return ErrRedo
	}
	return nil
}

// Next implements exchange.Exchange.
func (s *Step) Next(wait bool) (exchange.Event, error) {
	m := s.m
	m.mu.Lock()
	defer m.mu.Unlock()
	if wait && s.computed.IsZero() {
		s.computed = time.Now()
	}
	for {
		if err := s.interrupted(); err != nil {
			return exchange.Event{}, err
		}
		if len(s.queue) > 0 {
			e := s.queue[0]
			s.queue = s.queue[1:]
			if e.Kind == exchange.Gradient {
				s.have[e.Slice] = m.inbox[s.n][groupKey{transport.Gradient, e.Slice}].hash
			}
			return e, nil
		}
		if ev, ok, err := s.final(); ok || err != nil {
			return ev, err
		}
		if !wait {
			return exchange.Event{}, nil
		}
		began := time.Now()
		m.changed.Wait()
		s.waited += time.Since(began)
	}
}
