package bench

import (
	"fmt"
	"io"

	"concord/internal/fault"
	"concord/internal/train"
	"concord/moo"
)

// MooOptions are the settings of Moo.
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
// from one backward pass. The others are compared with the first method.
func Moo(run train.Varied, o MooOptions) (*StepResult, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	if o.Warn == nil {
		o.Warn = io.Discard
	}
	if m := o.Objectives; m < 0 || m > 64 {
		return nil, &fault.Usage{Where: "--objectives", Msg: fmt.Sprintf("%d is outside 1 … 64", m)}
	}
	var variants []variant
	for _, m := range o.Methods {
		variants = append(variants, variant{name: m, run: trainOn(withMethod(run, m), o.Objectives)})
	}
	if o.Baseline != "" {
		if info, ok := moo.Lookup(o.Baseline); ok && info.Needs != moo.NeedsGram {
			return nil, &fault.Usage{Where: "--baseline", Msg: fmt.Sprintf("%q computes no Gram: there is nothing to compare", o.Baseline)}
		}
		if run.InBackward() {
			return nil, run.Located(&fault.Setting{Key: "optim.in_backward", Fix: `-o optim.in_backward=false; or --baseline ""`,
				Msg: "optim.in_backward: the baseline's separate backward passes need whole gradients, which an update in the backward " +
					"pass never has"})
		}
		global := variant{name: o.Baseline + ", M full gradients", run: trainOn(withMethod(run, o.Baseline), o.Objectives), ownRows: true}
		global.run.Objective.Scope = train.ScopeGlobal
		variants = append(variants, global, separatePasses(run, o))
	}
	return compare(run, variants, o.StepOptions)
}

// separatePasses is the baseline of M passes. It holds a whole step's graph, so that its
// rows are all in one batch: the same tokens a step as the others', in more memory.
func separatePasses(run train.Varied, o MooOptions) variant {
	v := variant{name: o.Baseline + ", M passes", separate: o.Baseline, run: trainOn(withMethod(run, "mean"), o.Objectives)}
	if b := &v.run.Batch; b.Accumulate > 1 {
		b.Rows, b.Accumulate = b.Rows*b.Accumulate, 1
		fmt.Fprintf(o.Warn, "concord: %q does not accumulate: its step is one batch of %d rows (batch.rows × "+
			"batch.accumulate), in the memory that these take\n", v.name, b.Rows)
	}
	return v
}

// withMethod is the run with a method; options and weights are the run file's only where
// it has this one.
func withMethod(run train.Varied, method string) train.Varied {
	if o := &run.Objective; o.Method != method {
		o.Method, o.Options, o.Weights = method, nil, nil
	}
	return run
}

// trainOn is the run on m languages: the run file's are cut, or repeated under other names.
// Nothing is evaluated, and each has at least one row. 0 leaves it.
func trainOn(run train.Varied, m int) train.Varied {
	if m == 0 {
		return run
	}
	var trained, sources []train.Source
	for _, s := range run.Data.Sources {
		if s.Train {
			trained = append(trained, s)
		}
	}
	for i := range m {
		s := trained[i%len(trained)]
		if i >= len(trained) {
			s.Lang = fmt.Sprintf("%s-%d", s.Lang, i/len(trained)+1)
		}
		sources = append(sources, s)
	}
	run.Data.Sources, run.Objective.Preferences = sources, nil
	run.Batch.Rows = max(run.Batch.Rows, m)
	return run
}
