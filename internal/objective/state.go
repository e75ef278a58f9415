package objective

import (
	"errors"

	"concord/internal/fault"
	"concord/internal/report"
)

// State is what an Objective carries from step to step, as a checkpoint
// holds it.
type State struct {
	Losses []report.Float        `json:"losses,omitempty"` // by language; null where not known
	Units  map[string]groupState `json:"units,omitempty"`  // by name
}

// allGroups is the name of the one state of a run whose weights are part of the loss.
const allGroups = "*"

// Snapshot returns the state; nothing in it is shared with o.
func (o *Objective) Snapshot() State {
	s := State{Units: map[string]groupState{}}
	for _, l := range o.losses {
		s.Losses = append(s.Losses, report.Float(l))
	}
	for i, u := range o.byGroup {
		if u.Weights != nil || u.Signal != nil || len(u.State.Scalar)+len(u.State.Objective)+len(u.State.Pair) > 0 {
			s.Units[o.groupName(i)] = u
		}
	}
	return s
}

// Restore sets the state of a checkpoint.
func (o *Objective) Restore(s State) error {
	if s.Losses != nil && len(s.Losses) != len(o.langs) {
		return fault.Data(errors.New("the checkpoint's losses are of other languages than the run's"))
	}
	for i, l := range s.Losses {
		o.losses[i] = float64(l)
	}
	o.saved = nil // of another state
	for i := range o.byGroup {
		o.byGroup[i] = s.Units[o.groupName(i)]
	}
	return nil
}

func (o *Objective) groupName(i int) string {
	if o.Static() {
		return allGroups
	}
	return o.groups[i].Name
}
