package train

import (
	"fmt"
	"io"

	"concord/internal/config"
)

// Varied is a run file whose steps are measured under changes, by packages that do not
// know run files.
type Varied struct{ cfg *config.Config }

// Variation is a change of a run's settings. The zero value leaves them.
type Variation struct {
	Languages int    // trained on: the run file's are cut, or repeated under other names; nothing is evaluated
	Method    string // with options and weights of the run file's only where that has this method
	Global    bool   // all parameters are resolved together
	Whole     bool   // all rows of a step in one batch: no gradient accumulation
	OwnRows   bool   // see OpenOwnRows
}

// Vary takes the settings of cfg.
func Vary(cfg *config.Config) Varied { return Varied{cfg} }

// Path is that of the run file.
func (v Varied) Path() string { return v.cfg.Path() }

// Scope is the run file's objective.scope.
func (v Varied) Scope() string { return v.cfg.Objective.Scope.String() }

// InBackward says that the run file updates parameters in the backward pass.
func (v Varied) InBackward() bool { return v.cfg.Optim.InBackward }

// Located gives a mistake in a setting its place in the run file.
func (v Varied) Located(err error) error { return located(v.cfg, err) }

// Batch is the shape of a step's batch: rows of a micro-batch, and micro-batches.
func (v Varied) Batch(x Variation) (rows, accumulate int) {
	c := v.with(x)
	return c.Batch.Rows, c.Batch.Accumulate
}

// Open is Open with the changed settings, for steps of this machine alone.
func (v Varied) Open(x Variation, warn io.Writer) (*Trainer, error) {
	return openTrainer(v.with(x), warn, x.OwnRows)
}

// with is the run file with a change.
func (v Varied) with(x Variation) *config.Config {
	c := *v.cfg
	c.Cluster.Listen = ""
	if x.Languages > 0 {
		trainOn(&c, x.Languages)
	}
	if m := config.Method(x.Method); x.Method != "" && c.Objective.Method != m {
		c.Objective.Method, c.Objective.Options, c.Objective.Weights = m, nil, nil
	}
	if x.Global {
		c.Objective.Scope = config.ScopeGlobal
	}
	if x.Whole {
		c.Batch.Rows, c.Batch.Accumulate = c.Batch.Rows*c.Batch.Accumulate, 1
	}
	return &c
}

// trainOn makes c train on m languages, evaluation left out, with at least one row each.
func trainOn(c *config.Config, m int) {
	var trained []config.Source
	for _, s := range c.Data.Source {
		if s.Train {
			trained = append(trained, s)
		}
	}
	c.Data.Source = nil
	for i := range m {
		s := trained[i%len(trained)]
		if i >= len(trained) {
			s.Lang = fmt.Sprintf("%s-%d", s.Lang, i/len(trained)+1)
		}
		c.Data.Source = append(c.Data.Source, s)
	}
	c.Batch.Rows = max(c.Batch.Rows, m)
	c.Objective.Preferences = nil
}
