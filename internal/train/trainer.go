// Package train is where everything meets: a run file becomes a model, data, a
// device and the loop over steps, with evaluation, checkpoints and reports.
//
// Run and Resume (run.go) drive the loop (session.go), whose steps are
// step.Trainer's; how machines share a step is package exchange's, and the use of a model
// without training it is package infer's. Everything here is driven by one
// goroutine.
package train

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"concord/gpu"
	"concord/internal/config"
	"concord/internal/corpus"
	"concord/internal/device"
	"concord/internal/exchange"
	"concord/internal/fault"
	"concord/internal/model"
	"concord/internal/step"
	"concord/tensor"
)

// Trainer holds a run's state on the device.
type Trainer struct {
	*step.Trainer
	cfg      *config.Config
	corpus   *corpus.Corpus
	exchange exchange.Exchange
	machines *exchange.Distributed // the run's other machines; nil on one
	leads    func() error          // why this machine, which led equal ones, leads no more; nil elsewhere
	recent   *recentSteps          // of equal machines: the next leader records those that nobody has
	gather   bool                  // the first step waits for as many machines as if it were the run's first
}

// Open prepares a run without starting it or writing anything: for benchmarks
// and tests, which call Step themselves. Close frees it.
func Open(cfg *config.Config, warn io.Writer) (*Trainer, error) { return openTrainer(cfg, warn, false) }

// OpenOwnRows is Open with the gradient rows in memory of their own, never in
// that of activations: for measuring the saving of that reuse.
func OpenOwnRows(cfg *config.Config, warn io.Writer) (*Trainer, error) {
	return openTrainer(cfg, warn, true)
}

func openTrainer(cfg *config.Config, warn io.Writer, ownRows bool) (*Trainer, error) {
	c, err := OpenCorpus(cfg)
	if err != nil {
		return nil, err
	}
	cfg, engine, err := fit(cfg, c, warn)
	if err != nil {
		return nil, err
	}
	t, err := trainerOn(engine, cfg, c, nil, warn, ownRows)
	if err != nil {
		return nil, err
	}
	if err := t.loadBase(); err != nil {
		t.Close()
		return nil, err
	}
	return t, nil
}

// newTrainer allocates everything on the device. choices are the kernel
// variants of an earlier part of the run, nil to choose anew. The weights are
// still zero: call loadBase or restore.
func newTrainer(cfg *config.Config, c *corpus.Corpus, choices map[string]string, warn io.Writer, ownRows bool) (*Trainer, error) {
	return trainerOn(nil, cfg, c, choices, warn, ownRows)
}

// trainerOn is newTrainer on an engine, nil for that of the adapter that cfg asks for.
// Where it fails the engine is closed.
func trainerOn(e *tensor.Engine, cfg *config.Config, c *corpus.Corpus, choices map[string]string, warn io.Writer,
	ownRows bool) (made *Trainer, err error) {
	defer func() {
		if err != nil {
			closeDevice(e)
		}
	}()
	if err := fitsModel(cfg, c.Model); err != nil {
		return nil, err
	}
	t := &Trainer{cfg: cfg, corpus: c}
	dev := DeviceOptions(cfg.Device, warn)
	dev.Choices = choices
	x := exchangeOptions(cfg)
	settings, err := stepSettings(cfg, c)
	if err != nil {
		return nil, err
	}
	t.Trainer, err = step.New(step.Options{Settings: settings, Arch: c.Model, Sampler: c.Sampler, Steps: c.Steps,
		Needs: x.Needs(), Engine: e, Device: dev, OwnRows: ownRows}, func(r *step.Replica) (step.Exchange, error) {
		var err error
		t.exchange, err = exchange.New(r, x)
		return t.exchange, err
	})
	if err != nil {
		return nil, located(cfg, err)
	}
	for _, note := range c.Model.Notes {
		fmt.Fprintln(warn, "concord:", note)
	}
	if cfg.Adapted() && cfg.Model.Init == config.InitRandom {
		fmt.Fprintln(warn, "concord: the base model's random weights are in no file: the adapter will be of use for measuring only")
	}
	if n, ok := t.exchange.(exchange.Networked); ok {
		t.machines, t.recent = n.Machines(), &recentSteps{}
	}
	return t, nil
}

// Memory is the device memory in use, by role.
func (t *Trainer) Memory() gpu.Memory { return t.Engine.Dev.Memory() }

// Device is the device that the trainer runs on.
func (t *Trainer) Device() *gpu.Device { return t.Engine.Dev }

// loadBase fills the weights: the base model's, or random ones from the seed, and those
// that an adapter begins with.
func (t *Trainer) loadBase() error {
	err := t.loadModel()
	if err != nil || t.Arch.Adapter == nil {
		return err
	}
	if from := t.cfg.Adapter.From; from != "" {
		return device.LoadAdapter(t.Engine, t.Arch, t.Store, t.cfg.Resolve(from))
	}
	return fault.Classify(model.InitAdapter(t.Engine, t.Arch, t.Store, t.cfg.Run.Seed))
}

func (t *Trainer) loadModel() error {
	if t.cfg.Model.Init == config.InitRandom {
		return fault.Classify(model.InitRandom(t.Engine, t.Arch, t.Store, t.cfg.Run.Seed))
	}
	return device.LoadWeights(t.Engine, t.Arch, t.Store, t.cfg.Resolve(t.cfg.Model.Path))
}

// fitsModel refuses settings that the model cannot take.
func fitsModel(cfg *config.Config, c model.Config) error {
	if err := c.CheckAdapter(); err != nil {
		fix := `targets = "all-linear"  # in [adapter]`
		if errors.Is(err, model.ErrSave) {
			fix = `save = ""  # in [adapter]; or one of these`
		}
		if cfg.Adapter.From != "" { // whose settings are its own
			fix = "another adapter for [adapter] from; or merge this one into its base with PEFT (merge_and_unload), and train that model"
		}
		return &config.Error{Where: cfg.Where("adapter"), Msg: err.Error(), Fix: fix}
	}
	names := model.ParamSpecs(c)
	for i, o := range cfg.Objective.Override {
		if !slices.ContainsFunc(names, func(s model.Spec) bool { return o.Matches(s.Name) }) {
			return &config.Error{Where: cfg.Where(fmt.Sprintf("objective.override.%d.match", i)),
				Msg: fmt.Sprintf("%q fits none of the model's parameters, such as %s", o.Match, names[len(names)-1].Name), Fix: `match = "*embed*"`}
		}
	}
	for _, p := range cfg.Model.Freeze {
		if !slices.ContainsFunc(names, func(s model.Spec) bool { return config.Override{Match: p}.Matches(s.Name) }) {
			return &config.Error{Where: cfg.Where("model.freeze"), Msg: fmt.Sprintf("%q fits none of the model's parameters, such as %s", p,
				names[len(names)-1].Name), Fix: `freeze = ["*embed*"]`}
		}
		if c.Adapter != nil && !slices.ContainsFunc(names,
			func(s model.Spec) bool { return !s.Frozen && config.Override{Match: p}.Matches(s.Name) }) {
			return &config.Error{Where: cfg.Where("model.freeze"), Msg: fmt.Sprintf("%q fits parameters of the base model "+
				"only, which an adapter leaves as they are", p), Fix: "freeze = []"}
		}
	}
	if !slices.ContainsFunc(names, func(s model.Spec) bool { return !frozen(cfg, s) }) {
		return &config.Error{Where: cfg.Where("model.freeze"), Msg: "all of the model's parameters are frozen: nothing is left to train",
			Fix: `freeze = ["*embed*"]`}
	}
	if cfg.Model.BaseType != "" && !slices.ContainsFunc(names, func(s model.Spec) bool { return frozen(cfg, s) && !s.Kind.Vector() }) {
		return &config.Error{Where: cfg.Where("model.base_type"), Msg: "base_type is for matrices that are not trained, and all are",
			Fix: `kind = "lora"  # in [adapter]`}
	}
	if e := cfg.Model.EmbeddingType; e != "" && !slices.ContainsFunc(names,
		func(s model.Spec) bool { return frozen(cfg, s) && device.OfVocabulary(s) }) {
		return &config.Error{Where: cfg.Where("model.embedding_type"),
			Msg: fmt.Sprintf("%q is for embeddings and head that are not trained, and they are", e), Fix: `embedding_type = ""`}
	}
	return tooLong(cfg, c)
}

// tooLong refuses rows that the model has no positions for.
func tooLong(cfg *config.Config, c model.Config) error {
	if cfg.Batch.SeqLen <= c.MaxPositions {
		return nil
	}
	return &config.Error{Where: cfg.Where("batch.seq_len"),
		Msg: fmt.Sprintf("batch.seq_len: %d, the model's max_position_embeddings is %d", cfg.Batch.SeqLen, c.MaxPositions),
		Fix: fmt.Sprintf("seq_len = %d", c.MaxPositions)}
}

// logEvery is how many steps lie between two lines on the screen.
func (t *Trainer) logEvery() int {
	if t.cfg.OuterSteps() > 0 {
		return 1
	}
	return t.cfg.Log.Every
}

// gramEvery is log.gram_every, by default such that a run has about 200.
func (t *Trainer) gramEvery() int {
	if n := t.cfg.Log.GramEvery; n > 0 {
		return n
	}
	return max(1, t.Steps/200)
}

// crossed says that a multiple of every was reached with the last step, or passed
// with the last outer step.
func (t *Trainer) crossed(every int) bool {
	last := 1
	if h := t.cfg.OuterSteps(); h > 0 {
		last = (t.Done-1)%h + 1
	}
	return t.Done/every != (t.Done-last)/every
}
