package protocol

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"concord/transport"
)

// The services of a run's machines.
const (
	ServiceCoordinator = "coordinator"
	ServiceWorker      = "worker"
	ServicePing        = "ping" // only says that it is there
)

// Control messages. Those to the coordinator first.
const (
	MsgReady = 16 + iota
	MsgDone
	MsgHeartbeat
	MsgProblem
	MsgHashes
	MsgLeave

	MsgPlan
	MsgCommit
	MsgAlive
	MsgResync
	MsgEnd
	MsgAsk   // a worker answers with its heartbeat, at once
	MsgReach // a worker answers with Reached
)

// MsgReached answers msgReach.
const MsgReached = MsgReach + 1

// Messages about how two workers reach each other: hole punching and the relay.
const (
	MsgPunch = MsgReached + 1 + iota // a worker is about to dial another
	MsgPoke                          // to that other
	MsgRelay                         // to a worker: something for it waits at the relay
	MsgPaths                         // a worker's Paths, when they change
)

// Hello is how a worker introduces itself to the coordinator.
type Hello struct {
	Name        string `json:"name"`   // of the machine
	Device      string `json:"device"` // adapter
	Version     string `json:"version"`
	Incarnation uint64 `json:"incarnation"` // random, of the process: a copied identity shows
	// Relay: the connection is a member's to the relay, and says nothing else.
	Relay bool `json:"relay,omitempty"`
}

// Welcome is the coordinator's answer: everything that a worker needs to take
// part.
type Welcome struct {
	Worker uint32          `json:"worker"`
	Config json.RawMessage `json:"config"` // run file with defaults; data, never code
	Files  []File          `json:"files"`
	Last   *Commit         `json:"last,omitempty"`   // the last committed step
	Banned string          `json:"banned,omitempty"` // why this worker was put out for good; then the rest is empty
}

// File is a file that the run reads, by content.
type File struct {
	Name string `json:"name"` // role, unique in the run, a plain relative path
	Size int64  `json:"size"`
	Hash string `json:"sha256"`
}

// Ready says that a worker has applied all steps before Step and waits for that
// one's plan. State asks for the weights of another machine first.
type Ready struct {
	Step  int  `json:"step"`
	State bool `json:"state,omitempty"`
	// Device is the adapter, which a worker does not know when it says hello.
	Device string `json:"device,omitempty"`
	// Trained says that this process has made steps of the run: it survived the
	// loss of a coordinator.
	Trained bool `json:"trained,omitempty"`
	// Saved says, from the machine that leads, that it has saved its state before Step.
	Saved bool `json:"saved,omitempty"`
	// Moments is, in parameters mode, one of holds… for each group: whose moments
	// before Step are here.
	Moments string `json:"moments,omitempty"`
	// Epoch is that of the plan by which the worker has its weights, 0 for weights of its own:
	// those of step 1, or of a checkpoint.
	Epoch uint32 `json:"epoch,omitempty"`
}

// Plan is how a step is done. A later plan of the same step (a machine died)
// has a higher Epoch; where its Generation is the same, rows that were computed
// stay valid.
type Plan struct {
	Epoch      uint32            `json:"epoch"`
	Generation uint32            `json:"generation"` // epoch in which the shares were made
	Step       int               `json:"step"`
	Members    []Address         `json:"members"`           // receive the resolved groups
	Owners     []uint32          `json:"owners"`            // by group
	Since      []uint32          `json:"since"`             // epoch in which the owners of the group's slices began to add up rows
	Shares     []Share           `json:"shares"`            // that count, for every group alike
	Without    map[uint32]string `json:"without,omitempty"` // whose rows the step goes on without, and why
	Sources    map[uint32]uint32 `json:"sources,omitempty"` // of the state before this step, by receiver
	Revoked    []uint32          `json:"revoked,omitempty"`
	Check      bool              `json:"check,omitempty"` // everyone tells the hashes of its weights before the step

	// Saved: machine 1 has saved its state before the step; the others keep the
	// state that only they have.
	Saved bool `json:"saved,omitempty"`

	// Relay: members that cannot dial each other are connected over the coordinator's
	// machine.
	Relay bool `json:"relay,omitempty"`

	// InitialSync: only Sources and Members count; the step's own plan follows.
	InitialSync bool `json:"initial_sync,omitempty"`

	// In parameters mode, by group: the machine that can take over from the owner, 0 for none,
	// and where owner and backup get the moments before the step if they have not.
	Backups []uint32 `json:"backups,omitempty"`
	Holders []uint32 `json:"holders,omitempty"`
}

// Address is where a member is found.
type Address struct {
	Worker uint32 `json:"worker"`
	Name   string `json:"name"`
	Addr   string `json:"addr,omitempty"` // "": cannot be dialled, dials itself or is relayed to
	// Punch: it is behind a NAT, and is dialled while it pokes back.
	Punch bool `json:"punch,omitempty"`
}

// IsSource says that somebody gets the state before the step from a worker.
func (p *Plan) IsSource(worker uint32) bool {
	return slices.Contains(slices.Collect(maps.Values(p.Sources)), worker)
}

// HasMember says that a worker receives the resolved buckets.
func (p *Plan) HasMember(worker uint32) bool {
	_, ok := p.AddrOf(worker)
	return ok
}

// AddrOf is a member's Address.Addr, and whether it is one.
func (p *Plan) AddrOf(worker uint32) (string, bool) {
	for _, a := range p.Members {
		if a.Worker == worker {
			return a.Addr, true
		}
	}
	return "", false
}

// ShareOf is a worker's, empty where it has none.
func (p *Plan) ShareOf(worker uint32) Share { return ShareIn(p.Shares, worker) }

// ShareIn is a worker's share among given, empty where it has none.
func ShareIn(given []Share, worker uint32) Share {
	for _, s := range given {
		if s.Worker == worker {
			return s
		}
	}
	return Share{Worker: worker}
}

// Workers are the numbers of the members.
func (p *Plan) Workers() (out []uint32) {
	for _, m := range p.Members {
		out = append(out, m.Worker)
	}
	return out
}

// Done says that a worker has every resolved bucket of a step.
type Done struct {
	Epoch    uint32             `json:"epoch"`
	Step     int                `json:"step"`
	Root     transport.Hash     `json:"root"`
	Loss     []float64          `json:"loss"` // sums by language, of the worker's own rows
	Compute  time.Duration      `json:"compute"`
	Cold     bool               `json:"cold,omitempty"`      // with buffers and kernels made anew: says nothing of the next steps
	Waited   time.Duration      `json:"waited"`              // for others, after the backward pass
	Exchange time.Duration      `json:"exchange"`            // from the first bucket to the last
	Sent     int64              `json:"sent"`                // bytes
	Received int64              `json:"received"`            //
	WaitedOn map[uint32]float64 `json:"waited_on,omitempty"` // seconds after the others' last rows, by worker
}

// Within bounds the figures of a machine's report by the step's time: nothing in a step took
// longer than the step, whose plan was sent so long ago, and nothing is below zero.
func (d *Done) Within(step time.Duration) {
	for _, x := range []*time.Duration{&d.Compute, &d.Waited, &d.Exchange} {
		*x = min(max(*x, 0), step)
	}
	for w, s := range d.WaitedOn {
		d.WaitedOn[w] = min(max(s, 0), step.Seconds())
	}
	d.Sent, d.Received = max(d.Sent, 0), max(d.Received, 0)
}

// Commit makes a step final.
type Commit struct {
	Step   int            `json:"step"` // the one that is done
	Epoch  uint32         `json:"epoch"`
	Root   transport.Hash `json:"root"`
	Loss   []float64      `json:"loss"`   // sums by language over the rows that were counted
	Tokens []int          `json:"tokens"` // supervised tokens of those rows, by language
	Shares []Share        `json:"shares"` // the rows that were counted, for every group alike, with their workers
}

// Hashes are a worker's weights and moments before a step, by group.
type Hashes struct {
	Step   int              `json:"step"`
	Groups []transport.Hash `json:"groups"`
}

// Problem is something that a worker reports. A report on another worker is an
// accusation: it counts only where it is about a transfer between the two.
type Problem struct {
	Kind   ProblemKind `json:"kind,omitempty"`
	Worker uint32      `json:"worker"` // that it is about, may be the sender
	Text   string      `json:"text"`

	// The transfer that it is about; ProblemResolved has no row.
	Step       int    `json:"step,omitempty"`
	Generation uint32 `json:"generation,omitempty"`
	Group      int    `json:"group,omitempty"`
	Row        int    `json:"row,omitempty"`
}

// ProblemKind is a kind of problem: it decides the answer.
type ProblemKind string

// The kinds of problems; "" is for the log alone.
const (
	ProblemUnreachable   ProblemKind = "unreachable"   // the two have no connection and cannot make one
	ProblemValues        ProblemKind = "values"        // rows that cannot be added up
	ProblemContradiction ProblemKind = "contradiction" // the same rows twice, with different values
	ProblemResolved      ProblemKind = "resolved"      // a resolved group that no owner can have made
)

// Progress is where a worker stands in the step that it works on. It is the body of
// a heartbeat; Epoch is 0 between steps.
type Progress struct {
	Epoch     uint32   `json:"epoch,omitempty"` // of the plan that this is about
	Computing bool     `json:"computing,omitempty"`
	Rows      []uint32 `json:"rows,omitempty"`   // workers whose rows this owner lacks
	Groups    []uint32 `json:"groups,omitempty"` // owners whose groups are not here; itself: not resolved yet
	Saving    bool     `json:"saving,omitempty"` // its state before the step, and says nothing of the step's end meanwhile
	// Waits: owners of other slices of groups that this owner has done its part of.
	Waits []uint32 `json:"waits,omitempty"`
}

// Reach asks a worker whether it has a connection to another, or can make one.
type Reach struct {
	Worker uint32 `json:"worker"`
	Addr   string `json:"addr,omitempty"` // as in Address
}

// Reached is the answer.
type Reached struct {
	Worker uint32 `json:"worker"`
	OK     bool   `json:"ok"`
}

// End closes the run for everybody.
type End struct {
	Text     string `json:"text"`
	Finished bool   `json:"finished"`
}

// Punch says that its sender is about to dial a worker behind a NAT.
type Punch struct {
	Worker uint32 `json:"worker"`
}

// Poke asks a worker to send datagrams to an address; without a host it is the
// coordinator's.
type Poke struct {
	Addr string `json:"addr"`
}

// A group's moments in Ready.
const (
	HoldsNone   = '0'
	HoldsBackup = '1' // equal to the owner's up to rounding
	HoldsOwner  = '2'
)

// Heartbeat is how often both sides say that they are there.
const Heartbeat = 500 * time.Millisecond

// RevokedText is told to a worker whose certificate is worth nothing any more.
const RevokedText = "its certificate was revoked on machine 1 (concord revoke)"

// PokeFor is how long a machine pokes an address: as long as a dial takes.
const PokeFor = 5 * time.Second

// Valid refuses a plan that is not one of a model of so many groups.
func (p *Plan) Valid(groups int, leads Leads, parameters bool) error {
	if len(p.Owners) != groups || len(p.Since) != groups || p.Step < 0 {
		return fmt.Errorf("owners of %d groups; the model has %d: the machines do not run the same configuration or version", len(p.Owners),
			groups)
	}
	if parameters && (len(p.Backups) != groups || len(p.Holders) != groups) {
		return fmt.Errorf("backups of %d groups, holders of %d; the model has %d", len(p.Backups), len(p.Holders), groups)
	}
	for u, since := range p.Since {
		if first := p.Since[leads.Of(u)]; since != first {
			return fmt.Errorf("slices of one resolve group begin in the epochs %d and %d", first, since)
		}
	}
	return nil
}
