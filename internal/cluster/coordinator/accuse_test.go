package coordinator

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"concord/internal/cluster/protocol"
	"concord/transport"
)

// bare is a coordinator without a loop, with members whose messages nobody takes, in the
// middle of a commit; worker 1 is its own and the last two of the members own the groups.
func bare(ids ...uint32) *Coordinator {
	c := &Coordinator{opt: Options{Local: 1}, events: make(chan func(), 64), members: map[uint32]*member{},
		apart: map[pair]*separation{}, barred: map[uint32]bars{}, pending: &protocol.Commit{}, plan: &protocol.Plan{Owners: ids[len(ids)-2:]}}
	for _, id := range ids {
		c.members[id] = &member{id: id, addr: "there", out: make(chan transport.Message, 256),
			conn: &transport.Conn{Peer: transport.Claims{Worker: 1}}}
		c.plan.Members = append(c.plan.Members, protocol.Address{Worker: id, Addr: "there"})
	}
	return c
}

// Only the worker that was asked can answer whether it reaches another, and only that
// question: the one that complains cannot take an owner's groups by itself.
func TestOnlyTheAskedAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := bare(1, 2, 3, 4)
		evil, owner := c.members[2], c.members[3]
		ask := func() { c.unreachable(evil, owner) }
		ask()
		c.reached(evil, protocol.Reached{Worker: 3})
		if c.isApart(2, 3) {
			t.Fatal("who complains answers its own question")
		}
		c.reached(owner, protocol.Reached{Worker: 2, OK: true})
		for range 100 {
			ask()
		}
		if n := len(owner.out); n != 1 {
			t.Errorf("%d questions after one was just answered well", n)
		}
		time.Sleep(reachAnswer - time.Second) // the limit of the first question is near
		c.apart[pairOf(2, 3)].quiet = time.Time{}
		ask()
		time.Sleep(2 * time.Second)
		synctest.Wait()
		for len(c.events) > 0 {
			(<-c.events)()
		}
		if c.isApart(2, 3) {
			t.Error("the limit of an earlier question counts as the answer of a later one")
		}
		c.reached(owner, protocol.Reached{Worker: 2})
		if !c.isApart(2, 3) {
			t.Error("the asked worker's answer does not count")
		}
		time.Sleep(time.Minute)
	})
}

// Complaints of one member about all others are looked into a few at a time.
func TestComplaintsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ids := []uint32{}
		for id := range uint32(40) {
			ids = append(ids, id+1)
		}
		c := bare(ids...)
		c.plan.Owners = ids
		asked := 0
		for _, m := range c.sorted()[2:] {
			c.unreachable(c.members[2], m)
			asked += len(m.out)
		}
		if asked != mostQuestions {
			t.Errorf("%d questions at one time", asked)
		}
		c.unreachable(c.members[3], c.members[40])
		if len(c.members[40].out) != 1 {
			t.Error("another member's complaint is not looked into")
		}
		time.Sleep(time.Minute)
	})
}

// A worker that says again and again that it is about to dial another one costs that one
// a single message, and the others' word counts all the same.
func TestPunchesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := bare(1, 2, 3)
		to := c.members[3]
		to.punched = true
		for range 1000 {
			c.punch(c.members[1], protocol.Punch{Worker: 3})
		}
		if n := len(to.out); n != 1 {
			t.Fatalf("%d messages for 1000 of one worker", n)
		}
		c.punch(c.members[2], protocol.Punch{Worker: 3})
		if n := len(to.out); n != 2 {
			t.Errorf("%d messages for those of two workers", n)
		}
		time.Sleep(protocol.PokeFor) // as long as a dial takes: it is tried again
		c.punch(c.members[1], protocol.Punch{Worker: 3})
		if n := len(to.out); n != 3 {
			t.Errorf("%d messages after another dial", n)
		}
	})
}

// Where nobody is kept apart, asking for it of a member costs nothing that grows with the run: with 4,096
// members it took 19 s for every plan.
func TestNobodyIsApartForNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := bare(1, 2, 3, 4, 5, 6, 7)
		if n := testing.AllocsPerRun(10, func() { c.mayOwn(c.members[2]) }); n > 0 {
			t.Errorf("%v allocations", n)
		}
		c.separate(c.members[4], c.members[2], "disagree")
		c.separate(c.members[3], c.members[2], "disagree")
		delete(c.members, 4)
		for w, want := range map[uint32][]uint32{1: nil, 2: {3}, 3: {2}, 5: nil} {
			if got := c.apartFrom(w); !slices.Equal(got, want) {
				t.Errorf("worker %d is apart from %d, not %d", w, got, want)
			}
		}
	})
}
