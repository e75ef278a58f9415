package config

import (
	"fmt"
	"regexp"
	"strconv"
)

// Scope is the group of parameters that is resolved together: n > 0 is buckets of n MB, 0 is none given.
type Scope int32

// The scopes that have a name.
const (
	ScopeTensor Scope = -1
	ScopeLayer  Scope = -2
	ScopeGlobal Scope = -3
)

var (
	scopeNames = map[string]Scope{"tensor": ScopeTensor, "layer": ScopeLayer, "global": ScopeGlobal}
	sizeScope  = regexp.MustCompile(`^([1-9][0-9]{0,6})MB$`)
)

// ParseScope reads "tensor", "layer", "global" or buckets of a size, "16MB".
func ParseScope(text string) (Scope, error) {
	if s, ok := scopeNames[text]; ok {
		return s, nil
	}
	if m := sizeScope.FindStringSubmatch(text); m != nil {
		n, err := strconv.Atoi(m[1])
		return Scope(n), err
	}
	return 0, fmt.Errorf(`unknown scope %q: valid are "tensor", "layer", "<n>MB" (such as "25MB") and "global"`, text)
}

// UnmarshalText reads the text that ParseScope reads.
func (s *Scope) UnmarshalText(text []byte) (err error) {
	*s, err = ParseScope(string(text))
	return err
}

// MarshalText writes the text that UnmarshalText reads.
func (s Scope) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

func (s Scope) String() string {
	if s == 0 {
		return ""
	}
	for name, named := range scopeNames {
		if s == named {
			return name
		}
	}
	return fmt.Sprintf("%dMB", int32(s))
}

// Method is a method of package moo; which there are is that package's business.
type Method string

// The methods that other settings speak of.
const (
	MethodMean   Method = "mean"
	MethodStatic Method = "static" // takes objective.weights
)

// Init is where a model's weights come from.
type Init string

// The ways to begin.
const (
	InitPretrained Init = "pretrained"
	InitRandom     Init = "random"
)

// Overlong is the treatment of documents that are longer than an example may be.
type Overlong string

// The treatments.
const (
	OverlongAuto     Overlong = "auto"
	OverlongDrop     Overlong = "drop"
	OverlongTruncate Overlong = "truncate"
	OverlongSplit    Overlong = "split"
	OverlongError    Overlong = "error"
)

// Fit says whether the program or the user makes a step fit the device.
type Fit string

// Nobody, or the start of the run.
const (
	FitOff  Fit = "off"
	FitAuto Fit = "auto"
)

// AdapterKind is the kind of an adapter; "" trains the model itself.
type AdapterKind string

// The kinds.
const (
	LoRA   AdapterKind = "lora"
	RSLoRA AdapterKind = "rslora"
)

// Mixing is how the rows of a step are divided among the languages.
type Mixing string

// The ways.
const (
	MixingStratified Mixing = "stratified"
	MixingIID        Mixing = "iid"
)

// Align is how examples of several languages are told to be of one text; "" they are not.
type Align string

// The ways.
const (
	AlignKey  Align = "key"  // by a column
	AlignLine Align = "line" // by the number of the line
)

// Format is the form of data files; "" goes by their names.
type Format string

// TrainOn is the part of an example that is learnt; "" is the completion.
type TrainOn string

// Normalise is how gradients are scaled before they are resolved.
type Normalise string

// NormaliseNone leaves them as they are; the others are package moo's.
const NormaliseNone Normalise = "none"

// Project is the set on which the method's result is projected; "" none.
type Project string

// ProjectDualCone is the directions that oppose no language.
const ProjectDualCone Project = "dual-cone"

// Control keeps a part of a method's effect; "" all of it.
type Control string

// The parts.
const (
	ControlNorm      Control = "norm"
	ControlDirection Control = "direction"
)

// Metric is that of the Gram matrix.
type Metric string

// The metrics.
const (
	MetricEuclidean Metric = "euclidean"
	MetricAdam      Metric = "adam"
)

// Gram is how linear layers' Gram matrices are computed.
type Gram string

// The ways.
const (
	GramAuto  Gram = "auto"
	GramRows  Gram = "rows"
	GramGhost Gram = "ghost"
)

// ScheduleKind is how the learning rate falls after the warm-up.
type ScheduleKind string

// The ways.
const (
	Cosine   ScheduleKind = "cosine"
	Linear   ScheduleKind = "linear"
	Constant ScheduleKind = "constant"
)

// Backend is a graphics interface; "" is the best of the system.
type Backend string

// DType is an element type of weights; "" is the base model's for saved ones, f32 on the
// device.
type DType string

// BF16 is the one that the device may have instead of f32.
const BF16 DType = "bf16"

// BaseType is an element type of weights that are not trained; "" is DType's.
type BaseType string

// The types.
const (
	BaseF32  BaseType = "f32" // of embeddings and head only
	BaseBF16 BaseType = "bf16"
	BaseF16  BaseType = "f16"
	BaseInt8 BaseType = "int8"
	BaseNF4  BaseType = "nf4"
	// BaseGGUF is that of each matrix in the model's GGUF file.
	BaseGGUF BaseType = "gguf"
)

// Moments is how the optimizer's moments lie in memory; "" is f32.
type Moments string

// The ways that take less.
const (
	MomentsBF16 Moments = "bf16"
	MomentsInt8 Moments = "int8"
)

// Optimizer updates the weights; "" is AdamW.
type Optimizer string

// Adafactor is the one besides AdamW.
const Adafactor Optimizer = "adafactor"

// Resolve is where the languages' gradients are resolved.
type Resolve string

// The places.
const (
	ResolveExact Resolve = "exact"
	ResolveLocal Resolve = "local"
)

// Sync is the kind of data that machines send each other.
type Sync string

// The ways.
const (
	SyncGradients  Sync = "gradients"
	SyncParameters Sync = "parameters"
)

// Shares is how rows are divided among the machines.
type Shares string

// The ways.
const (
	SharesSpeed Shares = "speed"
	SharesEqual Shares = "equal"
)
