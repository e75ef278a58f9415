package peft

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"concord/internal/safetensors"
)

// file is adapter_config.json. The keys that are written are those that PEFT needs; it fills in the
// rest.
type file struct {
	Type          string             `json:"peft_type"`
	Task          string             `json:"task_type"`
	Base          string             `json:"base_model_name_or_path"`
	Rank          int                `json:"r"`
	Alpha         float64            `json:"lora_alpha"`
	Dropout       float64            `json:"lora_dropout"`
	Targets       json.RawMessage    `json:"target_modules"`
	Save          []string           `json:"modules_to_save"`
	Bias          string             `json:"bias"`
	FanInFanOut   bool               `json:"fan_in_fan_out"`
	RSLoRA        bool               `json:"use_rslora"`
	DoRA          bool               `json:"use_dora"`
	Layers        json.RawMessage    `json:"layers_to_transform,omitempty"`
	RankPattern   map[string]int     `json:"rank_pattern"`
	AlphaPattern  map[string]float64 `json:"alpha_pattern"`
	Tied          bool               `json:"ensure_weight_tying,omitempty"`
	InferenceMode bool               `json:"inference_mode"`
	InitWeights   any                `json:"init_lora_weights"`
}

// refused are the keys that change the output of an adapter and are not read: only
// these values, and none, are accepted of them.
var refused = map[string]string{
	"lora_bias": "false", "use_qalora": "false", "layer_replication": "null",
	"target_parameters": "[]", "trainable_token_indices": "null", "alora_invocation_tokens": "null", "megatron_config": "null",
	"use_bdlora": "null", "arrow_config": "null", "kasa_config": "null", "monteclora_config": "null",
}

// changesBase are ways to begin an adapter that take its first values out of the
// base model's weights: the adapter is of use only with the changed ones.
var changesBase = []string{"pissa", "olora", "corda", "loftq", "lora_ga"}

// JSON is c as adapter_config.json; targets are the modules' names, where c.Targets
// stands for all linear maps.
func (c *Config) JSON(targets []string) ([]byte, error) {
	list, err := json.Marshal(targets)
	if err != nil {
		return nil, err
	}
	f := file{Type: "LORA", Task: "CAUSAL_LM", Base: c.Base, Rank: c.Rank, Alpha: c.Alpha, Dropout: c.Dropout, Targets: list, Save: c.Save,
		Bias: "none", FanInFanOut: c.Transposed, RSLoRA: c.RankStabilised, DoRA: c.DoRA, InferenceMode: true, InitWeights: true,
		RankPattern: c.RankPattern, AlphaPattern: c.AlphaPattern, Tied: c.Tied}
	if f.RankPattern == nil {
		f.RankPattern = map[string]int{} // as PEFT has it
	}
	if f.AlphaPattern == nil {
		f.AlphaPattern = map[string]float64{}
	}
	if len(c.Layers) > 0 {
		if f.Layers, err = json.Marshal(c.Layers); err != nil {
			return nil, err
		}
	}
	b, err := json.MarshalIndent(f, "", "  ")
	return append(b, '\n'), err
}

// Is says that dir is the folder of an adapter.
func Is(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, ConfigFile))
	return err == nil
}

// ReadConfig reads the configuration of the adapter in dir. An adapter that computes
// something else than Config says is refused by the key. Targets that are no list come
// from the names of the adapter's tensors.
func ReadConfig(dir string) (*Config, error) {
	path := filepath.Join(dir, ConfigFile)
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("peft: %w", err)
	}
	c, exact, err := parse(text)
	if err != nil {
		return nil, fmt.Errorf("peft: %s: %w", path, err)
	}
	if !exact {
		if c.Targets, err = modules(dir); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// parse reads adapter_config.json. exact says that it lists the targets.
func parse(text []byte) (c *Config, exact bool, err error) {
	f := file{Type: "LORA", Bias: "none", Rank: 8, Alpha: 8}
	if err := json.Unmarshal(text, &f); err != nil {
		return nil, false, err
	}
	all := map[string]json.RawMessage{}
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, false, err
	}
	if err := f.check(all); err != nil {
		return nil, false, err
	}
	c = &Config{Rank: f.Rank, Alpha: f.Alpha, RankStabilised: f.RSLoRA, DoRA: f.DoRA, Dropout: f.Dropout, Save: f.Save,
		Transposed: f.FanInFanOut, Tied: f.Tied, Base: f.Base}
	if len(f.RankPattern) > 0 {
		c.RankPattern = f.RankPattern
	}
	if len(f.AlphaPattern) > 0 {
		c.AlphaPattern = f.AlphaPattern
	}
	var one string
	if json.Unmarshal(f.Targets, &one) == nil && one == AllLinear {
		c.Targets = []string{AllLinear}
	} else if json.Unmarshal(f.Targets, &c.Targets) != nil {
		c.Targets = nil // a pattern
	}
	picks := func(key string) bool { v := string(all[key]); return v != "" && v != "null" && v != "[]" }
	return c, len(c.Targets) > 0 && !picks("exclude_modules") && !picks("layers_to_transform") && !picks("layers_pattern"), nil
}

func (f file) check(all map[string]json.RawMessage) error {
	switch {
	case f.Type != "LORA":
		return fmt.Errorf("peft_type %q is not supported: LORA is, with use_rslora and use_dora", f.Type)
	case f.Bias != "none":
		return fmt.Errorf("bias %q is not supported: only \"none\" is, where the base model's biases stay", f.Bias)
	case f.Rank < 1 || f.Rank > MaxRank:
		return fmt.Errorf("r is %d, must be 1 to %d", f.Rank, MaxRank)
	case !(f.Alpha > 0) || math.IsInf(f.Alpha, 0):
		return fmt.Errorf("lora_alpha is %v, must be positive", f.Alpha)
	case !(f.Dropout >= 0 && f.Dropout < 1):
		return fmt.Errorf("lora_dropout is %v, must be at least 0 and less than 1", f.Dropout)
	}
	if init, ok := f.InitWeights.(string); ok && slices.ContainsFunc(changesBase,
		func(p string) bool { return strings.HasPrefix(strings.ToLower(init), p) }) {
		return fmt.Errorf("init_lora_weights %q changed the base model's weights, which are not in the adapter's files\n  "+
			"fix: convert it with PEFT's path_initial_model_for_weight_conversion", init)
	}
	for _, key := range slices.Sorted(maps.Keys(refused)) {
		if v, ok := all[key]; ok && string(v) != "null" && string(v) != refused[key] {
			return fmt.Errorf("%s = %s is not supported: the adapter would compute something else\n  fix: merge it with PEFT "+
				"(merge_and_unload, save_pretrained) and give the merged model", key, v)
		}
	}
	return nil
}

// MaxRank bounds the rank: more than any linear map's sides would be of no use.
const MaxRank = 1 << 12

// Open opens the tensors of the adapter in dir.
func Open(dir string) (*safetensors.Reader, error) {
	path := filepath.Join(dir, WeightsFile)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(filepath.Join(dir, "adapter_model.bin")); err == nil {
			return nil, fmt.Errorf("peft: %s has only adapter_model.bin, a PyTorch pickle, which can run code when it is "+
				"opened and is not read: save it with safe_serialization=True", dir)
		}
	}
	r, err := safetensors.Open(path)
	if err != nil {
		return nil, fmt.Errorf("peft: %w", err)
	}
	return r, nil
}

// modules are the modules that the tensors in dir adapt.
func modules(dir string) ([]string, error) {
	r, err := Open(dir)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var out []string
	for _, name := range r.Names() {
		if m, ok := module(name); ok {
			out = append(out, m)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("peft: %s adapts no linear map: it has no tensor …%s", filepath.Join(dir, WeightsFile), A)
	}
	return out, nil
}

// Entries are the tensors of an adapter's file for those of the model by name.
func Entries(tensors []safetensors.Entry) []safetensors.Entry {
	out := slices.Clone(tensors)
	for i := range out {
		out[i].Name = Tensor(out[i].Name)
	}
	return out
}

// Write writes an adapter's folder: its tensors, by the model's names, and last the
// configuration. Each file is replaced atomically.
func Write(dir string, c *Config, targets []string, tensors []safetensors.Entry) error {
	text, err := c.JSON(targets)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("peft: %w", err)
	}
	if err := safetensors.Write(filepath.Join(dir, WeightsFile), Entries(tensors), map[string]string{"format": "pt"}); err != nil {
		return fmt.Errorf("peft: %w", err)
	}
	if err := safetensors.WriteFile(filepath.Join(dir, ConfigFile), text); err != nil {
		return fmt.Errorf("peft: %w", err)
	}
	return nil
}
