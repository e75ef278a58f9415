package coordinator

import (
	"fmt"
	"time"

	"golang.org/x/time/rate"

	"concord/internal/cluster/protocol"
	"concord/transport"
)

// One member must not keep the coordinator from hearing the others. Its words are
// taken message by message: the next one is read when the last was dealt with, at a bounded rate, and one that
// is larger than any that a member has cause to send puts it out.

// Bounds on a member's messages. A step takes a handful of small ones, and every so many
// steps one with the hashes of all groups.
const (
	flowBlock   = 1 << 10 // bytes that count as one message for the rate
	flowRate    = 1000    // so many a second
	messageBase = 64 << 10
	messageOf   = 256 // bytes besides for each group: its hash as JSON
)

// mostMessage is the largest message that a member has cause to send, in bytes.
func (c *Coordinator) mostMessage() int { return messageBase + messageOf*len(c.opt.Groups) }

// newFlow bounds the rate of one member's messages.
func (c *Coordinator) newFlow() *rate.Limiter {
	return rate.NewLimiter(flowRate, max(2*flowRate, 1+c.mostMessage()/flowBlock))
}

// Message implements transport.Handler. It returns when the message was dealt with.
func (c *Coordinator) Message(conn *transport.Conn, msg transport.Message) {
	m, ok := conn.Value.(*member)
	if !ok {
		return
	}
	size := len(msg.Body)
	large := size > c.mostMessage()
	if large {
		msg.Body = nil
	} else if m.flow.WaitN(conn.Context(), 1+size/flowBlock) != nil {
		return
	}
	c.hand(func() {
		if c.members[m.id] != m {
			return
		}
		if large {
			c.bar(m, fmt.Sprintf("it sent a message of %d bytes; %d are possible here", size, c.mostMessage()))
			return
		}
		m.heard = time.Now()
		m.silence.Heard(m.heard)
		if err := c.hear(m, msg); err != nil {
			c.evict(m, err.Error())
		}
	})
}

// hand runs f in the loop, and returns when it has run or the loop has ended.
func (c *Coordinator) hand(f func()) {
	ran := make(chan struct{})
	c.post(func() { f(); close(ran) })
	select {
	case <-ran:
	case <-c.done:
	}
}

// hear acts on one message.
func (c *Coordinator) hear(m *member, msg transport.Message) error {
	switch msg.Type {
	case protocol.MsgHeartbeat:
		m.progress, m.reported = protocol.Progress{}, time.Now()
		if len(msg.Body) > 0 {
			if err := msg.Unpack(&m.progress); err != nil {
				return err
			}
		}
		c.answered()
		return nil
	case protocol.MsgPunch:
		return unpacked(msg, func(p protocol.Punch) error { c.punch(m, p); return nil })
	case protocol.MsgPaths:
		return unpacked(msg, func(p protocol.Paths) error { return c.tellPaths(m, p) })
	case protocol.MsgReached:
		return unpacked(msg, func(r protocol.Reached) error { c.reached(m, r); return nil })
	case protocol.MsgReady:
		return unpacked(msg, func(r protocol.Ready) error { return c.ready(m, r) })
	case protocol.MsgDone:
		return unpacked(msg, func(d protocol.Done) error { return c.finished(m, d) })
	case protocol.MsgProblem:
		return unpacked(msg, func(p protocol.Problem) error { c.problem(m, p); return nil })
	case protocol.MsgHashes:
		return unpacked(msg, func(h protocol.Hashes) error { m.hashes = &h; return nil })
	case protocol.MsgLeave:
		c.evict(m, "left")
		return nil
	}
	return fmt.Errorf("message %d is not for a coordinator", msg.Type)
}

// unpacked has take the body of a message.
func unpacked[T any](msg transport.Message, take func(T) error) error {
	var body T
	if err := msg.Unpack(&body); err != nil {
		return err
	}
	return take(body)
}

// finished notes that a member has the whole step.
func (c *Coordinator) finished(m *member, d protocol.Done) error {
	if c.plan == nil || d.Step != c.step || d.Epoch != c.plan.Epoch || c.pending != nil {
		return nil // of a plan that is no more
	}
	if len(d.Loss) != c.work.Langs {
		return fmt.Errorf("it reports losses of %d languages; the run has %d", len(d.Loss), c.work.Langs)
	}
	tokens := c.langTokens(protocol.ShareIn(c.given, m.id))
	for lang, l := range d.Loss {
		if err := protocol.SummableLoss(l, tokens[lang]); err != nil {
			return fmt.Errorf("language %s: %w", c.language(lang), err)
		}
	}
	d.Within(time.Since(c.planned))
	m.done = &d
	c.answered()
	return nil
}

// langTokens are a share's supervised tokens by language.
func (c *Coordinator) langTokens(s protocol.Share) []int {
	out := make([]int, c.work.Langs)
	for r := max(0, s.From); r < min(s.To, len(c.work.Lang)); r++ {
		out[c.work.Lang[r]] += c.work.Tokens[r]
	}
	return out
}
