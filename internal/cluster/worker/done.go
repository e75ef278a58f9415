package worker

import (
	"math"
	"slices"
	"time"

	"concord/bucket/exchange"
	"concord/internal/cluster/protocol"
	"concord/transport"
)

// final says that the step's gradients are final: committed, or in parameters
// mode all there.
func (s *Step) final() (exchange.Event, bool, error) {
	if len(s.have) < len(s.plan.Owners) {
		return exchange.Event{}, false, nil
	}
	if s.m.shape.Parameters {
		return exchange.Event{Kind: exchange.Final}, true, nil
	}
	ok, err := s.committed()
	return exchange.Event{Kind: exchange.Final}, ok, err
}

// committed tells the coordinator that this machine has everything, and says
// whether the step is committed.
func (s *Step) committed() (bool, error) {
	m := s.m
	root := s.root()
	if k := m.commits[s.n]; k != nil {
		if k.Root != root {
			m.logf("%s was committed with other groups than this machine has: fetching the weights", m.named(s.n+1))
			m.resync = true
			return false, ErrState
		}
		s.commit = k
		return true, nil
	}
	if s.saving > 0 {
		return false, nil
	}
	if s.doneEpoch != s.plan.Epoch {
		s.doneEpoch = s.plan.Epoch
		msg := transport.Pack(protocol.MsgDone, s.report(root))
		m.spawn(func() { m.send(msg) }) // the mutex is held here
	}
	return false, nil
}

// root is one hash of all resolved buckets, in parameters mode with their weights.
func (s *Step) root() transport.Hash {
	var all []byte
	for u := range s.plan.Owners {
		h := s.have[u]
		all = append(all, h[:]...)
		if s.m.shape.Parameters {
			h = s.updated[u]
			all = append(all, h[:]...)
		}
	}
	return transport.Sum(all)
}

func (s *Step) report(root transport.Hash) protocol.Done {
	now := s.m.ep.Stats()
	d := protocol.Done{Epoch: s.plan.Epoch, Step: s.n, Root: root, Loss: slices.Clone(s.lossSum), Waited: s.waited, Cold: s.cold,
		Sent: now.SentBytes - s.stats.SentBytes, Received: now.ReceivedBytes - s.stats.ReceivedBytes, WaitedOn: map[uint32]float64{}}
	if !s.computed.IsZero() && s.Share.Size() > 0 {
		d.Compute = s.computed.Sub(s.began)
	}
	if !s.first.IsZero() {
		d.Exchange = time.Since(s.first)
	}
	var earliest time.Time
	for _, at := range s.arrivals {
		if earliest.IsZero() || at.Before(earliest) {
			earliest = at
		}
	}
	for w, at := range s.arrivals {
		if behind := at.Sub(earliest).Seconds(); behind > 0 {
			d.WaitedOn[w] = behind
		}
	}
	return d
}

// Saving says that this machine writes the state before the step to its disk: the step
// goes on, but is not committed before the function that it returns was called.
func (s *Step) Saving() (saved func()) {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	s.saving++
	return func() {
		s.m.mu.Lock()
		defer s.m.mu.Unlock()
		s.saving--
		s.m.changed.Broadcast()
	}
}

// Cold says that this step's time on this machine tells nothing of the next:
// buffers and kernels were made anew.
func (s *Step) Cold() {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	s.cold = true
}

// Losses tells the sums of this machine's losses by language, before the step's
// end.
func (s *Step) Losses(sums []float64) {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	for i, v := range sums {
		if !math.IsNaN(v) && !math.IsInf(v, 0) {
			s.lossSum[i] = v
		}
	}
}

// Outcome is the committed step: the sums of the losses and the tokens that were
// counted, by language.
func (s *Step) Outcome() protocol.Commit { return *s.commit }

// Timing is how the step's time went for this machine.
type Timing struct {
	Exchange, Waited time.Duration // first row to the last bucket; of that, after the backward pass
	Sent, Received   int64
	Workers          int
	Missing          []string
}

// Timing reports on a step whose Next returned Final.
func (s *Step) Timing() Timing {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	now := s.m.ep.Stats()
	t := Timing{Waited: s.waited, Sent: now.SentBytes - s.stats.SentBytes, Received: now.ReceivedBytes - s.stats.ReceivedBytes,
		Workers: len(s.plan.Members)}
	if !s.first.IsZero() {
		t.Exchange = time.Since(s.first)
	}
	for _, why := range s.plan.Without {
		t.Missing = append(t.Missing, why)
	}
	slices.Sort(t.Missing)
	return t
}
