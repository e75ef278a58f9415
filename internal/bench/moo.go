package bench

import (
	"fmt"
	"io"

	"concord/internal/config"
	"concord/moo"
)

// MooOptions say what Moo measures.
type MooOptions struct {
	StepOptions
	// Objectives is M: the run file's trained languages are cut to the first M, or
	// repeated under other names. 0 leaves them.
	Objectives int
	// Baseline is the Gram method that the two ways of today resolve with; "" leaves
	// them out.
	Baseline string
}

// Moo measures steps of several methods and, for comparison, the two things that
// are done elsewhere: M separate backward passes with global resolution of their
// M full gradients (separate.go), and global resolution of M full gradients
// from one backward pass. The first method is what the others are compared with.
func Moo(cfg *config.Config, o MooOptions) (*StepResult, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	if o.Warn == nil {
		o.Warn = io.Discard
	}
	c := *cfg
	if o.Objectives > 0 {
		if err := objectives(&c, o.Objectives); err != nil {
			return nil, err
		}
	}
	var variants []variant
	for _, m := range o.Methods {
		variants = append(variants, methodVariant(&c, m))
	}
	if o.Baseline != "" {
		if info, ok := moo.Lookup(o.Baseline); ok && info.Needs != moo.NeedsGram {
			return nil, &config.Error{Where: "--baseline", Msg: fmt.Sprintf("%q computes no Gram: there is nothing to compare", o.Baseline)}
		}
		if c.Optim.InBackward {
			return nil, &config.Error{Where: cfg.Where("optim.in_backward"), Fix: `-o optim.in_backward=false; or --baseline ""`,
				Msg: "optim.in_backward: the baseline's separate backward passes need whole gradients, which an update in the backward pass never has"}
		}
		global := methodVariant(&c, o.Baseline)
		global.name, global.cfg.Objective.Scope, global.ownRows = o.Baseline+", M full gradients", config.ScopeGlobal, true
		variants = append(variants, global, separatePasses(&c, o))
	}
	return compare(&c, variants, o.StepOptions)
}

// separatePasses is the baseline of M passes. It holds a whole step's graph, so that its
// rows are all in one batch: the same tokens a step as the others', in more memory.
func separatePasses(c *config.Config, o MooOptions) variant {
	v := methodVariant(c, "mean")
	v.name, v.separate = o.Baseline+", M passes", o.Baseline
	if k := c.Batch.Accumulate; k > 1 {
		v.cfg.Batch.Rows, v.cfg.Batch.Accumulate = c.Batch.Rows*k, 1
		fmt.Fprintf(o.Warn, "concord: %q does not accumulate: its step is one batch of %d rows (batch.rows × "+
			"batch.accumulate), in the memory that these take\n",
			v.name, v.cfg.Batch.Rows)
	}
	return v
}

// objectives makes the run file train on m languages, evaluation left out, with
// at least one row each.
func objectives(c *config.Config, m int) error {
	if m < 1 || m > 64 {
		return &config.Error{Where: "--objectives", Msg: fmt.Sprintf("%d is outside 1 … 64", m)}
	}
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
	return nil
}
