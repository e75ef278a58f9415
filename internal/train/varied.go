package train

import (
	"context"
	"io"
	"path/filepath"

	"concord/internal/config"
	"concord/internal/data"
	"concord/internal/fault"
)

// Varied is a run file whose runs packages make that do not know run files: with settings
// of their own in the place of its own. A copy is varied by itself; maps and lists are
// shared until they are replaced.
type Varied struct {
	Settings
	cfg *config.Config
}

// Vary takes the settings of cfg, which is not changed.
func Vary(cfg *config.Config) Varied { return Varied{settingsOf(cfg), cfg} }

// Plain is the run by itself, on one machine: objective, probes and log are as without a
// run file.
func (v Varied) Plain() Varied {
	usual, c := config.Default(), *v.cfg
	c.Objective, c.Cluster, c.Probe, c.Log = usual.Objective, usual.Cluster, usual.Probe, usual.Log
	v.cfg, v.Objective, v.GramEvery = &c, settingsOf(usual).Objective, usual.Log.GramEvery
	return v
}

// File is the path of the run file.
func (v Varied) File() string { return v.cfg.Path() }

// Folder is that of the run.
func (v Varied) Folder() string { return filepath.Join(v.Run.Dir, v.Run.Name) }

// ModelPath is where the base model is.
func (v Varied) ModelPath() string { return v.cfg.Resolve(v.cfg.Model.Path) }

// Documents is the data of a source of the run.
func (v Varied) Documents(s Source) data.Source {
	c := *v.cfg
	c.Data.Align = config.Align(v.Data.Align)
	return sourceOf(&c, s.config())
}

// Resolve makes paths, as a source has them, relative to the working directory.
func (v Varied) Resolve(paths []string) []string { return v.cfg.ResolveAll(paths) }

// OnCommandLine says that a setting was given there.
func (v Varied) OnCommandLine(key string) bool { return v.cfg.Origin(key) == "-o" }

// Where is the place in which a setting was written.
func (v Varied) Where(key string) string { return v.cfg.Where(key) }

// Located gives a mistake in a setting its place in the run file.
func (v Varied) Located(err error) error { return located(v.cfg, err) }

// InBackward says that parameters are updated in the backward pass.
func (v Varied) InBackward() bool { return v.cfg.Optim.InBackward }

// SecondMoments says that the optimizer keeps the second moment of each value in float32.
func (v Varied) SecondMoments() bool {
	o := v.cfg.Optim
	return o.Name != config.Adafactor && o.Moments != config.MomentsBF16 && o.Moments != config.MomentsInt8
}

// Adapted says that an adapter is trained.
func (v Varied) Adapted() bool { return v.Adapter.Kind != "" || v.Adapter.From != "" }

// Values are the run file's settings by their keys, with overrides and before any change.
func (v Varied) Values() map[string]any {
	out := map[string]any{}
	for _, x := range v.cfg.Values() {
		out[x.Key] = x.Value
	}
	return out
}

// Usual is the value of a setting, by a key of Values, that the run file does not name;
// false for a key that no setting has.
func (v Varied) Usual(key string) (any, bool) { return config.Usual(key) }

// IsSetting says that this program has a setting with a key of Values.
func (v Varied) IsSetting(key string) bool { return config.IsSetting(key) }

// Hashes are the SHA-256 of every file that decides the result, by its name in the run
// file: those that a run's lock has and the base model's weights.
func (v Varied) Hashes() (map[string]string, error) { return hashes(v.cfg) }

// Validate checks the settings together, as those of a run file.
func (v Varied) Validate() error {
	c, err := v.config()
	if err != nil {
		return err
	}
	return c.Validate()
}

// CheckObjective checks the objective for the languages trained on, as Train does.
func (v Varied) CheckObjective(langs []string) error {
	c, err := v.config()
	if err != nil {
		return err
	}
	return checkObjective(c, langs)
}

// Check reads everything that the run needs but its weights; no device is opened.
func (v Varied) Check() (Plan, error) {
	c, err := v.config()
	if err != nil {
		return Plan{}, err
	}
	return Check(c)
}

// Train makes the run; see Run.
func (v Varied) Train(ctx context.Context, ui UI) (*Summary, error) {
	c, err := v.config()
	if err != nil {
		return nil, err
	}
	return Run(ctx, c, ui)
}

// SampleSize is how many held-out examples of a language Eval.Error takes on the base
// model, the most of all languages: the runs of a study measure so many of each. It is
// refused where there is no base model to ask.
func (v Varied) SampleSize(ctx context.Context, ui UI) (int, error) {
	c, err := v.config()
	if err != nil {
		return 0, err
	}
	return sampleSize(ctx, c, ui)
}

// Open prepares steps of this machine alone; ownRows keeps gradient rows in memory of
// their own, see OpenOwnRows.
func (v Varied) Open(warn io.Writer, ownRows bool) (*Trainer, error) {
	c, err := v.config()
	if err != nil {
		return nil, err
	}
	c.Cluster.Listen = ""
	return openTrainer(c, warn, ownRows)
}

// config is the run file with the settings in their places.
func (v Varied) config() (*config.Config, error) {
	c, scope := *v.cfg, v.Objective.Scope
	v.Settings.into(&c)
	if scope == "" {
		return &c, nil
	}
	parsed, err := config.ParseScope(string(scope))
	if err != nil {
		return nil, located(v.cfg, &fault.Setting{Key: "objective.scope", Msg: err.Error()})
	}
	c.Objective.Scope = parsed
	return &c, nil
}
