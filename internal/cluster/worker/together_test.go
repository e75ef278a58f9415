package worker

import (
	"math"
	"slices"
	"testing"

	"concord/bucket/exchange"
	"concord/internal/cluster/protocol"
	"concord/transport"
)

// opened is a step of machine 1 with a resolve group in the slices 1 to 3, which owners own.
func opened(owners ...uint32) (*Member, *Step) {
	m := New(Options{})
	m.id, m.ep = 1, new(transport.Endpoint)
	m.Configure(Shape{Groups: []int{64, 256, 256, 256}, Leads: protocol.Leads{0, 1, 1, 1}, Segments: 2, Langs: 2}, nil)
	w := protocol.Work{Segments: 2, Langs: 2, Lang: []int{0, 1}, Segment: []int{0, 1}, Tokens: []int{1, 3}}
	return m, m.open(7, w, &protocol.Plan{Step: 7, Epoch: 5, Owners: append([]uint32{1}, owners...), Since: []uint32{5, 5, 5, 5},
		Shares: []protocol.Share{{Worker: 9, From: 0, To: 2}}})
}

// A Gram and a solution are taken from the machine that owns the slice they are of, once, and of
// the present attempt; nothing else is, and before a byte of it is allocated.
func TestGramsAndSolutionsAreTheirOwners(t *testing.T) {
	gram := transport.Header{Kind: transport.Gram, Step: 7, Epoch: 5, Bucket: 2, Sender: 2, Meta: 24}
	solution := transport.Header{Kind: transport.Solution, Step: 7, Epoch: 5, Bucket: 1, Sender: 3, Meta: 30}
	for name, c := range map[string]struct {
		leads bool
		of    transport.Header
		alter func(h *transport.Header)
		want  transport.Verdict
	}{
		"a Gram":                         {true, gram, func(*transport.Header) {}, transport.Take},
		"of another's slice":             {true, gram, func(h *transport.Header) { h.Sender = 3 }, transport.Refuse},
		"too long":                       {true, gram, func(h *transport.Header) { h.Meta = 1 << 20 }, transport.Refuse},
		"too short":                      {true, gram, func(h *transport.Header) { h.Meta = 8 }, transport.Refuse},
		"of an attempt that is over":     {true, gram, func(h *transport.Header) { h.Epoch = 4 }, transport.Have},
		"of a step that is over":         {true, gram, func(h *transport.Header) { h.Step = 3 }, transport.Have},
		"to a machine that leads not":    {false, gram, func(*transport.Header) {}, transport.Refuse},
		"of a whole group":               {true, gram, func(h *transport.Header) { h.Bucket, h.Sender = 0, 1 }, transport.Refuse},
		"a solution":                     {false, solution, func(*transport.Header) {}, transport.Take},
		"of a machine that leads not":    {false, solution, func(h *transport.Header) { h.Sender = 2 }, transport.Refuse},
		"of a slice that leads not":      {false, solution, func(h *transport.Header) { h.Bucket, h.Sender = 2, 2 }, transport.Refuse},
		"too long a solution":            {false, solution, func(h *transport.Header) { h.Meta = mostSolution + 1 }, transport.Refuse},
		"of a group that does not exist": {false, solution, func(h *transport.Header) { h.Bucket = 4 }, transport.Refuse},
	} {
		m, _ := opened(3, 2, 1)
		if c.leads {
			m, _ = opened(1, 2, 3)
		}
		m.applied = 7
		c.alter(&c.of)
		if got, why := (*workerService)(m).Offer(nil, c.of); got != c.want {
			t.Errorf("%s: %v (%s)", name, got, why)
		}
	}
}

// The leader solves when the Grams of all slices are there, in their order, each taken once; of an
// earlier attempt nothing counts.
func TestGroupIsSolvedOnce(t *testing.T) {
	m, s := opened(1, 2, 3)
	h := transport.Header{Kind: transport.Gram, Step: 7, Epoch: 5}
	for _, x := range []struct {
		slice  int
		sender uint32
		first  float64
	}{{3, 3, 30}, {2, 2, 20}, {2, 2, 99}} {
		h.Bucket, h.Sender = uint32(x.slice), x.sender
		m.deliverTogether(h, packGram([]float64{x.first, math.Inf(1), math.NaN()}))
	}
	own := exchange.Event{Kind: exchange.Sum, Slice: 1, Epoch: 4}
	if s.Gram(own, []float64{1, 2, 3}); len(s.queue) != 0 {
		t.Fatal("a Gram of an earlier attempt counts")
	}
	own.Epoch = 5
	s.Gram(own, []float64{10, 2, 3})
	if len(s.queue) != 1 || s.queue[0].Kind != exchange.Solve || s.queue[0].Slice != 1 {
		t.Fatalf("%+v", s.queue)
	}
	var first []float64
	for _, g := range s.queue[0].Grams {
		first = append(first, g[0])
	}
	if !slices.Equal(first, []float64{10, 20, 30}) || !math.IsInf(s.queue[0].Grams[1][1], 1) || !math.IsNaN(s.queue[0].Grams[1][2]) {
		t.Errorf("Grams %v", s.queue[0].Grams)
	}
	m.stop() // nothing is sent to the others
	s.Solved(s.queue[0], []byte("x"))
	if e := s.queue[len(s.queue)-1]; e.Kind != exchange.Combine || e.Slice != 1 || string(e.Solution) != "x" {
		t.Errorf("%+v", e)
	}
	if self, others := s.waits(1); !self || others != nil {
		t.Errorf("waits %v, %v", self, others)
	}
}

// Who waits for the Gram or the solution of others says so.
func TestWaitsForOwnersOfOtherSlices(t *testing.T) {
	_, s := opened(1, 2, 3)
	s.group(1).told[1] = true
	s.addGram(1, []float64{1, 2, 3})
	s.addGram(3, []float64{1, 2, 3})
	if self, others := s.waits(1); self || !slices.Equal(others, []uint32{2}) {
		t.Errorf("the leader waits for itself %v, for others %v", self, others)
	}
	_, s = opened(3, 2, 1)
	if self, others := s.waits(3); !self || others != nil {
		t.Errorf("before its Gram: %v, %v", self, others)
	}
	s.group(1).told[3] = true
	if self, others := s.waits(3); self || !slices.Equal(others, []uint32{3}) {
		t.Errorf("after its Gram: %v, %v", self, others)
	}
}
