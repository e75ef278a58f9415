package step

import (
	"encoding/json"
	"fmt"

	"concord/bucket"
	"concord/internal/device"
	"concord/internal/fault"
	"concord/internal/model"
	"concord/internal/objective"
	"concord/internal/safetensors"
	"concord/tensor"
)

// State is the values that a replica carries from step to step besides tensors. Data order and
// randomness are pure functions of (seed, step), so Step is their state.
type State struct {
	Step       int             `json:"step"`
	Tokens     int64           `json:"tokens"`
	Supervised int64           `json:"supervised"`
	Clip       float64         `json:"clip_scale"` // of the last step, which metric = "adam" looks at
	Norm       float64         `json:"clip_norm,omitempty"`
	Updates    int64           `json:"optimizer_updates"`
	Method     string          `json:"method"`
	Scope      string          `json:"scope"`
	Langs      []string        `json:"languages"`
	Settings   json.RawMessage `json:"objective_settings,omitempty"`
	Objective  objective.State `json:"objective_state"`
}

// State is the replica's as it stands.
func (r *Replica) State() State {
	i := &r.Settings.Identity
	return State{Step: r.Done, Tokens: r.Tokens, Supervised: r.Supervised, Clip: r.Clip, Norm: r.Norm, Updates: r.Adam.Steps(),
		Method: i.Method, Scope: i.Scope,
		Langs: r.Langs, Settings: i.Record, Objective: r.Objective.Snapshot()}
}

// SetState goes on from s.
func (r *Replica) SetState(s State) error {
	r.Done, r.Tokens, r.Supervised, r.Clip, r.Norm = s.Step, s.Tokens, s.Supervised, s.Clip, s.Norm
	r.Adam.SetSteps(s.Updates)
	return r.Objective.Restore(s.Objective)
}

// Check refuses a state, read from path, that is not of the run of the identity.
func (s State) Check(path string, run Identity) error {
	if s.Method != run.Method || s.Scope != run.Scope {
		return fault.Data(fmt.Errorf("%s was made with method %s, scope %s; the run has %s, %s", path, s.Method, s.Scope, run.Method, run.Scope))
	}
	if len(s.Settings) == 0 {
		return nil
	}
	if key := run.Differs(s.Settings); key != "" {
		return fault.Data(fmt.Errorf("%s was made with another objective.%s than the run's: resuming would mix two objectives\n"+
			"  fix: restore run.lock.json, or start a new run", path, key))
	}
	return nil
}

// keeps says that a checkpoint has a state of the parameter: of those that are not
// trained the weights alone, and those that the base model's files have not at all.
func (r *Replica) keeps(state bucket.State, s model.Spec) bool {
	return !r.Settings.Frozen(s) || state == bucket.Weight && (!r.Settings.KeepsBase || r.ofAdapter(s))
}

// ofAdapter says that s is in the files of the adapter, not in those of its base model.
func (r *Replica) ofAdapter(s model.Spec) bool { return r.Arch.Adapter != nil && !s.Frozen }

// Source is where states are read parameter by parameter: a bucket.Store or a bucket.Host.
type Source interface {
	Read(s bucket.State, param string) ([]float32, error)
	Raw(s bucket.State, param string) ([]byte, error)
}

// Entries lists states for a file, to be read one by one from src: those that keeps
// names.
func (r *Replica) Entries(states []bucket.State, src Source) []safetensors.Entry {
	var out []safetensors.Entry
	for _, p := range device.Params(r.Arch) {
		for _, s := range states {
			if !r.keeps(s, p.Spec) {
				continue
			}
			e := safetensors.Entry{Name: string(s) + "/" + p.Name, DType: r.stored(s, p), Shape: []int{p.R, p.C},
				Data: func() ([]float32, error) { return src.Read(s, p.Name) }}
			if e.DType == safetensors.U8 {
				e.Shape = []int{int(r.Store.In(nil, s, p.Name).Bytes())}
				e.Bytes = func() ([]byte, error) { return src.Raw(s, p.Name) }
			}
			out = append(out, e)
		}
	}
	return out
}

// stored is the type in files of a state of p, to the bit as the device holds it: blocks
// and factors are bytes.
func (r *Replica) stored(s bucket.State, p bucket.Param) safetensors.DType {
	switch d := r.Store.Type(s, p); {
	case d == tensor.BF16:
		return safetensors.BF16
	case d.Blocks(), s == bucket.Factors:
		return safetensors.U8
	}
	return safetensors.F32
}

// Load reads one state of every parameter that has it from such a file into the device.
func (r *Replica) Load(f *safetensors.Reader, state bucket.State) error {
	return r.LoadTo(r.Store, f, state)
}

// Sink is where states are loaded to parameter by parameter: a bucket.Store or a bucket.Host.
type Sink interface {
	Load(s bucket.State, param string, values []float32) error
	LoadRaw(s bucket.State, param string, b []byte) error
}

// LoadTo is Load into to.
func (r *Replica) LoadTo(to Sink, f *safetensors.Reader, state bucket.State) error {
	for _, p := range device.Params(r.Arch) {
		name, want := string(state)+"/"+p.Name, r.stored(state, p)
		if _, old := f.Tensor(name); !r.keeps(state, p.Spec) && !(old && state == bucket.Weight) { // checkpoints once had frozen weights
			continue
		}
		if t, ok := f.Tensor(name); ok && t.DType != want {
			return fault.Data(fmt.Errorf("%s: %s is of type %s, the run keeps it as %s\n  fix: model.dtype and optim.moments as they were when "+
				"the run began, or a new run", t.File, name, t.DType, want))
		}
		if want == safetensors.U8 {
			b, err := f.ReadBytes(name)
			if err != nil {
				return fault.Data(err)
			}
			if err := to.LoadRaw(state, p.Name, b); err != nil {
				return fault.Classify(err)
			}
			continue
		}
		v, err := f.ReadFloat32(name)
		if err != nil {
			return fault.Data(err)
		}
		if err := to.Load(state, p.Name, v); err != nil {
			return fault.Classify(err)
		}
	}
	return nil
}
