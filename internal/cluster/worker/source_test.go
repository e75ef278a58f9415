package worker

import (
	"testing"

	"concord/internal/cluster/protocol"
)

// A machine that looks for the weights finds the plan that names their source although the next
// step's plan, which does not name it again, has come before it looked.
func TestSourceOfAnEarlierPlan(t *testing.T) {
	named := &protocol.Plan{Epoch: 8, Step: 16, Sources: map[uint32]uint32{2: 1}}
	next := &protocol.Plan{Epoch: 9, Step: 17}
	m := &Member{id: 2, plan: next, plans: map[int]*protocol.Plan{16: named, 17: next}}
	if p := m.sourcePlan(7); p != named {
		t.Errorf("the plan is %+v", p)
	}
	if p := m.sourcePlan(8); p != nil { // it answered an earlier question
		t.Errorf("after epoch 8 the plan is %+v", p)
	}
	m.plan = &protocol.Plan{Epoch: 10, Step: 18, InitialSync: true, Sources: map[uint32]uint32{2: 3}}
	if p := m.sourcePlan(7); p != m.plan {
		t.Errorf("at the start the plan is %+v", p)
	}
}
