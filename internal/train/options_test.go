package train

import (
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"concord/internal/config"
	"concord/internal/corpus"
	"concord/internal/peft"
	"concord/internal/step"
	"concord/internal/train/traintest"
)

// elsewhere are keys of these sections that no package below takes as an option.
var elsewhere = map[string]string{
	"memory.fit": "the plan before the run", "cluster.workers": "the coordinator", "cluster.shares": "the coordinator", "cluster.deadline": "the coordinator",
	"cluster.check_every": "the coordinator", "cluster.silence": "the members", "cluster.upload_limit": "the host", "cluster.wan": "the host",
	"cluster.join_hours": "the host", "cluster.join_uses": "the host", "cluster.relay": "the coordinator",
}

// Each setting of the data, of a step, of the device and of the exchange changes the options that are
// made of it: none is dropped on the way.
func TestEverySettingBecomesAnOption(t *testing.T) {
	base := func(key string) []string { // what the setting is about
		switch {
		case strings.HasPrefix(key, "cluster."):
			return []string{"cluster.listen=:0"}
		case strings.HasPrefix(key, "adapter.") && key != "adapter.kind" && key != "adapter.from":
			return []string{"adapter.kind=lora"}
		case strings.HasPrefix(key, "objective.noise."):
			return []string{"objective.noise.halves=true"}
		case key == "schedule.epochs":
			return []string{"schedule.steps=0", "schedule.epochs=2"}
		case key == "schedule.tokens":
			return []string{"schedule.steps=0", "schedule.tokens=500"}
		}
		return nil
	}
	values := map[string]string{ // where the reference's example is the default, or goes with nothing here
		"objective.every": "2", "objective.in_flight": "3", "objective.gram": "ghost", "objective.noise.debias": "true", "objective.noise.ema": "0.5",
		"objective.noise.floor": "0.3", "objective.noise.halves": "false", "objective.weights": "{aa = 2.0}", "objective.preferences": "{aa = 2.0}",
		"batch.logits_chunk": "64", "batch.rows": "4", "batch.seq_len": "32", "optim.eps": "1e-6", "optim.clip": "2.0", "optim.weight_decay": "0.1",
		"device.gemm": "direct-1x1", "device.autotune": "true", "device.read_timeout": "77", "cluster.sync": "parameters", "cluster.listen": "",
		"cluster.outer_momentum": "0.6", "cluster.outer_lr": "0.3", "cluster.outer": "3", "cluster.resolve": "local", "objective.method": "mgda", "schedule.warmup": "2", "schedule.epochs": "3", "data.max_len": "8", "schedule.min_ratio": "0.5",
	}
	values["adapter.from"] = t.TempDir()
	traintest.WriteFile(t, filepath.Join(values["adapter.from"], peft.ConfigFile), `{"peft_type":"LORA","r":3,"target_modules":["q_proj"]}`)
	values["adapter.kind"] = "rslora"
	tinyFile = tiny(t).Path()
	c, err := OpenCorpus(tiny(t))
	if err != nil {
		t.Fatal(err)
	}
	whole := func(key string, override ...string) string {
		t.Helper()
		cfg, err := config.Load(tinyFile, append(base(key), override...))
		if err != nil {
			return "refused: " + err.Error()
		}
		return describe(cfg, c)
	}
	seen := 0
	for _, k := range config.Keys() {
		section, _, _ := strings.Cut(k.Name, ".")
		if !slices.Contains([]string{"adapter", "device", "objective", "batch", "optim", "schedule", "cluster", "memory", "probe", "data"},
			section) && k.Name != "eval.patience" ||
			strings.HasPrefix(k.Name, "objective.override") || strings.HasPrefix(k.Name, "data.source") || elsewhere[k.Name] != "" {
			continue
		}
		v, ok := values[k.Name]
		if !ok {
			_, v, _ = strings.Cut(k.Example, " = ")
		}
		seen++
		switch got := whole(k.Name, k.Name+"="+v); {
		case got == whole(k.Name):
			t.Errorf("%s = %s changes no option", k.Name, v)
		case strings.HasPrefix(got, "refused"):
			t.Errorf("%s = %s: %s", k.Name, v, got)
		}
	}
	if seen < 55 {
		t.Errorf("only %d settings were tried", seen)
	}
	for key := range maps.Keys(values) {
		if elsewhere[key] != "" {
			t.Errorf("%s is tried and is not", key)
		}
	}
}

var tinyFile string

// describe is everything that becomes of the settings, functions left out. Identity has
// all of [objective] as it is, and would hide what is dropped.
func describe(cfg *config.Config, c *corpus.Corpus) string {
	langs := []string{"aa", "bb", "cc"}
	o := objectiveOptions(cfg, langs, []float64{1, 1, 1})
	for i := range o.Overrides {
		o.Overrides[i].Fits = nil
	}
	files, err := corpusOptions(cfg)
	if err != nil {
		return "refused: " + err.Error()
	}
	files.Progress = nil
	adapter := fmt.Sprintf("%+v", files.Adapter) // a pointer's fields
	files.Adapter = nil
	s, err := stepSettings(cfg, c)
	if err != nil {
		return "refused: " + err.Error()
	}
	s.Objective, s.Frozen, s.Identity = o, nil, step.Identity{}
	d := DeviceOptions(cfg.Device, nil)
	return fmt.Sprintf("%+v\n%s\n%+v\n%+v\n%+v", files, adapter, s, d, exchangeOptions(cfg))
}

// A mistake that a package below finds in a setting is shown at its place in the run file.
func TestLocated(t *testing.T) {
	cfg := tiny(t, "objective.method=mean", "objective.metric=adam")
	_, err := Open(cfg, io.Discard)
	if err == nil || !strings.HasPrefix(err.Error(), "-o objective.metric: ") {
		t.Errorf("refused with %v", err)
	}
	cfg = tiny(t, "device.gemm=none-such")
	_, opened := Open(cfg, io.Discard)
	_, evaluated := Evaluate(t.Context(), cfg, "", UI{Out: io.Discard})
	_, hidden := HiddenStates(t.Context(), cfg, "", 1, UI{Out: io.Discard})
	cfg.Memory.Fit = config.FitAuto
	_, fitted := Run(t.Context(), cfg, UI{Out: io.Discard})
	for _, err := range []error{opened, evaluated, hidden, fitted} {
		if err == nil || !strings.HasPrefix(err.Error(), "-o device.gemm: ") {
			t.Errorf("refused with %v", err)
		}
	}
}
