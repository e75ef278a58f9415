package worker

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"concord/internal/cluster/protocol"
	"concord/transport"
)

// usable refuses a resolved group that would end the step on every machine: values that
// are not finite, a message that cannot be. tokens are the step's, by language; nil:
// not known here. That an owner resolves as it should nobody else can tell.
func (s Shape) usable(h transport.Header, meta, payload []byte, tokens []int) error {
	if !h.Codec.Finite(payload) {
		return fmt.Errorf("group %d of worker %d holds values that are not finite", h.Bucket, h.Sender)
	}
	if h.Kind == transport.Gradient && s.Check != nil {
		if err := s.Check(meta, tokens); err != nil {
			return fmt.Errorf("group %d of worker %d: %w", h.Bucket, h.Sender, err)
		}
	}
	return nil
}

// tokensOf are a step's supervised tokens by language, nil where the step does not go on here;
// called with the mutex.
func (m *Member) tokensOf(step int) []int {
	if m.cur == nil || m.cur.n != step {
		return nil
	}
	return m.cur.work.LangTokens()
}

// spoilt reports an owner whose group cannot be used.
func (m *Member) spoilt(h transport.Header, err error) {
	m.mu.Lock()
	p := m.plans[int(h.Step)]
	m.mu.Unlock()
	if p != nil {
		m.Report(protocol.Problem{Kind: protocol.ProblemResolved, Worker: h.Sender, Step: int(h.Step), Generation: p.Generation,
			Group: int(h.Bucket), Text: fmt.Sprintf("%s: %v", m.named(int(h.Step)+1), err)})
	}
}

// fitsTogether refuses a Gram or a solution that would end the step: a leader's that its other
// owners cannot read, and a slice's that has every language masked.
func (m *Member) fitsTogether(h transport.Header, meta []byte) error {
	m.mu.Lock()
	shape, s := m.shape, m.cur
	m.mu.Unlock()
	switch {
	case s == nil || s.n != int(h.Step):
		return nil // it is dropped
	case h.Kind == transport.Gram:
		return gramFits(unpackGram(meta), s.work)
	case shape.CheckSolution != nil:
		return shape.CheckSolution(meta)
	}
	return nil
}

// mostGram bounds the finite values of a Gram: with larger ones, a sum of Grams would not be numbers.
const mostGram = 1e60

// gramFits refuses a triangle in which no row that has tokens has a length, or one has none that can
// be, or in which rows that have one have no product.
func gramFits(triangle []float64, w protocol.Work) error {
	if len(triangle) != w.Segments*(w.Segments+1)/2 {
		return fmt.Errorf("a Gram of %d values for %d rows", len(triangle), w.Segments)
	}
	present := presentRows(w)
	finite, at, infinite := 0, 0, map[int]bool{}
	for seg := range w.Segments {
		square := triangle[at+seg]
		if infinite[seg] = math.IsNaN(square) || math.IsInf(square, 0); square < 0 || square > mostGram && !infinite[seg] {
			return fmt.Errorf("a Gram with |g|² = %g", square)
		}
		if present[seg] && !infinite[seg] {
			finite++
		}
		for other, v := range triangle[at : at+seg] {
			if !infinite[seg] && !infinite[other] && !(math.Abs(v) <= mostGram) {
				return fmt.Errorf("a Gram with a product of %g of two rows that have a length", v)
			}
		}
		at += seg + 1
	}
	if finite == 0 && len(present) > 0 {
		return fmt.Errorf("a Gram in which none of %d rows is finite", len(present))
	}
	return nil
}

// presentRows are those that have tokens.
func presentRows(w protocol.Work) map[int]bool {
	out := map[int]bool{}
	for r, n := range w.Tokens {
		if n > 0 {
			out[w.Segment[r]] = true
		}
	}
	return out
}

// maskers are the slices in whose Grams a row that has tokens is not finite, where the Grams of a
// group together leave no row that is; nil where one is left.
func maskers(grams map[int][]float64, w protocol.Work) (out []int) {
	present := presentRows(w)
	left := maps.Clone(present)
	for slice, g := range grams {
		masks := false
		for seg := range present {
			if square := g[seg*(seg+3)/2]; math.IsNaN(square) || math.IsInf(square, 0) {
				masks = true
				delete(left, seg)
			}
		}
		if masks {
			out = append(out, slice)
		}
	}
	if len(left) > 0 {
		return nil
	}
	slices.Sort(out)
	return out
}

// doubt reports the others whose Grams leave nothing of a group that this machine leads, and says
// whether there are any; called with the mutex.
func (s *Step) doubt(g *together) (any bool) {
	m := s.m
	for _, slice := range maskers(g.grams, s.work) {
		if owner := s.plan.Owners[slice]; owner != m.id {
			any = true
			p := protocol.Problem{Kind: protocol.ProblemResolved, Worker: owner, Step: s.n, Generation: s.plan.Generation, Group: slice,
				Text: fmt.Sprintf("%s: the Gram of group %d of worker %d and those of its other slices leave no row that is finite",
					m.named(s.n+1), slice, owner)}
			m.spawn(func() { m.Report(p) })
		}
	}
	return any
}
