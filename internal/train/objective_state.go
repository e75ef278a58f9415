package train

import (
	"errors"

	"concord/internal/report"
)

// objectiveState is what an objective carries from step to step, as a checkpoint
// holds it.
type objectiveState struct {
	Losses []report.Float       `json:"losses,omitempty"` // by language; null where not known
	Units  map[string]unitState `json:"units,omitempty"`  // by name
}

// foldedName is the one unit of a run whose weights are folded into the loss.
const foldedName = "*"

// snapshot returns the state; nothing in it is shared with o.
func (o *objective) snapshot() objectiveState {
	s := objectiveState{Units: map[string]unitState{}}
	for _, l := range o.losses {
		s.Losses = append(s.Losses, report.Float(l))
	}
	for i, u := range o.byUnit {
		if u.Weights != nil || u.Signal != nil || len(u.State.Scalar)+len(u.State.Objective)+len(u.State.Pair) > 0 {
			s.Units[o.unitName(i)] = u
		}
	}
	return s
}

// restore sets the state of a checkpoint.
func (o *objective) restore(s objectiveState) error {
	if s.Losses != nil && len(s.Losses) != len(o.langs) {
		return DataError(errors.New("the checkpoint's losses are of other languages than the run's"))
	}
	for i, l := range s.Losses {
		o.losses[i] = float64(l)
	}
	for i := range o.byUnit {
		o.byUnit[i] = s.Units[o.unitName(i)]
	}
	return nil
}

func (o *objective) unitName(i int) string {
	if o.folded() {
		return foldedName
	}
	return o.units[i].Name
}
