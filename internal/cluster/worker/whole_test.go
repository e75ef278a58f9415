package worker

import (
	"slices"
	"testing"
	"time"

	"concord/bucket/exchange"
	"concord/internal/cluster/protocol"
	"concord/transport"
)

// What a machine has changed is sent once and counts for each of its languages by
// the machine's part of the language's tokens, as its losses do.
func TestWholeRows(t *testing.T) {
	w := protocol.Work{Segments: 2, Langs: 2, Lang: []int{0, 0, 1, 1}, Segment: []int{0, 0, 1, 1}, Tokens: []int{1, 3, 2, 2}, Whole: true}
	shares := []protocol.Share{{Worker: 1, From: 0, To: 3}, {Worker: 2, From: 3, To: 4}}
	if p := w.PartTokens(shares[0]); len(p) != 1 || p[0] != 6 {
		t.Errorf("machine 1 sends %v", p)
	}
	if p := w.PartTokens(shares[1]); len(p) != 1 || p[1] != 2 {
		t.Errorf("machine 2 sends %v", p)
	}
	size := protocol.Sizes{Row: func(int) int64 { return 10 }, Resolved: func(int, uint32) int64 { return 0 }}
	if n := protocol.Cost(w, shares, []uint32{2}, size, []uint32{1, 2}).Rows; n != 10 {
		t.Errorf("%d bytes of rows", n)
	}
	for _, order := range [][]int{{0, 1}, {1, 0}} {
		m := New(Options{})
		m.id, m.ep = 1, new(transport.Endpoint)
		m.Configure(Shape{Groups: []int{2}, Segments: 2, Langs: 2, Codec: transport.F32}, nil)
		s := m.open(0, w, &protocol.Plan{Owners: []uint32{1}, Since: []uint32{1}, Shares: shares,
			Members: []protocol.Address{{Worker: 1}, {Worker: 2}}})
		if !slices.Equal(s.Rows(), []int{0}) {
			t.Fatalf("machine 1 pushes rows %v", s.Rows())
		}
		come := []func() error{
			func() error {
				return s.count(0, contribution{1, 0}, outRow{values: []float32{8, -8}, tokens: 6, losses: []float64{1, 2}})
			},
			func() error {
				return s.count(0, contribution{2, 1}, outRow{values: []float32{4, 4}, tokens: 2, losses: []float64{0, 3}})
			},
		}
		for _, k := range order {
			if err := come[k](); err != nil {
				t.Fatal(err)
			}
		}
		e := s.summed(t)
		if !slices.Equal(e.Rows[0], []float32{8, -8}) || !slices.Equal(e.Rows[1], []float32{6, -2}) || !slices.Equal(e.Tokens, []int{4, 4}) ||
			!slices.Equal(e.Losses, []float64{1, 5}) {
			t.Errorf("in the order %v: %+v", order, e)
		}
	}
}

// summed waits for the first sum that a step has for its machine.
func (s *Step) summed(t *testing.T) exchange.Event {
	t.Helper()
	for range 500 {
		s.m.mu.Lock()
		if len(s.queue) > 0 {
			defer s.m.mu.Unlock()
			return s.queue[0]
		}
		s.m.mu.Unlock()
		time.Sleep(time.Millisecond)
	}
	t.Fatal("nothing was added up")
	return exchange.Event{}
}
