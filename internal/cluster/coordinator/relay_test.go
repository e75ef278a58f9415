package coordinator

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"concord/internal/cluster/protocol"
	"concord/transport"
)

// A member of a large run tells a coordinator that was started anew how it reaches others of
// which none has come back yet; words that are no paths are refused.
func TestPathsToAnEmptyRun(t *testing.T) {
	c := bare(1, 2)
	p := protocol.Paths{By: map[uint32]protocol.Path{}}
	for id := range uint32(300) {
		p.By[id+3] = protocol.PathDirect
	}
	if err := c.tellPaths(c.members[2], p); err != nil || len(c.members[2].paths) != 300 {
		t.Errorf("%d paths, %v", len(c.members[2].paths), err)
	}
	for _, bad := range []protocol.Path{"", "by pigeon"} {
		if c.tellPaths(c.members[2], protocol.Paths{By: map[uint32]protocol.Path{1: bad}}) == nil {
			t.Errorf("%q is a path", bad)
		}
	}
}

// A process with the identity of a member does not take that one's place at the relay.
func TestRelayIsForTheSameProcess(t *testing.T) {
	c := bare(1, 2)
	c.opt.Relay = true
	c.members[2].hello.Incarnation = 7
	go func() { (<-c.events)() }()
	if err := c.relayFor(&transport.Conn{Peer: transport.Claims{Worker: 2}}, protocol.Hello{Relay: true, Incarnation: 8}); err == nil {
		t.Error("another process is served")
	}
}

// The cost of the relay is told when the relayed pairs change, not when shares do.
func TestRelayIsExplainedOnce(t *testing.T) {
	var log bytes.Buffer
	c := bare(1, 2, 3)
	c.opt.Log, c.opt.Groups = slog.New(slog.NewTextHandler(&log, nil)), []int{100, 100}
	c.work = protocol.Work{Segments: 2, Langs: 2, Lang: []int{0, 0, 1, 1}, Segment: []int{0, 0, 1, 1}, Tokens: []int{1, 1, 1, 1}}
	c.members[2].addr, c.members[3].addr = "", ""
	for _, cut := range []int{1, 2, 3, 2} {
		p := *c.plan
		p.Shares = []protocol.Share{{Worker: 2, From: 0, To: cut}, {Worker: 3, From: cut, To: 4}}
		c.explainRelay(&p)
	}
	if n := strings.Count(log.String(), "cannot dial each other"); n != 1 {
		t.Errorf("told %d times for one pair", n)
	}
}
