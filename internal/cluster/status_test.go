package cluster

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"concord/internal/cluster/coordinator"
	"concord/internal/cluster/protocol"
)

// empty lists the columns of a member's status that say nothing.
func empty(m coordinator.MemberStatus) (out []string) {
	for name, is := range map[string]bool{"rows": m.Rows == 0, "groups": m.Groups+m.Slices == 0, "tokens a second": m.Speed == 0,
		"sent": m.Sent == 0, "received": m.Received == 0, "round trip": m.RTT == 0, "waited": m.Waited == 0} {
		if is {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// accounted says that each resolve group is shown once: whole, or all of its slices.
func accounted(s coordinator.Status, groups []int, leads protocol.Leads) bool {
	whole, sliced := 0, 0
	for _, m := range s.Members {
		whole, sliced = whole+m.Groups, sliced+m.Slices
	}
	cut, of := 0, 0 // resolve groups in slices, and these
	for u := range groups {
		if leads.Sliced(u) {
			of++
			if leads.Of(u) == u {
				cut++
			}
		}
	}
	return whole == leads.Resolved(len(groups)) && sliced == 0 || whole == leads.Resolved(len(groups))-cut && sliced == of
}

// A machine that takes part in every step shows in every sample of the status what it
// does, whether that is taken in the middle of a step, while one is committed, or between
// two.
func TestStatusShowsEveryColumn(t *testing.T) {
	t.Parallel()
	for _, params := range []bool{false, true} {
		synctestWorld(t, func(w *world) {
			w.steps, w.min, w.params, w.patience = 20, 3, params, time.Hour
			w.perRow = func(worker uint32, rows int) time.Duration { return time.Duration(rows) * 300 * time.Millisecond } // several samples a step
			samples, waited := 0, map[uint32]bool{}
			w.sampled = func(s coordinator.Status) {
				if s.Step >= 2 && !accounted(s, w.groups, w.leads()) {
					t.Errorf("parameters %v: the groups do not add up: %+v", params, s.Members)
				}
				for _, m := range s.Members {
					if s.Step < 2 || m.State != "working" {
						continue
					}
					samples++
					if e := empty(m); e != nil {
						t.Errorf("parameters %v, after step %d, worker %d: nothing in %q", params, s.Step, m.Worker, e)
					}
					waited[m.Worker] = waited[m.Worker] || m.WaitedOn > 0
				}
			}
			all := []*node{w.start(1), w.start(2), w.start(3)}
			w.wait(all...)
			w.mu.Lock()
			w.sampled = nil
			w.mu.Unlock()
			if samples < 100 || len(waited) != 3 {
				t.Errorf("%d samples of %d machines", samples, len(waited))
			}
			w.close(all...)
			time.Sleep(30 * time.Second)
		})
	}
}

// TestStatusOnASlowDisk: while one status is written only the newest of the others waits, and the last one
// is on disk after at most one other.
func TestStatusOnASlowDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var written []int
		w := newStatusWriter(func(s coordinator.Status) { time.Sleep(3 * time.Second); written = append(written, s.Step) })
		for step := range 41 { // ten seconds
			w.take(coordinator.Status{Time: time.Now(), Step: step}, false)
			time.Sleep(250 * time.Millisecond)
		}
		began := time.Now()
		w.take(coordinator.Status{Time: time.Now(), Step: 41}, true)
		if took := time.Since(began); took > 6*time.Second {
			t.Errorf("the last one took %v", took)
		}
		synctest.Wait()
		if len(written) > 6 || !slices.IsSorted(written) || written[len(written)-1] != 41 {
			t.Errorf("written: %v", written)
		}
	})
}
