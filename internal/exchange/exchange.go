// Package exchange has the ways in which the machines of a run share a step, each a
// step.Exchange in a file of its own that is read alone:
//
//   - Single (single.go): one machine, no other.
//   - Gradients (gradients.go): rows of gradients by language go to their group's
//     owner, which resolves them; every machine applies every gradient.
//   - Local (local.go): each machine resolves its own languages, and owners add up the
//     machines' gradients.
//   - Sharded (sharded.go): an owner updates its groups' weights and keeps their
//     moments (ZeRO-1), after a resolution of either kind above.
//   - Outer (outer.go): machines make several steps by themselves and resolve their
//     changes (DiLoCo).
//
// The last four share Distributed: membership, plans, the state that a
// newcomer fetches, and the state that a machine saves for itself. A new way is a new file and a
// case in New; CONTRIBUTING.md has the other steps.
package exchange

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"concord/internal/fault"
	"concord/internal/objective"
	"concord/internal/safetensors"
	"concord/internal/step"
	"concord/transport"
)

// Exchange is a step's exchange with the methods that a run's checkpoints ask of it.
type Exchange interface {
	step.Exchange
	// Carry is the values that it carries from step to step besides tensors.
	Carry() Carry
	// Entries are its tensors, the same on all machines; LocalEntries those that only
	// this machine holds before the next step.
	Entries() []safetensors.Entry
	LocalEntries() []safetensors.Entry
	// Reader reads the states of a checkpoint parameter by parameter, wherever they are.
	Reader(ctx context.Context) step.Source
	// Restore goes on from a checkpoint's tensors and state; the replica's own are
	// restored already.
	Restore(f *safetensors.Reader, c Carry) error
}

// Networked is an exchange with other machines.
type Networked interface {
	Exchange
	// Machines is this machine's side of the run.
	Machines() *Distributed
}

// Carry is the values that exchanges carry from step to step besides tensors.
type Carry struct {
	Outer *objective.State `json:"outer_objective_state,omitempty"` // of outer steps
	Root  string           `json:"root,omitempty"`                  // on many machines, of the last exchange's resolved groups
}

// Saved is a checkpoint's state besides tensors.
type Saved struct {
	step.State
	Carry
}

// The files of a state.
const (
	StateFile   = "state.json"
	TensorsFile = "tensors.safetensors"
)

// Options say which exchange a run has.
type Options struct {
	Machines bool // many; the rest is for them
	Local    bool // each machine resolves its own languages
	Sharded  bool // the optimizer's state is divided among the machines
	Codec    transport.Codec
	Keep     int // this machine's own checkpoints
	Slice    int // most elements of a resolve group that one machine owns; 0: chosen by the model's size

	OuterSteps             int // that machines make by themselves; 0: none
	OuterLR, OuterMomentum float64
}

// Needs is the memory that the exchange asks of the device.
func (o Options) Needs() step.Needs {
	return step.Needs{Shared: o.Machines && o.OuterSteps == 0, AllRows: o.Machines, HostMoments: o.Machines && o.Sharded,
		Undo: o.Machines}
}

// New is the exchange of the run that r is of. Those of many machines must be connected
// before the first step.
func New(r *step.Replica, o Options) (Exchange, error) {
	if !o.Machines {
		return &Single{Replica: r}, nil
	}
	d := newDistributed(r, o)
	switch {
	case o.OuterSteps > 0:
		return newOuter(d)
	case o.Sharded:
		return newSharded(d), nil
	case o.Local:
		return newLocal(d), nil
	}
	return newGradients(d), nil
}

// ReadSaved reads the verified state in dir and checks that it is of the run of the
// identity.
func ReadSaved(dir string, run step.Identity, s *Saved) error {
	b, err := os.ReadFile(filepath.Join(dir, StateFile))
	if err != nil {
		return fault.Data(err)
	}
	if err := json.Unmarshal(b, s); err != nil {
		return fault.Data(fmt.Errorf("%s: %w", filepath.Join(dir, StateFile), err))
	}
	return s.Check(dir, run)
}

// Restore loads the tensors in dir and the state s, read from there, into r and its
// exchange.
func Restore(r *step.Replica, x Exchange, dir string, s Saved) error {
	f, err := safetensors.Open(filepath.Join(dir, TensorsFile))
	if err != nil {
		return fault.Data(err)
	}
	defer f.Close()
	for _, state := range r.States() {
		if r.Store.Holds(state) {
			if err := r.Load(f, state); err != nil {
				return err
			}
		}
	}
	if err := r.SetState(s.State); err != nil {
		return err
	}
	return x.Restore(f, s.Carry)
}
