package coordinator

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"time"

	"concord/internal/cluster/protocol"
	"concord/transport"
)

// Connected implements transport.Handler: a worker has come.
func (c *Coordinator) Connected(conn *transport.Conn, raw json.RawMessage) (any, error) {
	var h protocol.Hello
	if err := json.Unmarshal(raw, &h); err != nil {
		return nil, errors.New("no hello of a worker")
	}
	if h.Relay {
		return nil, c.relayFor(conn, h)
	}
	if len(h.Name) > 100 || len(h.Device) > 200 {
		return nil, errors.New("a name too long")
	}
	h.Name, h.Device = protocol.Plain(h.Name), protocol.Plain(h.Device)
	knocked := time.Now()
	for {
		var reply any
		var err error
		c.do(func() { reply, err = c.admit(conn, h, knocked) })
		if err != errOccupied {
			return reply, err
		}
		select {
		case <-conn.Context().Done():
			return nil, err
		case <-time.After(answerLeast):
		}
	}
}

// errOccupied says that it is not known yet whether the process that had a worker's
// place is gone.
var errOccupied = errors.New("this machine's earlier process may still be there")

// goneAfter is how long a process is not heard of that another one with its identity
// takes the place of: several heartbeats.
const goneAfter = 3 * protocol.Heartbeat

// admit makes a worker that has come a member. knocked is when it came: a process with
// its identity that is heard of since then is another machine's.
func (c *Coordinator) admit(conn *transport.Conn, h protocol.Hello, knocked time.Time) (any, error) {
	id := conn.Peer.Worker
	if c.err != nil {
		return nil, c.err
	}
	if c.ended && c.end == nil {
		return nil, errors.New("the coordinator has stopped")
	}
	if c.Revoked(id) {
		return turnAway(conn, protocol.RevokedText), nil
	}
	if why := c.banned[id]; why != "" {
		return turnAway(conn, why), nil
	}
	if d := time.Until(c.barred[id].until); d > 0 {
		return nil, fmt.Errorf("worker %d has blocked the run and may come back in %v", id, d.Round(time.Second))
	}
	if old := c.members[id]; old != nil {
		if err := c.makesWay(old, h, knocked); err != nil {
			return nil, err
		}
		c.evict(old, "connected anew")
	}
	now := time.Now()
	m := &member{id: id, conn: conn, hello: h, joined: now, heard: now, step: -1, receive: -1, out: make(chan transport.Message, 256),
		flow: c.newFlow()}
	m.silence.Heard(now)
	c.members[id] = m
	conn.Value = m
	go m.mail()
	if c.end != nil { // it was not there to hear it
		c.send(m, transport.Pack(protocol.MsgEnd, *c.end))
	}
	if c.reach(m); id == c.opt.Local {
		m.addr = c.addrOf(conn)
	}
	if id != c.opt.Local {
		c.logf("%s (worker %d) has joined from %s", h.Name, id, conn.Remote())
	}
	return protocol.Welcome{Worker: id, Config: c.opt.Config, Files: c.opt.Files, Last: c.last}, nil
}

// makesWay says why a member keeps its place from a process that comes with its identity;
// nil where it does not.
func (c *Coordinator) makesWay(old *member, h protocol.Hello, knocked time.Time) error {
	switch another := old.hello.Incarnation != h.Incarnation; {
	case another && old.heard.After(knocked):
		return fmt.Errorf("the identity of worker %d is in use from %s (%s): every machine needs a join of its own", old.id,
			old.conn.Remote(), old.hello.Name)
	case another && old.silence.Look(time.Now()) < goneAfter:
		c.send(old, transport.Message{Type: protocol.MsgAsk})
		return errOccupied
	}
	return nil
}

// toldWithin is how long a worker that is put out for good has to read why.
const toldWithin = time.Second

// turnAway tells a worker that is put out for good why, and then ends the connection,
// which is no member's meanwhile.
func turnAway(conn *transport.Conn, why string) protocol.Welcome {
	time.AfterFunc(toldWithin, func() { conn.Close(why) })
	return protocol.Welcome{Banned: why}
}

// addrOf is where others find a worker: where it dialled from, as it listens on
// the same socket. The host of one on this machine is, for others, the one that
// they know this machine by.
func (c *Coordinator) addrOf(conn *transport.Conn) string {
	if conn.Peer.Worker == c.opt.Local {
		return fmt.Sprintf(":%d", c.opt.Port)
	}
	if u, ok := conn.Remote().(*net.UDPAddr); ok && u.IP.IsLoopback() {
		return fmt.Sprintf(":%d", u.Port)
	}
	return conn.Remote().String()
}

// ready notes where a member stands. A member that comes with another step than the run's
// and was not sent the steps between takes the state of another machine; so does one whose weights
// are of steps that the run has lost.
func (c *Coordinator) ready(m *member, r protocol.Ready) error {
	if r.Device != "" && len(r.Device) <= 200 {
		m.hello.Device = protocol.Plain(r.Device)
	}
	m.moments, m.trained = r.Moments, r.Trained
	if r.State {
		m.step, m.holds, m.state, m.receive, m.asked = -1, r.Step, true, -1, false
		return nil
	}
	if m.asked || m.state {
		return nil
	}
	if r.Epoch != 0 && r.Epoch <= c.back {
		c.resync(m)
		return nil
	}
	m.step = r.Step
	if r.Saved && m.id == c.opt.Local {
		c.saved = r.Step
	}
	switch {
	case r.Step > c.step && m.id == c.opt.Local && len(c.members) == 1:
		return fmt.Errorf("it holds %s, the store only %d", c.named(r.Step), c.step)
	case r.Step > c.step, r.Step < c.step && m.receive < 0:
		c.resync(m)
	}
	return nil
}

// Disconnected implements transport.Handler.
func (c *Coordinator) Disconnected(conn *transport.Conn, err error) {
	c.post(func() {
		if m, ok := conn.Value.(*member); ok && c.members[m.id] == m {
			c.evict(m, err.Error())
		}
	})
}

// Fetch implements transport.Handler: files of the run, by name, for its members.
func (c *Coordinator) Fetch(conn *transport.Conn, request json.RawMessage) (int64, io.ReadCloser, error) {
	belongs := false
	c.do(func() {
		m, ok := conn.Value.(*member)
		belongs = ok && c.members[m.id] == m
	})
	if !belongs {
		return 0, nil, errors.New("files of the run are for its members")
	}
	var name string
	if err := json.Unmarshal(request, &name); err != nil {
		return 0, nil, err
	}
	for _, f := range c.opt.Files {
		if f.Name == name {
			r, err := c.opt.Open(name)
			return f.Size, r, err
		}
	}
	return 0, nil, fmt.Errorf("the run has no file %q", name)
}

// revocations are the workers whose certificates are worth nothing any more.
func (c *Coordinator) revocations() []uint32 {
	if p := c.revoked.Load(); p != nil {
		return *p
	}
	return nil
}

// revoke looks for new revocations; called in the loop.
func (c *Coordinator) revoke() {
	if c.opt.Revocations == nil {
		return
	}
	now := c.opt.Revocations()
	c.revoked.Store(&now)
	for _, w := range now {
		if m := c.members[w]; m != nil {
			c.evict(m, protocol.RevokedText)
		}
	}
}

// Revoked says that a worker's certificate is worth nothing any more. It may be
// called from anywhere.
func (c *Coordinator) Revoked(worker uint32) bool {
	return slices.Contains(c.revocations(), worker)
}
