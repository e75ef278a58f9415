package worker

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"time"

	"concord/bucket/exchange"
	"concord/internal/cluster/protocol"
	"concord/transport"
)

// count takes a contribution to a group of this machine; called with the mutex.
func (s *Step) count(group int, c contribution, r outRow) error {
	o := s.owned[group]
	if o == nil {
		return nil // the group has another owner by now
	}
	if _, wanted := o.expect[c]; !wanted {
		return nil // counted already, or of a share that does not count
	}
	if err := protocol.Summable(r.values); err != nil {
		return fmt.Errorf("group %d, %s of worker %d: %w", group, s.m.segment(c.row), c.worker, err)
	}
	delete(o.expect, c)
	r.of, r.data = s.segmentsOf(c, r.tokens), nil
	o.counted[c] = r
	s.arrivals[c.worker] = time.Now()
	s.complete(group)
	return nil
}

// segmentsOf lists the segments that a contribution counts for: its row, or where that
// is its machine's whole every segment of the machine's share, with their tokens.
func (s *Step) segmentsOf(c contribution, tokens int) map[int]int {
	if !s.work.Whole {
		return map[int]int{c.row: tokens}
	}
	return s.work.SegmentTokens(s.plan.ShareOf(c.worker))
}

// complete has a group added up, beside the caller, when nothing more is to come.
func (s *Step) complete(group int) {
	o := s.owned[group]
	if o.ready || len(o.expect) > 0 {
		return
	}
	o.ready = true
	since := s.plan.Since[group]
	s.m.spawn(func() {
		e := o.sum(s.work, group)
		s.m.mu.Lock()
		defer s.m.mu.Unlock()
		if s.owned[group] != o {
			return // to be added up anew
		}
		for c, r := range o.counted { // kept for their names only
			r.values = nil
			o.counted[c] = r
		}
		e.Epoch = since
		s.queue = append(s.queue, e)
		s.m.changed.Broadcast()
	})
}

// sum adds up the group's rows. It needs no lock: nothing is counted any more.
func (o *owned) sum(w protocol.Work, group int) exchange.Event {
	e := exchange.Event{Kind: exchange.Sum, Slice: group, Rows: make([][]float32, w.Segments), Tokens: make([]int, w.Segments),
		Losses: make([]float64, w.Segments)}
	lang, planned, counted := w.SegmentLangs(), w.LangTokens(), make([]int, w.Langs)
	rows := map[int][]protocol.Addend{}
	for c, r := range o.counted {
		for seg, tokens := range r.of {
			a := protocol.Addend{Worker: c.worker, Values: r.values, Scale: 1}
			if w.Whole { // rows of gradients were scaled by the machine that computed them
				a.Scale = float64(tokens) / float64(planned[lang[seg]])
			}
			rows[seg] = append(rows[seg], a)
			e.Tokens[seg] += tokens
			counted[lang[seg]] += tokens
		}
	}
	if w.Local {
		planned, counted, lang = []int{protocol.Total(planned)}, []int{protocol.Total(counted)}, []int{0}
	}
	for seg := range e.Losses {
		e.Losses[seg] = math.NaN()
		if a := rows[seg]; a != nil {
			e.Rows[seg] = protocol.Sum(a, planned[lang[seg]], counted[lang[seg]])
			e.Losses[seg] = o.loss(seg, lang[seg])
		}
	}
	return e
}

// loss adds up a row's losses in the order of the workers, so that the order of
// arrival does not matter.
func (o *owned) loss(row, lang int) float64 {
	var from []contribution
	for c, r := range o.counted {
		if _, of := r.of[row]; of {
			from = append(from, c)
		}
	}
	slices.SortFunc(from, func(a, b contribution) int { return cmp.Compare(a.worker, b.worker) })
	total := 0.0
	for _, c := range from {
		if r := o.counted[c]; r.losses != nil {
			total += r.losses[lang]
		} else {
			total += r.loss
		}
	}
	return total
}

// packLosses encodes the losses that go before the values of a machine's whole row.
func packLosses(losses []float64) []byte {
	if losses == nil {
		return nil
	}
	b, _ := json.Marshal(losses) // finite, as Losses takes no others
	return b
}

// lossesIn reads it.
func (s *Step) lossesIn(meta []byte) ([]float64, error) {
	if !s.work.Whole {
		return nil, nil
	}
	var losses []float64
	if err := json.Unmarshal(meta, &losses); err != nil || len(losses) != s.work.Langs {
		return nil, fmt.Errorf("%w: losses of %d languages, not %d", transport.ErrFrame, len(losses), s.work.Langs)
	}
	all := s.work.LangTokens()
	for lang, l := range losses {
		if err := protocol.SummableLoss(l, all[lang]); err != nil {
			return nil, err
		}
	}
	return losses, nil
}

// Resolved implements exchange.Exchange.
func (s *Step) Resolved(of exchange.Event, gradient []float32, meta func(norm2 float64) []byte) ([]float32, error) {
	m, group := s.m, of.Slice
	codec := m.shape.Codec
	data := codec.Encode(gradient)
	if !codec.Lossless() {
		r := outRow{group: group, row: -1, values: gradient}
		m.quantizeWithFeedback(&r, codec)
		data, gradient = r.data, r.values
	}
	norm2 := 0.0
	for _, v := range gradient {
		norm2 += float64(v) * float64(v)
	}
	info := meta(norm2)
	m.mu.Lock()
	defer m.mu.Unlock()
	if !s.current(of) {
		return gradient, nil // of sums that do not count any more: the group is handed over again
	}
	t := transport.Outgoing{Header: transport.Header{Kind: transport.Gradient, Codec: codec, Step: uint64(s.n), Epoch: s.plan.Since[group],
		Bucket: uint32(group), Elements: uint64(len(gradient)), Norm2: norm2}, Metadata: info, Data: data,
		Urgency: 3, Patience: time.Minute}
	s.have[group] = m.shape.hash(transport.Gradient, info, data)
	if s.first.IsZero() {
		s.first = time.Now()
	}
	for _, a := range s.plan.Members {
		if a.Worker == m.id {
			continue
		}
		t := t
		if m.shape.Parameters && a.Worker != s.plan.Backups[group] { // the others get the weights
			t.Data, t.Elements = nil, 0
		}
		m.spawn(func() { m.broadcast(s.n, a, t) })
	}
	return gradient, nil
}

// hash is a transfer's part of a step's root. In parameters mode
// only a group's backup sees its gradient.
func (s Shape) hash(k transport.Kind, meta, payload []byte) transport.Hash {
	if s.Parameters && k == transport.Gradient {
		return transport.Sum(meta)
	}
	return transport.Sum(meta, payload)
}

// broadcast sends a resolved group to one member until it has it or is none any
// more. It goes on after the step: machines that are late catch up this way.
func (m *Member) broadcast(step int, to protocol.Address, t transport.Outgoing) {
	for {
		m.mu.Lock()
		gone := m.over() != nil || m.plan != nil && m.plan.Step >= step && !slices.ContainsFunc(m.plan.Members,
			func(a protocol.Address) bool { return a.Worker == to.Worker }) ||
			m.plan != nil && m.plan.Step == step && m.plan.Since[t.Bucket] != t.Epoch
		m.mu.Unlock()
		if gone {
			return
		}
		err := m.transfer(m.ctx, to.Worker, t)
		if err == nil || m.refused(err, fmt.Sprintf("%s: group %d to %s", m.named(step+1), t.Bucket, to.Name)) {
			return
		}
		select {
		case <-m.ctx.Done():
			return
		case <-time.After(retry):
		}
	}
}

// arrived queues a group's gradient where its present owner's is there.
func (s *Step) arrived(group int) {
	if s.plan.Owners[group] == s.m.id {
		return
	}
	r := s.m.inbox[s.n][groupKey{transport.Gradient, group}]
	if _, has := s.have[group]; has || r == nil || r.epoch != s.plan.Since[group] {
		return
	}
	if slices.ContainsFunc(s.queue, func(e exchange.Event) bool { return e.Slice == group }) {
		return
	}
	var x []float32
	if !s.m.shape.Parameters {
		x = make([]float32, s.m.shape.Groups[group])
		if err := s.m.shape.Codec.Decode(x, r.payload); err != nil {
			s.m.logf("%s: group %d: %v", s.m.named(s.n+1), group, err)
			return
		}
	}
	s.queue = append(s.queue, exchange.Event{Kind: exchange.Gradient, Slice: group, Epoch: r.epoch, Gradient: x, Meta: r.meta})
	s.m.changed.Broadcast()
}
