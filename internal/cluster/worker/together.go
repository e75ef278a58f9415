package worker

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"concord/bucket/exchange"
	"concord/transport"
)

// A resolve group in several slices is resolved by their owners together: each tells the owner of
// the first slice, which leads the group, the Gram of its rows, and is told the solution. Both
// are of one epoch, as all slices of a group begin anew when one of them does.

// together is such a group at one of its owners.
type together struct {
	told     map[int]bool      // slices of this machine whose Gram was handed over
	grams    map[int][]float64 // by slice, at the leader
	solution []byte
}

// mostSolution bounds a solution on the wire.
const mostSolution = 64 << 10

// group is the group that a slice is of.
func (s *Step) group(slice int) *together {
	lead := s.m.shape.Leads.Of(slice)
	if s.together[lead] == nil {
		s.together[lead] = &together{told: map[int]bool{}, grams: map[int][]float64{}}
	}
	return s.together[lead]
}

// current says that an event's slice is this machine's, and not to be begun anew.
func (s *Step) current(e exchange.Event) bool {
	return s.owned[e.Slice] != nil && e.Epoch == s.plan.Since[e.Slice]
}

// Gram implements exchange.Exchange.
func (s *Step) Gram(of exchange.Event, triangle []float64) {
	m := s.m
	m.mu.Lock()
	defer m.mu.Unlock()
	if !s.current(of) {
		return
	}
	s.group(of.Slice).told[of.Slice] = true
	s.combinable(of.Slice)
	if triangle == nil {
		return
	}
	if leader := s.plan.Owners[m.shape.Leads.Of(of.Slice)]; leader != m.id {
		s.tell(transport.Gram, of, leader, packGram(triangle))
		return
	}
	s.addGram(of.Slice, triangle)
}

// addGram takes a slice's Gram where this machine leads the group, and has it solved when all are
// there; called with the mutex.
func (s *Step) addGram(slice int, triangle []float64) {
	g := s.group(slice)
	g.grams[slice] = triangle
	from, to := s.m.shape.Leads.Range(slice)
	if len(g.grams) < to-from || g.solution != nil || s.doubt(g) {
		return
	}
	e := exchange.Event{Kind: exchange.Solve, Slice: from, Epoch: s.plan.Since[from]}
	for k := from; k < to; k++ {
		e.Grams = append(e.Grams, g.grams[k])
	}
	s.queue = append(s.queue, e)
	s.m.changed.Broadcast()
}

// Solved implements exchange.Exchange.
func (s *Step) Solved(of exchange.Event, solution []byte) {
	m := s.m
	m.mu.Lock()
	defer m.mu.Unlock()
	if !s.current(of) {
		return
	}
	from, to := m.shape.Leads.Range(of.Slice)
	owners := map[uint32]bool{}
	for _, w := range s.plan.Owners[from:to] {
		if !owners[w] && w != m.id {
			s.tell(transport.Solution, of, w, solution)
		}
		owners[w] = true
	}
	s.solved(from, solution)
}

// solved takes a group's solution; called with the mutex.
func (s *Step) solved(lead int, solution []byte) {
	s.group(lead).solution = solution
	from, to := s.m.shape.Leads.Range(lead)
	for k := from; k < to; k++ {
		s.combinable(k)
	}
}

// combinable has a slice of this machine combined when its Gram was handed over and the solution
// is there; called with the mutex.
func (s *Step) combinable(slice int) {
	if g := s.group(slice); g.told[slice] && g.solution != nil {
		s.queue = append(s.queue, exchange.Event{Kind: exchange.Combine, Slice: slice, Epoch: s.plan.Since[slice], Solution: g.solution})
		s.m.changed.Broadcast()
	}
}

// tell takes a Gram or a solution to another owner of the group, until it has it or the group begins
// anew.
func (s *Step) tell(kind transport.Kind, of exchange.Event, worker uint32, data []byte) {
	m := s.m
	t := transport.Outgoing{Header: transport.Header{Kind: kind, Step: uint64(s.n), Epoch: of.Epoch, Bucket: uint32(of.Slice)},
		Metadata: data, Urgency: 1, Patience: time.Minute}
	m.spawn(func() {
		for {
			m.mu.Lock()
			over := !s.live() || s.plan.Since[of.Slice] != of.Epoch
			m.mu.Unlock()
			if over {
				return
			}
			err := m.transfer(m.ctx, worker, t)
			if err == nil || s.pause(err, fmt.Sprintf("%s: %s of group %d to worker %d", m.named(s.n+1), kind, of.Slice, worker)) {
				return
			}
		}
	})
}

// offerTogether decides on a Gram or a solution of the present step.
func (m *Member) offerTogether(h transport.Header) (transport.Verdict, string) {
	slice := int(h.Bucket)
	s := m.awaitStep(int(h.Step), h.Epoch)
	switch {
	case int(h.Step) < m.applied, s == nil && m.commits[int(h.Step)] != nil:
		return transport.Have, ""
	case s == nil:
		return transport.Later, fmt.Sprintf("%s is not going on here", m.named(int(h.Step)+1))
	case h.Epoch < s.plan.Since[slice]:
		return transport.Have, "" // the group has begun anew
	case h.Epoch > s.plan.Since[slice] || h.Sender != s.plan.Owners[slice]:
		return transport.Refuse, fmt.Sprintf("group %d belongs to worker %d since %d", slice, s.plan.Owners[slice], s.plan.Since[slice])
	}
	from, to := m.shape.Leads.Range(slice)
	triangle := uint32(8 * m.shape.Segments * (m.shape.Segments + 1) / 2)
	g := s.group(slice)
	switch {
	case h.Kind == transport.Gram && (s.plan.Owners[from] != m.id || to-from == 1 || h.Meta != triangle):
		return transport.Refuse, fmt.Sprintf("a Gram of %d bytes for group %d, which worker %d leads", h.Meta, slice, s.plan.Owners[from])
	case h.Kind == transport.Solution && (slice != from || !slices.Contains(s.plan.Owners[from:to], m.id) || h.Meta > mostSolution):
		return transport.Refuse, fmt.Sprintf("a solution of %d bytes for group %d", h.Meta, slice)
	case h.Kind == transport.Gram && (g.grams[slice] != nil || g.solution != nil), h.Kind == transport.Solution && g.solution != nil:
		return transport.Have, ""
	}
	return transport.Take, ""
}

// deliverTogether takes it.
func (m *Member) deliverTogether(h transport.Header, meta []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, slice := m.cur, int(h.Bucket)
	if s == nil || s.n != int(h.Step) || s.redo || h.Epoch != s.plan.Since[slice] || h.Sender != s.plan.Owners[slice] {
		return // of an attempt that has ended meanwhile
	}
	switch g := s.group(slice); {
	case h.Kind == transport.Gram && g.grams[slice] == nil:
		s.addGram(slice, unpackGram(meta))
	case h.Kind == transport.Solution && g.solution == nil:
		s.solved(slice, meta)
	}
}

// packGram is a Gram's triangle on the wire: float64, little-endian.
func packGram(triangle []float64) (out []byte) {
	for _, v := range triangle {
		out = binary.LittleEndian.AppendUint64(out, math.Float64bits(v))
	}
	return out
}

func unpackGram(b []byte) (triangle []float64) {
	for ; len(b) >= 8; b = b[8:] {
		triangle = append(triangle, math.Float64frombits(binary.LittleEndian.Uint64(b)))
	}
	return triangle
}

// waits tells the workers that this machine waits for to resolve a group of its own whose rows are
// all there: itself, or owners of other slices; called with the mutex.
func (s *Step) waits(slice int) (self bool, others []uint32) {
	leads := s.m.shape.Leads
	g := s.together[leads.Of(slice)]
	if !leads.Sliced(slice) || g == nil || !g.told[slice] || g.solution != nil {
		return true, nil
	}
	from, to := leads.Range(slice)
	if leader := s.plan.Owners[from]; leader != s.m.id {
		return false, []uint32{leader}
	}
	lack := map[uint32]bool{}
	for k := from; k < to; k++ {
		if g.grams[k] == nil {
			lack[s.plan.Owners[k]] = true
		}
	}
	self = lack[s.m.id] || len(lack) == 0
	delete(lack, s.m.id)
	return self, slices.Sorted(maps.Keys(lack))
}
