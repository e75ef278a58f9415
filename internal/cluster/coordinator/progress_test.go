package coordinator

import (
	"testing"

	"concord/internal/cluster/protocol"
)

// A member that has a share, says that it waits and never ends the step is to blame itself,
// whatever it says that it waits for: those who have ended the step have what it says is not there.
func TestWhoeverDoesNotEndAStepIsToBlame(t *testing.T) {
	for name, says := range map[string]protocol.Progress{
		"nothing":                   {},
		"that it saves":             {Saving: true},
		"a stranger's rows":         {Rows: []uint32{77}},
		"a stranger's groups":       {Groups: []uint32{77}},
		"a stranger's Gram":         {Waits: []uint32{77}},
		"groups that others have":   {Groups: []uint32{2}},
		"a solution of the others'": {Waits: []uint32{2}},
	} {
		c := bare(1, 4, 3, 2) // 2 and 3 own the groups
		c.pending, c.plan.Epoch, c.plan.Shares = nil, 5, []protocol.Share{{Worker: 4, From: 0, To: 8}}
		for _, id := range []uint32{1, 2, 3} {
			c.members[id].done = &protocol.Done{}
		}
		says.Epoch = 5
		c.members[4].progress = says
		b := c.blocking()
		if len(b) != 1 || b[0].m.id != 4 {
			t.Errorf("it says %s: to blame is %s", name, c.describe(b))
		} else if b[0].least > 0 != says.Saving {
			t.Errorf("it says %s: it has %v", name, b[0].least)
		}
	}
}
