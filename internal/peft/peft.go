// Package peft knows the files of an adapter as PEFT writes and reads them:
// adapter_config.json, and the names of the tensors in adapter_model.safetensors. The computation of
// an adapter is the model's business.
//
// Start reading at Config.
package peft

import (
	"fmt"
	"maps"
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
	// Dropout is the share of A's inputs that is left out at random in training.
	Dropout float64
	// Layers are the decoder layers whose maps are adapted; none names all.
	Layers []int
	// RankPattern and AlphaPattern are the rank and alpha of modules that have others,
	// called as in Targets.
	RankPattern  map[string]int
	AlphaPattern map[string]float64
	// Tied says that an adapter of embeddings that are the head too is the head's as well
	// (ensure_weight_tying).
	Tied bool
	// Transposed says that the base model's linear weights are (in, out) in its files.
	Transposed bool
	Base       string // the folder of the base model, or its name on the hub
}

// RankOf is the rank of the linear map that is called module in files.
func (c *Config) RankOf(module string) int {
	if key, ok := patternOf(c.RankPattern, module); ok {
		return c.RankPattern[key]
	}
	return c.Rank
}

// AlphaOf is its alpha.
func (c *Config) AlphaOf(module string) float64 {
	if key, ok := patternOf(c.AlphaPattern, module); ok {
		return c.AlphaPattern[key]
	}
	return c.Alpha
}

// ScaleOf is its s.
func (c *Config) ScaleOf(module string) float64 {
	rank := float64(c.RankOf(module))
	if c.RankStabilised {
		rank = math.Sqrt(rank)
	}
	return c.AlphaOf(module) / rank
}

// Add adds a module, by its whole name, with a rank and an alpha of its own where they
// differ from the first one's. An alpha of 0 makes the scale 1.
func (c *Config) Add(module string, rank int, alpha float64) {
	if alpha == 0 {
		alpha = float64(rank)
	}
	if len(c.Targets) == 0 {
		c.Rank, c.Alpha = rank, alpha
	}
	c.Targets = append(c.Targets, module)
	if rank != c.Rank {
		if c.RankPattern == nil {
			c.RankPattern = map[string]int{}
		}
		c.RankPattern[module] = rank
	}
	if alpha != c.Alpha {
		if c.AlphaPattern == nil {
			c.AlphaPattern = map[string]float64{}
		}
		c.AlphaPattern[module] = alpha
	}
}

// patternOf is the key that names module; CheckPatterns holds that it is the only one.
func patternOf[V any](pattern map[string]V, module string) (key string, ok bool) {
	for k := range pattern {
		if Names(k, module) {
			return k, true
		}
	}
	return "", false
}

// CheckPatterns refuses ranks and alphas that are none, keys that name no module of
// modules, and two that name the same: PEFT takes the first of its file.
func (c *Config) CheckPatterns(modules []string) error {
	for key, r := range c.RankPattern {
		if r < 1 || r > MaxRank {
			return fmt.Errorf("rank_pattern: the rank of %q is %d, must be 1 to %d", key, r, MaxRank)
		}
	}
	for key, a := range c.AlphaPattern {
		if !(a > 0) || math.IsInf(a, 0) {
			return fmt.Errorf("alpha_pattern: the alpha of %q is %v, must be positive", key, a)
		}
	}
	if err := checkKeys("rank_pattern", c.RankPattern, modules); err != nil {
		return err
	}
	return checkKeys("alpha_pattern", c.AlphaPattern, modules)
}

func checkKeys[V any](what string, pattern map[string]V, modules []string) error {
	used := map[string]bool{}
	for _, m := range modules {
		var keys []string
		for k := range pattern {
			if Names(k, m) {
				keys = append(keys, k)
				used[k] = true
			}
		}
		if slices.Sort(keys); len(keys) > 1 {
			return fmt.Errorf("%s: %q and %q both name %s: leave one of them", what, keys[0], keys[1], m)
		}
	}
	for _, k := range slices.Sorted(maps.Keys(pattern)) {
		if !used[k] {
			return fmt.Errorf("%s: %q names no module that is adapted: it is a module's name or the end of one after a dot; "+
				"patterns are not read", what, k)
		}
	}
	return nil
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
	TableA    = ".lora_embedding_A" // of an embedding
	TableB    = ".lora_embedding_B"
)

// BaseLayer is the end of a tensor that repeats the base model's: PEFT saves those of
// adapted embeddings and heads too.
const BaseLayer = ".base_layer.weight"

// Tensor is the name in the file of an adapter of the parameter that is called name in the model.
func Tensor(name string) string { return prefix + name }

// module is the module that a tensor of the file adapts; false for other tensors.
func module(tensor string) (string, bool) {
	name, ok := strings.CutPrefix(tensor, prefix)
	if !ok {
		return "", false
	}
	return Module(name)
}

// Module is the module whose A a tensor of the model is; false for other tensors.
func Module(tensor string) (string, bool) {
	if m, ok := strings.CutSuffix(tensor, TableA); ok {
		return m, true
	}
	return strings.CutSuffix(tensor, A)
}
