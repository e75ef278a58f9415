package worker

import (
	"fmt"
	"math"

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

// gramFits refuses a triangle in which no row that has tokens has a length, or one has none that can
// be.
func gramFits(triangle []float64, w protocol.Work) error {
	tokens := make([]int, w.Segments)
	for r, n := range w.Tokens {
		tokens[w.Segment[r]] += n
	}
	finite, present := 0, 0
	for seg, at := 0, 0; seg < w.Segments && at < len(triangle); seg++ {
		switch square := triangle[at]; {
		case square < 0:
			return fmt.Errorf("a Gram with |g|² = %g", square)
		case tokens[seg] > 0 && (math.IsNaN(square) || math.IsInf(square, 0)):
			present++
		case tokens[seg] > 0:
			present, finite = present+1, finite+1
		}
		at += seg + 2
	}
	if finite == 0 && present > 0 {
		return fmt.Errorf("a Gram in which none of %d rows is finite", present)
	}
	return nil
}
