package coordinator

import (
	"testing"
	"testing/synctest"
	"time"

	"concord/internal/cluster/protocol"
)

// A coordinator that could not look for twelve seconds, as its machine had no free core,
// does not take that for the silence of others; those who are silent are found later.
func TestItsOwnSleepIsNobodysSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := bare(1, 2, 3)
		c.opt.HeartbeatTimeout = 3 * time.Second
		for _, m := range c.members {
			m.silence.Heard(time.Now())
		}
		time.Sleep(12 * time.Second)
		if out := c.silent(time.Now()); len(out) > 0 {
			t.Fatalf("%d members are silent while the coordinator slept", len(out))
		}
		for looks := 1; ; looks++ {
			time.Sleep(protocol.Heartbeat)
			c.members[1].silence.Heard(time.Now())
			c.members[2].silence.Heard(time.Now())
			if out := c.silent(time.Now()); len(out) == 1 && out[0].id == 3 && looks == 5 {
				return
			} else if len(out) > 0 || looks > 5 {
				t.Fatalf("%d are silent after %d looks", len(out), looks)
			}
		}
	})
}

// Nor does it bar machines for a step that went on for an hour in which it slept.
func TestItsOwnSleepIsNobodysFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := bare(1, 2, 3)
		c.pending, c.plan.Epoch = nil, 1
		c.planned, c.advanced, c.step = time.Now(), time.Now(), 1
		c.working.Heard(c.planned)
		c.applying.Heard(c.advanced)
		c.members[2].counted = true // and has not applied the last step
		time.Sleep(time.Hour)
		if len(c.blocking()) == 0 {
			t.Fatal("nobody blocks the step")
		}
		c.overdue(time.Now())
		time.Sleep(time.Hour)
		c.plan = nil
		c.overdue(time.Now())
		if len(c.members) != 3 {
			t.Errorf("%d of 3 members are left", len(c.members))
		}
	})
}
