package worker

import (
	"encoding/json"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"concord/internal/cluster/protocol"
	"concord/transport"
)

// mute is a worker that takes questions and answers none, as one that hangs.
type mute struct {
	protocol.Nothing
	asked chan struct{}
	end   <-chan struct{}
}

func (q mute) Fetch(*transport.Conn, json.RawMessage) (int64, io.ReadCloser, error) {
	q.asked <- struct{}{}
	<-q.end
	return 0, nil, errors.New("it is over")
}

// muted is a member, worker 2, that knows of one that hangs, worker 1: its address and its questions.
func muted(t *testing.T) (m *Member, at protocol.Address, asked <-chan struct{}) {
	t.Helper()
	ca, err := transport.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	q := mute{asked: make(chan struct{}, 9), end: t.Context().Done()}
	other := open(t, ca, 1, map[string]transport.Handler{protocol.ServiceWorker: q})
	m = New(Options{})
	m.ep, m.id = open(t, ca, 2, m.Services(nil)), 2
	m.Configure(Shape{Groups: []int{4}, Segments: 1, Langs: 1, Parameters: true, Moments: []int64{32}}, nil)
	t.Cleanup(m.Leave)
	return m, protocol.Address{Worker: 1, Addr: other.Addr().String()}, q.asked
}

// soon is the value that comes; the question itself would be given up after a minute.
func soon[T any](t *testing.T, what string, c <-chan T) (x T) {
	t.Helper()
	select {
	case x = <-c:
	case <-time.After(20 * time.Second):
		t.Fatal(what)
	}
	return x
}

// A worker that asks for moments which went with their holder hears all the same that the run
// has gone back, or of a plan in which another has them.
func TestMomentsOfOneThatIsGone(t *testing.T) {
	for _, x := range []struct {
		what string
		tell func(m *Member, p protocol.Plan)
		want error
	}{
		{"the run goes back", func(m *Member, _ protocol.Plan) {
			(&coordinatorLink{m: m}).Message(nil, transport.Pack(protocol.MsgResync, protocol.Ready{State: true}))
		}, ErrState},
		{"a later plan needs none of them", func(m *Member, p protocol.Plan) {
			p.Epoch, p.Generation, p.Owners, p.Backups = 2, 2, []uint32{1}, []uint32{0}
			(&coordinatorLink{m: m}).Message(nil, transport.Pack(protocol.MsgPlan, p))
		}, nil},
		{"the step is committed", func(m *Member, p protocol.Plan) {
			(&coordinatorLink{m: m}).Message(nil, transport.Pack(protocol.MsgCommit, protocol.Commit{Step: p.Step}))
		}, nil},
	} {
		t.Run(x.what, func(t *testing.T) {
			m, at, asked := muted(t)
			p := protocol.Plan{Epoch: 1, Generation: 1, Step: 3, Members: []protocol.Address{at, {Worker: 2}}, Owners: []uint32{2},
				Since: []uint32{1}, Backups: []uint32{1}, Holders: []uint32{1}, Shares: []protocol.Share{{Worker: 1, From: 0, To: 1}}}
			w := protocol.Work{Segments: 1, Langs: 1, Segment: []int{0}, Lang: []int{0}, Tokens: []int{1}}
			began := make(chan error, 1)
			go func() { _, err := m.Begin(t.Context(), p.Step, w); began <- err }()
			(&coordinatorLink{m: m}).Message(nil, transport.Pack(protocol.MsgPlan, p))
			soon(t, "nobody is asked", asked)
			x.tell(m, p)
			if err := soon(t, "it waits for the one that is gone", began); !errors.Is(err, x.want) {
				t.Error(err)
			}
		})
	}
}

// A newcomer that is told to fetch the state anew, as the run has gone back, does not wait for a
// source that hangs.
func TestStateOfOneThatIsGone(t *testing.T) {
	m, at, asked := muted(t)
	p := protocol.Plan{Generation: 1, Step: 3, Members: []protocol.Address{at, {Worker: 2}}, Owners: []uint32{1},
		Since: []uint32{1}, Backups: []uint32{0}, Holders: []uint32{1}, Sources: map[uint32]uint32{2: 1}}
	go m.State(t.Context(), 0, []string{"weights"}, func(string) (io.WriteCloser, error) { return nil, errors.New("no") })
	link := &coordinatorLink{m: m}
	for range 3 {
		deadline := time.After(20 * time.Second)
		for again := true; again; { // a plan from before the question does not count
			p.Epoch++
			link.Message(nil, transport.Pack(protocol.MsgPlan, p))
			select {
			case <-asked:
				again = false
			case <-time.After(10 * time.Millisecond):
			case <-deadline:
				t.Fatal("it waits for the one that is gone")
			}
		}
		link.Message(nil, transport.Pack(protocol.MsgResync, protocol.Ready{State: true}))
	}
}

// A worker says by which plan it has its weights: after the coordinator has it go on from its own,
// by none. To fetch the state anew is no such word, and steps from before the question are forgotten.
func TestWhoseWeights(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := New(Options{})
		m.id, m.ep = 2, new(transport.Endpoint)
		m.Configure(Shape{Groups: []int{4}, Segments: 1, Langs: 1}, nil)
		w := protocol.Work{Segments: 1, Langs: 1, Segment: []int{0}, Lang: []int{0}, Tokens: []int{1}}
		p := &protocol.Plan{Epoch: 7, Step: 3, Owners: []uint32{1}, Since: []uint32{7}, Members: []protocol.Address{{Worker: 1}, {Worker: 2}}}
		m.open(3, w, p)
		m.standAt(3) // the step is done again
		if e := m.stands(3).Epoch; e != 0 {
			t.Errorf("epoch %d before the first step", e)
		}
		m.open(3, w, p)
		m.standAt(4)
		if e := m.stands(4).Epoch; e != 7 {
			t.Errorf("epoch %d of a step by epoch 7", e)
		}
		m.plans[4], m.commits[4] = p, &protocol.Commit{Step: 4}
		back := make(chan int, 1)
		go func() {
			step, err := m.State(t.Context(), 4, nil, nil)
			if err != nil {
				t.Error(err)
			}
			back <- step
		}()
		synctest.Wait()
		link := &coordinatorLink{m: m}
		link.Message(nil, transport.Pack(protocol.MsgResync, protocol.Ready{State: true}))
		synctest.Wait()
		if len(back) > 0 || m.resync || len(m.plans)+len(m.commits) > 0 {
			t.Errorf("%d answers, resync %v, %d plans and %d commits", len(back), m.resync, len(m.plans), len(m.commits))
		}
		link.Message(nil, transport.Pack(protocol.MsgResync, protocol.Ready{Step: 4}))
		if step := <-back; step != 4 || m.stands(4).Epoch != 0 {
			t.Errorf("it goes on at step %d by epoch %d", step, m.stands(4).Epoch)
		}
		m.Leave()
	})
}
