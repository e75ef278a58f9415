package step

import (
	"encoding/json"

	"concord/bucket"
	"concord/internal/data"
	"concord/internal/device"
	"concord/internal/model"
	"concord/internal/objective"
	"concord/internal/optim"
	"concord/tensor"
)

// Options are the parts and settings of a replica.
type Options struct {
	Settings Settings
	Arch     model.Config
	Sampler  *data.Sampler
	Steps    int
	Needs    Needs
	Engine   *tensor.Engine // to allocate on; nil: Device is opened
	Device   device.Options // Warn gets warnings in any case
	OwnRows  bool           // gradient rows never lie in activations' memory
}

// Settings are those of a run that decide its steps. They do not change.
type Settings struct {
	Rows, SeqLen, Accumulate int // a micro-batch's, and micro-batches of a step
	LogitsChunk              int // tokens whose logits exist at one time; 0: chosen
	Checkpointing            bool
	InBackward               bool   // gradients are applied as soon as they are resolved
	ProbeEvery               int    // steps between probes; 0: never
	Seed                     uint64 // of an adapter's dropout
	Again                    bool   // see model.Dims

	Scope     bucket.Scope
	Objective objective.Options     // but for the tasks' names and Shared
	Frozen    func(model.Spec) bool // not trained
	KeepsBase bool                  // frozen weights are those of the base model's files all along
	Base      device.Base           // of the matrices that are not trained
	Types     bucket.Types          // element types of the states that are kept
	Optim     optim.Config
	Schedule  optim.Schedule

	Identity Identity
}

// Identity tells a checkpoint of this run from one of a run with another objective.
type Identity struct {
	Method, Scope string
	Record        json.RawMessage // all settings of the objective
	// Differs names the first setting in which the record of a checkpoint differs, "" for
	// none.
	Differs func(record json.RawMessage) string
}

// ObjectiveOf is the objective of the tasks called langs.
func (s *Settings) ObjectiveOf(langs []string, shared bool) objective.Options {
	o := s.Objective
	o.Langs, o.Shared = langs, shared
	return o
}

// Needs is the device memory that an exchange asks for.
type Needs struct {
	Shared      bool // the groups' owners on many machines solve
	AllRows     bool // gradient rows of every parameter by task exist: they leave the machine
	HostMoments bool // AdamW's moments are not on the device
	Undo        bool // a step whose gradients were all applied may be taken back: others have not committed it
}
