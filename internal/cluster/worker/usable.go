package worker

import (
	"fmt"

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
