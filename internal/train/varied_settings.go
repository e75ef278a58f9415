package train

import (
	"concord/internal/config"
	"concord/internal/data"
	"concord/internal/objective"
)

// Settings are those of a run that other packages read and change: benchmarks,
// comparisons and audits. They have the names of their sections and keys, whose meanings
// are in docs/config.md.
type Settings struct {
	Run        RunSettings
	Freeze     []string // patterns of parameters' names that are not trained
	Adapter    AdapterSettings
	Data       DataSettings
	Batch      BatchSettings
	Objective  ObjectiveSettings
	LR         float64 // the highest learning rate
	Schedule   ScheduleSettings
	Eval       EvalSettings
	Checkpoint CheckpointSettings
	GramEvery  int // steps between snapshots of the Grams; 0: about 200 in a run
}

// RunSettings name the run, whose folder is Dir/Name.
type RunSettings struct {
	Dir, Name string
	Seed      uint64
}

// AdapterSettings are those of an adapter; without Kind and From the model itself is trained.
type AdapterSettings struct {
	Kind    string
	From    string // an adapter's folder, whose settings are then its own
	Rank    int
	Alpha   float64
	Targets []string
}

// DataSettings are the texts and how they are drawn.
type DataSettings struct {
	Sources     []Source
	Align       Align
	IID         bool    // the language of each row is drawn by itself
	Temperature float64 // languages are drawn in proportion to tokens^(1/T)
	MaxRepeat   float64
}

// Align is how examples of several languages are told to be of one text; "" they are not.
type Align string

// The ways.
const (
	AlignKey  Align = "key"  // by a column
	AlignLine Align = "line" // by the number of the line
)

// Source is a language's data, or that of several in the same files.
type Source struct {
	Lang          string
	Path, Heldout []string // relative to the run file
	Holdout       float64
	Train         bool
	TrainOn       string
	LangColumn    string
	Langs         []string
	Key           string

	form config.Source // how files are read: the settings besides these
}

// BatchSettings are the rows of a micro-batch, and the micro-batches of a step.
type BatchSettings struct{ Rows, Accumulate int }

// Scope is the group of parameters that is resolved together, as a run file writes it:
// "tensor", "25MB" and those below; "" is none given.
type Scope string

// The scopes that others speak of.
const (
	ScopeLayer  Scope = "layer"
	ScopeGlobal Scope = "global"
)

// ObjectiveSettings are how gradients are resolved.
type ObjectiveSettings struct {
	Method               string
	Scope                Scope // "" leaves the run file's
	Options              map[string]any
	Weights, Preferences map[string]float64
	Control              string         // moo.ControlNorm, moo.ControlDirection or ""
	AdamMetric           bool           // the Gram's metric is the optimizer's
	Gram                 objective.Gram // how linear layers' Grams are computed
	Halves               bool           // the noise is measured from halves of each language's batch
}

// ScheduleSettings are the length of the run, in one of three measures, and its warm-up.
type ScheduleSettings struct {
	Steps  int
	Epochs float64
	Tokens int
	Warmup float64 // steps; below 1 a share of the run
}

// EvalSettings say when to measure, and how much.
type EvalSettings struct {
	Every, Rows, Patience, Samples, SampleTokens int
	Error                                        float64 // the examples are as many as it takes; 0: Rows
	Seed                                         uint64  // draws the examples
	MinGain                                      float64
	First, Last                                  bool
}

// CheckpointSettings are which checkpoints are kept.
type CheckpointSettings struct {
	Every, Keep int
	Best        bool
}

// settingsOf are those of cfg.
func settingsOf(cfg *config.Config) Settings {
	a, d, o, s, e := cfg.Adapter, cfg.Data, cfg.Objective, cfg.Schedule, cfg.Eval
	out := Settings{
		Run: RunSettings{cfg.Run.Dir, cfg.Run.Name, cfg.Run.Seed}, Freeze: cfg.Model.Freeze,
		Adapter: AdapterSettings{string(a.Kind), a.From, a.Rank, a.Alpha, a.Targets},
		Data:    DataSettings{Align: Align(d.Align), IID: d.Mixing == data.IID, Temperature: d.Temperature, MaxRepeat: d.MaxRepeat},
		Batch:   BatchSettings{cfg.Batch.Rows, cfg.Batch.Accumulate},
		Objective: ObjectiveSettings{Method: string(o.Method), Scope: Scope(o.Scope.String()), Options: o.Options, Weights: o.Weights,
			Preferences: o.Preferences, Control: string(o.Control), AdamMetric: o.Metric == config.MetricAdam, Gram: grams[o.Gram],
			Halves: o.Noise.Halves},
		LR: cfg.Optim.LR, Schedule: ScheduleSettings{s.Steps, s.Epochs, s.Tokens, s.Warmup},
		Eval: EvalSettings{Every: e.Every, Rows: e.Rows, Patience: e.Patience, Samples: e.Samples, SampleTokens: e.SampleTokens,
			Error: e.Error, Seed: e.Seed, MinGain: e.MinGain, First: e.First, Last: e.Last},
		Checkpoint: CheckpointSettings{cfg.Checkpoint.Every, cfg.Checkpoint.Keep, cfg.Checkpoint.Best}, GramEvery: cfg.Log.GramEvery,
	}
	for _, x := range d.Source {
		out.Data.Sources = append(out.Data.Sources, Source{Lang: x.Lang, Path: x.Path, Heldout: x.Heldout, Holdout: x.Holdout, Train: x.Train,
			TrainOn: string(x.TrainOn), LangColumn: x.LangColumn, Langs: x.Langs, Key: x.Key, form: x})
	}
	return out
}

// into puts the settings in their places, but for the scope.
func (s Settings) into(c *config.Config) {
	c.Run.Dir, c.Run.Name, c.Run.Seed, c.Model.Freeze = s.Run.Dir, s.Run.Name, s.Run.Seed, s.Freeze
	c.Adapter.Kind, c.Adapter.From, c.Adapter.Rank = config.AdapterKind(s.Adapter.Kind), s.Adapter.From, s.Adapter.Rank
	c.Adapter.Alpha, c.Adapter.Targets = s.Adapter.Alpha, s.Adapter.Targets
	c.Data.Align, c.Data.Temperature, c.Data.MaxRepeat = config.Align(s.Data.Align), s.Data.Temperature, s.Data.MaxRepeat
	if c.Data.Mixing = config.MixingStratified; s.Data.IID {
		c.Data.Mixing = config.MixingIID
	}
	c.Data.Source = nil
	for _, x := range s.Data.Sources {
		c.Data.Source = append(c.Data.Source, x.config())
	}
	c.Batch.Rows, c.Batch.Accumulate = s.Batch.Rows, s.Batch.Accumulate
	s.Objective.into(&c.Objective)
	c.Optim.LR = s.LR
	c.Schedule.Steps, c.Schedule.Epochs, c.Schedule.Tokens = s.Schedule.Steps, s.Schedule.Epochs, s.Schedule.Tokens
	c.Schedule.Warmup = s.Schedule.Warmup
	c.Eval = config.Eval{Every: s.Eval.Every, Rows: s.Eval.Rows, Patience: s.Eval.Patience, MinGain: s.Eval.MinGain, Samples: s.Eval.Samples,
		SampleTokens: s.Eval.SampleTokens, Error: s.Eval.Error, Seed: s.Eval.Seed, First: s.Eval.First, Last: s.Eval.Last}
	c.Checkpoint = config.Checkpoint{Every: s.Checkpoint.Every, Keep: s.Checkpoint.Keep, Best: s.Checkpoint.Best}
	c.Log.GramEvery = s.GramEvery
}

func (s ObjectiveSettings) into(o *config.Objective) {
	o.Method, o.Options, o.Weights, o.Preferences = config.Method(s.Method), s.Options, s.Weights, s.Preferences
	o.Control, o.Noise.Halves = config.Control(s.Control), s.Halves
	if o.Metric = config.MetricEuclidean; s.AdamMetric {
		o.Metric = config.MetricAdam
	}
	for text, gram := range grams {
		if gram == s.Gram {
			o.Gram = text
		}
	}
}

// config is the source as a run file has it.
func (s Source) config() config.Source {
	c := s.form
	c.Lang, c.Path, c.Heldout, c.Holdout, c.Train = s.Lang, s.Path, s.Heldout, s.Holdout, s.Train
	c.TrainOn, c.LangColumn, c.Langs, c.Key = config.TrainOn(s.TrainOn), s.LangColumn, s.Langs, s.Key
	return c
}
