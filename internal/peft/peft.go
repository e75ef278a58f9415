// Package peft knows the files of an adapter as PEFT writes and reads them:
// adapter_config.json, and the names of the tensors in adapter_model.safetensors. What
// an adapter computes is the model's business.
//
// Start reading at Config.
package peft

import (
	"math"
	"slices"
	"strings"
)

// The files of an adapter's folder.
const (
	ConfigFile  = "adapter_config.json"
	WeightsFile = "adapter_model.safetensors"
)

// AllLinear is the target that stands for every linear map but the head.
const AllLinear = "all-linear"

// Config is an adapter: which modules of the base model it changes, and how.
//
//	W' = W + s B A,   s = alpha/rank
//
// A is (rank, in) and B (out, rank) (LoRA, arXiv:2106.09685). With RankStabilised s is
// alpha/√rank (rsLoRA, arXiv:2312.03732). With DoRA every row of W' is then scaled to
// a trained magnitude (arXiv:2402.09353).
type Config struct {
	Rank           int
	Alpha          float64
	RankStabilised bool
	DoRA           bool
	// Targets name the modules that are adapted, by their whole names or by the ends of
	// them after a dot; or AllLinear alone.
	Targets []string
	// Save names, likewise, the modules that are trained whole: embeddings, head.
	Save []string
	// Transposed says that the base model's linear weights are (in, out) in its files.
	Transposed bool
	Base       string // the folder of the base model, or its name on the hub
}

// Scale is s.
func (c *Config) Scale() float64 {
	if c.RankStabilised {
		return c.Alpha / math.Sqrt(float64(c.Rank))
	}
	return c.Alpha / float64(c.Rank)
}

// All says that every linear map is adapted.
func (c *Config) All() bool { return slices.Equal(c.Targets, []string{AllLinear}) }

// Adapts says whether the linear map that is called module in files is adapted.
func (c *Config) Adapts(module string) bool {
	return c.All() || slices.ContainsFunc(c.Targets, func(t string) bool { return Names(t, module) })
}

// Saves says whether module is trained whole.
func (c *Config) Saves(module string) bool {
	return slices.ContainsFunc(c.Save, func(t string) bool { return Names(t, module) })
}

// Names says that target is module's name, or its end after a dot.
func Names(target, module string) bool {
	return module == target || strings.HasSuffix(module, "."+target)
}

// prefix begins all names in the file of an adapter.
const prefix = "base_model.model."

// The ends of an adapter's tensors after the module's name.
const (
	A         = ".lora_A.weight"
	B         = ".lora_B.weight"
	Magnitude = ".lora_magnitude_vector"
)

// Tensor is the name in the file of an adapter of what is called name in the model.
func Tensor(name string) string { return prefix + name }

// module is the module that a tensor of the file adapts; false for other tensors.
func module(tensor string) (string, bool) {
	name, ok := strings.CutPrefix(tensor, prefix)
	if !ok {
		return "", false
	}
	return strings.CutSuffix(name, A)
}
