package exchange

import (
	"concord/bucket"
	"concord/internal/fault"
	"concord/internal/objective"
	"concord/internal/safetensors"
)

// snapshot is the state that a machine held before an outer step.
type snapshot struct {
	states    *bucket.Host
	updates   int64
	clip      float64
	norm      float64
	objective objective.State
}

// takeSnapshot keeps the state that this machine holds.
func (x *Outer) takeSnapshot() error {
	k := &snapshot{states: x.Store.NewHost(), updates: x.Adam.Steps(), clip: x.Clip, norm: x.Norm, objective: x.Objective.Snapshot()}
	for _, s := range x.States() {
		for u := range x.Store.Layout.Groups {
			b, err := x.Store.ReadGroup(s, u)
			if err != nil {
				return fault.Classify(err)
			}
			k.states.Set(s, u, b)
		}
	}
	x.before = k
	return nil
}

// undo gives this machine back its state before the outer step that was begun.
func (x *Outer) undo() error {
	x.changes.Undo(int64(x.Done))
	k := x.before
	if k == nil {
		return nil
	}
	for _, s := range x.States() {
		for u := range x.Store.Layout.Groups {
			x.Store.WriteGroup(s, u, k.states.Group(s, u))
		}
	}
	x.Adam.SetSteps(k.updates)
	x.Clip, x.Norm, x.before = k.clip, k.norm, nil
	return x.Objective.Restore(k.objective)
}

// velocityName is a parameter's part of the outer optimizer's state in a file.
func velocityName(p string) string { return "velocity/" + p }

// Entries implements Exchange: the outer optimizer's state.
func (x *Outer) Entries() (out []safetensors.Entry) {
	for u := range x.Store.Layout.Groups {
		out = append(out, groupEntries(x.Store.Layout, u, x.outer.velocity[u], velocityName)...)
	}
	return out
}

func (x *Outer) replicated(group int) []float32 { return x.outer.velocity[group] }

// localTensors are also the optimizer's moments before the outer step: of the snapshot, or of
// now where none is under way.
func (x *Outer) localTensors() ([]safetensors.Entry, error) {
	k := x.before
	if k == nil {
		if err := x.takeSnapshot(); err != nil {
			return nil, err
		}
		k, x.before = x.before, nil
	}
	return append(x.LocalEntries(), x.Replica.Entries(x.States()[1:], k.states)...), nil
}

// Carry implements Exchange.
func (x *Outer) Carry() Carry {
	s := x.changes.Snapshot()
	return Carry{Root: x.root, Outer: &s}
}

// Restore implements Exchange.
func (x *Outer) Restore(f *safetensors.Reader, c Carry) error {
	x.before = nil
	if c.Outer != nil { // nil: of a run that had no outer steps
		for u := range x.Store.Layout.Groups {
			for p, at := range x.Store.Layout.PlacesOf(u) {
				if err := readEntry(f, velocityName(p.Name), p, x.outer.velocity[u][at:]); err != nil {
					return err
				}
			}
		}
		if err := x.changes.Restore(*c.Outer); err != nil {
			return err
		}
	}
	return x.Distributed.Restore(f, c)
}

func (x *Outer) restoreLocal(f *safetensors.Reader, s Saved) error {
	for _, m := range x.States()[1:] {
		if err := x.Load(f, m); err != nil {
			return err
		}
	}
	x.Adam.SetSteps(s.Updates)
	x.Clip, x.Norm = s.Clip, s.Norm
	return x.Objective.Restore(s.Objective)
}
