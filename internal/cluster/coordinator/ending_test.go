package coordinator

import (
	"context"
	"sync"
	"testing"
	"time"

	"concord/internal/cluster/store/storetest"
)

// Who asks a coordinator something while it stops is answered all the same: a
// connection whose greeting waits for ever is one that its machine waits for.
func TestQuestionsAtTheEnd(t *testing.T) {
	var asking sync.WaitGroup
	for range 200 {
		c, err := New(context.Background(), Options{Store: storetest.NewMemory()}, 3)
		if err != nil {
			t.Fatal(err)
		}
		for range 20 {
			asking.Go(func() {
				for range 20 {
					if c.Step() != 3 {
						t.Error("it answers with another step")
					}
				}
			})
		}
		c.Abandon()
	}
	answered := make(chan struct{})
	go func() { asking.Wait(); close(answered) }()
	select {
	case <-answered:
	case <-time.After(20 * time.Second):
		t.Fatal("some still wait")
	}
}

// Machines that leave at the end do not change the run's last status.
func TestNothingIsShownBehindTheLastStatus(t *testing.T) {
	shown := 0
	c, err := New(context.Background(), Options{Store: storetest.NewMemory(), Changed: func(Status, bool) { shown++ }}, 3)
	if err != nil {
		t.Fatal(err)
	}
	c.do(func() {
		before := shown
		c.changed()
		if shown != before+1 {
			t.Error("no status is shown")
		}
		c.ended = true
		if c.changed(); shown != before+1 {
			t.Error("a status is shown after the last")
		}
	})
	c.Abandon()
}
