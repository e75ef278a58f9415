package objective

import (
	"errors"
	"maps"
	"slices"

	"concord/internal/fault"
	"concord/internal/report"
	"concord/moo"
)

// State is the values that an Objective carries from step to step, as a checkpoint
// holds it.
type State struct {
	Losses []report.Float        `json:"losses,omitempty"` // by language; null where not known
	Before []report.Float        `json:"before,omitempty"` // of the last batch before its update, for methods that look at them
	After  []report.Float        `json:"after,omitempty"`  // and after it
	Groups map[string]groupState `json:"units,omitempty"`  // by name
}

// OfAnotherFAMO says that a state of a run with method famo was saved by a version in which
// that was famo-lagged.
func (o *Objective) OfAnotherFAMO(s State) bool {
	if !o.SameBatch() || s.Before != nil {
		return false
	}
	for _, u := range s.Groups {
		if u.State.Objective["famo.log"] != nil {
			return true
		}
	}
	return false
}

// allGroups is the name of the one state of a run whose weights are part of the loss.
const allGroups = "*"

// Snapshot returns the state; nothing in it is shared with o.
func (o *Objective) Snapshot() State {
	s := State{Groups: map[string]groupState{}, Losses: reported(o.losses), Before: reported(o.batch.before), After: reported(o.batch.after)}
	for i, u := range o.byGroup {
		if u.Weights != nil || u.Signal != nil || len(u.State.Scalar)+len(u.State.Objective)+len(u.State.Pair) > 0 {
			s.Groups[o.groupName(i)] = u.clone()
		}
	}
	return s
}

// clone is u with nothing shared: a step changes signals in place.
func (u groupState) clone() groupState {
	u.Weights, u.Signal = slices.Clone(u.Weights), slices.Clone(u.Signal)
	u.State = moo.State{Scalar: maps.Clone(u.State.Scalar), Objective: cloneValues(u.State.Objective), Pair: cloneValues(u.State.Pair)}
	return u
}

func cloneValues(x map[string][]float64) map[string][]float64 {
	out := maps.Clone(x)
	for k, v := range out {
		out[k] = slices.Clone(v)
	}
	return out
}

func cloneAll(all []groupState) []groupState {
	out := slices.Clone(all)
	for i, u := range out {
		out[i] = u.clone()
	}
	return out
}

// Restore sets the state of a checkpoint.
func (o *Objective) Restore(s State) error {
	if s.Losses != nil && len(s.Losses) != len(o.langs) {
		return fault.Data(errors.New("the checkpoint's losses are of other languages than the run's"))
	}
	for i, l := range s.Losses {
		o.losses[i] = float64(l)
	}
	if len(s.Before) != len(s.After) || s.Before != nil && len(s.Before) != len(o.langs) {
		return fault.Data(errors.New("the checkpoint's losses of its last batch are of other languages than the run's"))
	}
	o.batch = batchLosses{before: numbers(s.Before), after: numbers(s.After)}
	o.saved = nil // of another state
	for i := range o.byGroup {
		o.byGroup[i] = s.Groups[o.groupName(i)].clone()
	}
	return nil
}

func (o *Objective) groupName(i int) string {
	if o.Static() {
		return allGroups
	}
	return o.groups[i].Name
}
