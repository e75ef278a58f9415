package config

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Names are one name or several.
type Names = Paths

// Adapted says that an adapter is trained.
func (c *Config) Adapted() bool { return c.Adapter.Kind != "" || c.Adapter.From != "" }

// KeepsBase says that frozen weights are those of the base model's files all along: a
// checkpoint does not have them, nor does the state that a joining machine is sent.
func (c *Config) KeepsBase() bool {
	return c.Adapted() || c.Model.BaseType != "" || c.Model.EmbeddingType != "" || len(c.Model.Freeze) > 0 && c.Model.Init != "random"
}

// baseType refuses a type for frozen weights where everything is trained, and a file's
// where there is none.
func (c *Config) baseType() error {
	if c.Model.BaseType == BaseGGUF {
		switch {
		case !strings.EqualFold(filepath.Ext(c.Model.Path), ".gguf"):
			return c.fail("model.base_type", `path = "model.gguf"; or base_type = "int8"`,
				"%q is for a model.path that is a GGUF file, and %q is none", BaseGGUF, c.Model.Path)
		case c.Model.Init == InitRandom:
			return c.fail("model.base_type", `base_type = "int8"`, "%q is for the weights of the file, and model.init is \"random\"", BaseGGUF)
		}
	}
	if c.Adapted() || len(c.Model.Freeze) > 0 {
		return nil
	}
	key, d := "base_type", c.Model.BaseType
	if d == "" {
		key, d = "embedding_type", c.Model.EmbeddingType
	}
	if d == "" {
		return nil
	}
	return c.fail("model."+key, `kind = "lora"  # in [adapter]; or `+key+` = "", and dtype = "bf16" for weights that are trained`,
		"%q is for weights that are not trained, and all are", d)
}

// adapter checks the settings of [adapter].
func (c *Config) adapter() error {
	a := c.Adapter
	if !c.Adapted() {
		for key := range c.origins {
			if strings.HasPrefix(key, "adapter.") && key != "adapter.kind" && key != "adapter.from" {
				return c.fail(key, `kind = "lora"  # in [adapter]`, "has no effect: no adapter is asked for")
			}
		}
		return nil
	}
	if a.From != "" {
		return c.adapterFrom()
	}
	switch {
	case !(a.Alpha > 0) || math.IsInf(a.Alpha, 0):
		return c.fail("adapter.alpha", "alpha = 32", "%v is not positive", a.Alpha)
	case len(a.Targets) == 0:
		return c.fail("adapter.targets", `targets = "all-linear"`, "nothing is adapted")
	case len(a.Targets) > 1 && slices.Contains(a.Targets, "all-linear"):
		return c.fail("adapter.targets", `targets = "all-linear"`, "%q stands for all: no others beside it", "all-linear")
	}
	return nil
}

// adapterFrom checks that adapter.from is an adapter, and that nothing else is said of it.
func (c *Config) adapterFrom() error {
	for _, key := range []string{"kind", "rank", "alpha", "targets", "save", "dora", "dropout", "layers", "rank_pattern", "alpha_pattern"} {
		if _, given := c.origins["adapter."+key]; given {
			return c.fail("adapter."+key, "remove the line", "adapter.from has its own %s", key)
		}
	}
	dir := c.Resolve(c.Adapter.From)
	if _, err := os.Stat(filepath.Join(dir, "adapter_config.json")); err != nil && !c.restored {
		return c.fail("adapter.from", "from = the folder with adapter_config.json and adapter_model.safetensors",
			"%s is no PEFT adapter: it has no adapter_config.json%s", dir, pathHint(c.Adapter.From))
	}
	return nil
}
