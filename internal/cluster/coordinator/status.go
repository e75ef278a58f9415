package coordinator

import (
	"fmt"
	"time"

	"concord/internal/cluster/protocol"
)

// Status is the run as its coordinator sees it.
type Status struct {
	Time    time.Time      `json:"time"`
	Step    int            `json:"step"` // steps committed
	Term    uint32         `json:"term"`
	Epoch   uint32         `json:"epoch"`
	Waiting string         `json:"waiting,omitempty"` // the cause
	Members []MemberStatus `json:"members"`
	Pairs   []PairStatus   `json:"pairs,omitempty"` // of workers with a connection to each other
	Median  float64        `json:"median_step_seconds,omitempty"`
	Evicted []Eviction     `json:"evicted,omitempty"`
}

// MemberStatus is one worker.
type MemberStatus struct {
	Worker uint32 `json:"worker"`
	Name   string `json:"name"`
	Device string `json:"device"`
	Addr   string `json:"addr"`
	// Punched: it is behind a NAT, and dialled by hole punching.
	Punched bool `json:"punched,omitempty"`
	// Relayed: it cannot be dialled; others reach it where it dials them, or over machine 1.
	Relayed bool `json:"relayed,omitempty"`
	// Apart are the workers that it cannot exchange buckets with, for now: both own none.
	Apart    []uint32 `json:"apart,omitempty"`
	State    string   `json:"state"`  // "joining", "catching up", "working"
	Step     int      `json:"step"`   // steps applied
	Rows     int      `json:"rows"`   // of its share
	Groups   int      `json:"groups"` // resolve groups that it owns all of
	Slices   int      `json:"slices"` // that it owns of other resolve groups
	Speed    float64  `json:"tokens_per_second"`
	Waited   float64  `json:"waited_seconds"`    // in the last step, for others
	WaitedOn float64  `json:"waited_on_seconds"` // in the last step, by the owner that waited longest for it
	Sent     int64    `json:"sent_bytes"`
	Received int64    `json:"received_bytes"`
	RTT      float64  `json:"rtt_seconds"`
	Lost     float64  `json:"lost"` // share of packets
}

// status is a snapshot; called in the loop.
func (c *Coordinator) status() Status {
	s := Status{Time: time.Now(), Step: c.opt.StepAfter(c.step), Term: c.term, Epoch: c.epoch, Waiting: c.waiting, Evicted: c.evicted,
		Median: c.history.shown()}
	for _, m := range c.sorted() {
		x := MemberStatus{Worker: m.id, Name: m.hello.Name, Device: m.hello.Device, Addr: m.addr, Punched: m.punched, Relayed: m.relayed,
			Step: c.opt.StepAfter(max(0, m.step)),
			Rows: m.rows, Speed: m.speed, State: "working"}
		switch {
		case m.step < 0:
			x.State = "joining"
		case m.state || m.step < c.step-1:
			x.State = "catching up"
		}
		x.add(m, c)
		s.Members = append(s.Members, x)
	}
	s.Pairs = c.pairStatus()
	return s
}

// add fills in the figures of the last step.
func (x *MemberStatus) add(m *member, c *Coordinator) {
	link := m.conn.Stats()
	x.RTT = link.RTT.Seconds()
	if link.PacketsSent > 0 {
		x.Lost = float64(link.PacketsLost) / float64(link.PacketsSent)
	}
	x.Groups, x.Slices = m.groups, m.slices // also between two plans
	if d := m.last; d != nil {
		x.Waited, x.Sent, x.Received = d.Waited.Seconds(), d.Sent, d.Received
	}
	for _, o := range c.members {
		if o.last != nil {
			x.WaitedOn = max(x.WaitedOn, o.last.WaitedOn[m.id])
		}
	}
	x.Apart = c.apartFrom(m.id)
}

// ownedBy is how many resolve groups a worker owns all of, and how many slices of others.
func ownedBy(owners []uint32, leads protocol.Leads, worker uint32) (whole, slices int) {
	for u := 0; u < len(owners); {
		_, to := leads.Range(u)
		n := 0
		for _, o := range owners[u:to] {
			if o == worker {
				n++
			}
		}
		if n == to-u {
			whole++
		} else {
			slices += n
		}
		u = to
	}
	return whole, slices
}

// named is a user's name for so many steps of the coordinator.
func (c *Coordinator) named(step int) string { return protocol.StepNamed(c.opt.StepName, step) }

// language is a language's name.
func (c *Coordinator) language(i int) string {
	if i < len(c.opt.Langs) {
		return c.opt.Langs[i]
	}
	return fmt.Sprint("number ", i)
}

// segment is the language that a segment is of; with resolve = "local" there is one
// segment for all.
func (c *Coordinator) segment(i int) string {
	if c.work.Local {
		return "any"
	}
	return c.language(i * c.work.Langs / c.work.Segments)
}

// changed shows how the run stands, until its last status was shown.
func (c *Coordinator) changed() {
	if c.opt.Changed != nil && !c.ended {
		c.opt.Changed(c.status(), false)
	}
}
