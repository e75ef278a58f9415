package train

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"reflect"

	"concord/bucket"
	"concord/internal/config"
	"concord/internal/corpus"
	"concord/internal/device"
	"concord/internal/exchange"
	"concord/internal/fault"
	"concord/internal/model"
	"concord/internal/objective"
	"concord/internal/optim"
	"concord/internal/step"
	"concord/moo"
	"concord/tensor"
	"concord/transport"
)

// The one place where a run file's settings become the options of the packages below:
// none of them knows package config.

// located gives a mistake in a setting its place in the run file.
func located(cfg *config.Config, err error) error {
	s := (*fault.Setting)(nil)
	if !errors.As(err, &s) {
		return err
	}
	return &config.Error{Where: cfg.Where(s.Key), Msg: s.Msg, Fix: s.Fix}
}

// DeviceOptions are those of [device]; warnings go to warn.
func DeviceOptions(d config.Device, warn io.Writer) device.Options {
	return device.Options{Adapter: d.Adapter, Backend: string(d.Backend), MemoryBudget: int64(d.Memory),
		ReadDeadline: d.ReadTimeout.Duration(),
		NoAutotune:   !d.Autotune, Variant: d.GEMM, CacheDir: d.CacheDir, Warn: warn}
}

// objectiveOptions are those of [objective] for the languages trained on. tokens are
// their supervised training tokens.
func objectiveOptions(cfg *config.Config, langs []string, tokens []float64) objective.Options {
	c := cfg.Objective
	o := objective.Options{
		Langs: langs, Tokens: tokens, Seed: cfg.Run.Seed, Shared: cfg.Clustered(),
		LocalResolve: cfg.Clustered() && cfg.Cluster.Local(), BatchTokens: cfg.Batch.Rows * cfg.Batch.SeqLen,
		Method: string(c.Method), MethodOptions: c.Options, Weights: c.Weights, Preferences: c.Preferences,
		Wrapping: moo.Wrapping{EMA: c.EMA, Project: string(c.Project), Control: string(c.Control)},
		Every:    c.Every, Warmup: c.Warmup, AdamMetric: c.Metric == config.MetricAdam, Gram: grams[c.Gram], InFlight: c.InFlight,
		Noise: objective.Noise{Halves: c.Noise.Halves, Debias: c.Noise.Debias, EMA: c.Noise.EMA, Floor: c.Noise.Floor},
	}
	if c.Normalise != config.NormaliseNone {
		o.Wrapping.Normalise = string(c.Normalise)
	}
	for _, v := range c.Override {
		o.Overrides = append(o.Overrides, objective.Override{Match: v.Match, Fits: v.Matches, Method: string(v.Method), Options: v.Options})
	}
	return o
}

var grams = map[config.Gram]objective.Gram{config.GramAuto: objective.GramAuto, config.GramRows: objective.GramRows,
	config.GramGhost: objective.GramGhost}

// scopeOf is the scope of buckets that a run file asks for.
func scopeOf(s config.Scope) bucket.Scope {
	switch s {
	case config.ScopeTensor:
		return bucket.ByTensor
	case config.ScopeGlobal:
		return bucket.Global
	case config.ScopeLayer:
		return bucket.ByLayer
	}
	return bucket.BySize(int64(s) << 20)
}

// settings are a run's that decide its steps.
func stepSettings(cfg *config.Config, c *corpus.Corpus) (step.Settings, error) {
	base, err := baseOf(cfg)
	if err != nil {
		return step.Settings{}, err
	}
	langs := c.Sampler.Languages()
	o := cfg.Optim
	return step.Settings{
		Rows: cfg.Batch.Rows, SeqLen: cfg.Batch.SeqLen, Accumulate: cfg.Batch.Accumulate, LogitsChunk: cfg.Batch.LogitsChunk,
		Checkpointing: cfg.Memory.Checkpointing, InBackward: o.InBackward, ProbeEvery: cfg.Probe.Every, Seed: cfg.Run.Seed,
		Scope: scopeOf(cfg.Objective.Scope), Objective: objectiveOptions(cfg, langs, c.TrainTokens(langs)),
		Frozen: func(s model.Spec) bool { return frozen(cfg, s) }, KeepsBase: cfg.KeepsBase(), Base: base, Types: stateTypes(cfg),
		Optim: optim.Config{Beta1: o.Betas[0], Beta2: o.Betas[1], Eps: o.Eps, WeightDecay: o.WeightDecay, Clip: o.Clip, Seed: cfg.Run.Seed,
			Factored: o.Name == config.Adafactor},
		Schedule: optim.Schedule{Shape: schedules[cfg.Schedule.Kind], LR: o.LR, MinRatio: cfg.Schedule.MinRatio,
			Warmup: warmup(cfg.Schedule, c.Steps), Total: int64(c.Steps)},
		Identity: identity(cfg),
	}, nil
}

// baseOf is the form in which frozen weights lie in the device.
func baseOf(cfg *config.Config) (base device.Base, err error) {
	base = device.BaseOf(baseTypes[cfg.Model.BaseType])
	if cfg.Model.BaseType == config.BaseGGUF {
		base, err = device.BaseInFile(cfg.Resolve(cfg.Model.Path))
	}
	if e := cfg.Model.EmbeddingType; e != "" {
		base = device.Embedded(base, baseTypes[e])
	}
	return base, err
}

// frozen picks the parameters that are not trained: the base of an adapter, and those that
// the run file freezes.
func frozen(cfg *config.Config, s model.Spec) bool { return s.Frozen || cfg.Model.Frozen(s.Name) }

var baseTypes = map[config.BaseType]tensor.DType{"": tensor.F32, config.BaseF32: tensor.F32,
	config.BaseBF16: tensor.BF16, config.BaseF16: tensor.F16,
	config.BaseInt8: tensor.Int8,
	config.BaseNF4:  tensor.NF4}

// stateTypes are the element types of the states that the run keeps.
func stateTypes(cfg *config.Config) bucket.Types {
	t := bucket.Types{}
	if cfg.Model.Dtype == config.BF16 {
		t[bucket.Weight] = tensor.BF16
	}
	switch cfg.Optim.Moments {
	case config.MomentsBF16:
		t[bucket.First], t[bucket.Second] = tensor.BF16, tensor.BF16
	case config.MomentsInt8:
		t[bucket.First], t[bucket.Second] = tensor.Dynamic8, tensor.Dynamic8Root
	}
	return t
}

var schedules = map[config.ScheduleKind]optim.Shape{config.Cosine: optim.Cosine, config.Linear: optim.Linear,
	config.Constant: optim.Constant}

// warmup is schedule.warmup in steps: a fraction of the run when below 1.
func warmup(s config.Schedule, steps int) int64 {
	w := s.Warmup
	if w < 1 {
		w = math.Round(w * float64(steps))
	}
	return int64(min(w, float64(steps)))
}

// exchangeOptions are those of [cluster].
func exchangeOptions(cfg *config.Config) exchange.Options {
	c := cfg.Cluster
	return exchange.Options{Machines: cfg.Clustered(), Local: c.Local(), Sharded: cfg.Sharded(), Codec: codecs[c.Format()],
		Keep: cfg.Checkpoint.Keep, Slice: int(tensor.F32.Elements(int64(c.Slice))),
		OuterSteps: cfg.OuterSteps(), OuterLR: c.OuterLR, OuterMomentum: c.OuterMoment}
}

var codecs = map[config.Wire]transport.Codec{config.WireF32: transport.F32, config.WireBF16: transport.BF16,
	config.WireInt8: transport.Int8}

// identity tells the run's checkpoints from those of another objective.
func identity(cfg *config.Config) step.Identity {
	record, err := json.Marshal(cfg.Objective)
	if err != nil {
		panic("train: settings that a run file holds and JSON does not: " + err.Error())
	}
	return step.Identity{Method: string(cfg.Objective.Method), Scope: cfg.Objective.Scope.String(), Record: record,
		Differs: func(saved json.RawMessage) string {
			var then config.Objective
			if err := json.Unmarshal(saved, &then); err != nil {
				return "settings (" + err.Error() + ")"
			}
			return differs(then, cfg.Objective)
		}}
}

// differs names the first setting in which a and b differ, "" for none. Settings
// that do not decide a step's result may differ.
func differs(a, b config.Objective) string {
	a.InFlight, b.InFlight = 0, 0
	va, vb := reflect.ValueOf(a), reflect.ValueOf(b)
	for i := range va.NumField() {
		x, err := json.Marshal(va.Field(i).Interface())
		y, err2 := json.Marshal(vb.Field(i).Interface())
		same := err == nil && err2 == nil && bytes.Equal(x, y) // numbers, texts, maps: the types that TOML can hold
		if !same && !(va.Field(i).IsZero() && vb.Field(i).IsZero()) {
			return va.Type().Field(i).Tag.Get("toml")
		}
	}
	return ""
}
