package cluster

import (
	"slices"
	"testing"
	"time"

	"concord/internal/cluster/coordinator"
)

// empty lists the columns of a member's status that say nothing.
func empty(m coordinator.MemberStatus) (out []string) {
	for name, is := range map[string]bool{"rows": m.Rows == 0, "groups": m.Groups == 0, "tokens a second": m.Speed == 0,
		"sent": m.Sent == 0, "received": m.Received == 0, "round trip": m.RTT == 0, "waited": m.Waited == 0} {
		if is {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
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
