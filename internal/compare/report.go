package compare

import (
	"math"
	"runtime"
	"slices"

	"concord/internal/report"
	"concord/internal/train"
)

// Report is a comparison's outcome; report.json holds it. Bits per byte are of
// the test half of the held-out examples where nothing else is said.
type Report struct {
	Command   string         `json:"command"`
	Version   train.Version  `json:"version"`
	CPUs      int            `json:"cpus"`
	Machine   Machine        `json:"machine"`
	Name      string         `json:"name"`
	Model     string         `json:"model"`
	Grid      Grid           `json:"grid"`
	Settings  map[string]any `json:"settings"`
	Languages []string       `json:"languages"` // trained on
	Jobs      int            `json:"jobs"`

	Planned   int      `json:"runs_planned"` // as far as known, with Grid.TuneSeeds
	Finished  int      `json:"runs_finished"`
	Tokens    int64    `json:"tokens"`              // of every run
	Verdict   []string `json:"verdict"`             // in plain language, from the intervals
	Problems  []string `json:"problems,omitempty"`  // why runs may not be compared; the verdict is then none
	Reference string   `json:"reference,omitempty"` // the family that gains are measured from; "": none was tuned
	Families  []Family `json:"families"`
	Tried     []Tried  `json:"tried"`    // every configuration
	Failures  []Failed `json:"failures"` // runs
	Base      []Score  `json:"base"`     // the base model, test half
	Runs      []Result `json:"runs"`
}

// Family is a row of the comparison: the configuration that the validation half
// chose among its candidates, measured on the test half.
type Family struct {
	Name       string   `json:"name"`
	Chosen     Config   `json:"chosen"`
	Resolves   bool     `json:"resolves"` // gradients; the others are scalarisations
	Candidates int      `json:"candidates"`
	Seeds      []uint64 `json:"seeds"` // that every figure here is over

	Seen      Spread     `json:"seen"` // mean of the trained languages
	Unseen    Spread     `json:"unseen"`
	Worst     Spread     `json:"worst"` // of the trained languages
	WorstLang string     `json:"worst_lang"`
	VsMean    Difference `json:"seen_vs_mean"`
	VsTuned   Difference `json:"seen_vs_reference"`
	UnseenVs  Difference `json:"unseen_vs_reference"`
	// The same differences with intervals widened for the number of methods that
	// are compared (Bonferroni): what the verdict goes by.
	JudgedSeen   Difference `json:"judged_seen"`
	JudgedUnseen Difference `json:"judged_unseen"`

	Seconds     float64      `json:"seconds"`      // of training, mean over seeds
	StepSeconds float64      `json:"step_seconds"` // median step, mean over seeds
	PeakBytes   int64        `json:"peak_bytes"`   // the median seed's
	Conflict    report.Float `json:"conflict"`     // share of pairs with a negative inner product; NaN without Gram
	Languages   []Language   `json:"languages"`
	Curve       []Point      `json:"curve"` // mean over seeds
}

// Language is one language's row under a family.
type Language struct {
	Lang   string     `json:"lang"`
	Seen   bool       `json:"seen"`
	Test   Spread     `json:"test"`
	VsMean Difference `json:"vs_mean"`
}

// Tried is one configuration on both halves.
type Tried struct {
	Config
	Name      string   `json:"name"`
	Families  []string `json:"families"`
	ChosenFor []string `json:"chosen_for,omitempty"`
	Valid     Spread   `json:"valid_seen"`
	Test      Spread   `json:"test_seen"`
	Unseen    Spread   `json:"test_unseen"`
	Failed    int      `json:"failed"`
}

// Failed is a run that did not come to its end.
type Failed struct {
	Slug  string `json:"slug"`
	Cause string `json:"cause"`
	Steps int    `json:"steps"`
	Error string `json:"error"`
}

// report takes together what has been run so far.
func (r *runner) report(command string) (*Report, error) {
	out := &Report{Command: command, Version: r.lock.Version, CPUs: runtime.NumCPU(), Name: r.base.Run.Name, Grid: r.grid, Settings: r.lock.Settings,
		Languages: r.facts.langs, Jobs: r.jobs, Planned: len(r.specs), Failures: []Failed{}, Families: []Family{}, Runs: []Result{}}
	for _, s := range r.specs {
		res := r.results[s.Slug()]
		if res == nil {
			continue
		}
		out.Runs = append(out.Runs, *res)
		if res.Error != "" {
			out.Failures = append(out.Failures, Failed{res.Slug, res.Cause, res.Steps, res.Error})
			continue
		}
		if out.Finished++; out.Finished == 1 {
			out.Machine, out.Model, out.Tokens = res.Machine, res.Model, res.Tokens
		}
		if _, test := unmark(res.Base); res.Base != nil {
			out.Base = test
		}
	}
	out.Problems = problems(out.Runs)
	c := newChoice(out.Runs, r.configs())
	c.fill(out, r.grid)
	out.Verdict = out.judge()
	return out, nil
}

// temperature is the run file's.
func (r *runner) temperature() float64 { return r.base.Data.Temperature }

// choice is the results by configuration, and what validation chose.
type choice struct {
	configs []Config
	runs    map[Config][]Result // finished, by seed
	failed  map[Config]int
}

func newChoice(runs []Result, configs []Config) *choice {
	c := &choice{configs: configs, runs: map[Config][]Result{}, failed: map[Config]int{}}
	for _, r := range runs {
		if r.Error == "" {
			c.runs[r.Config] = append(c.runs[r.Config], r)
		} else {
			c.failed[r.Config]++
		}
	}
	return c
}

// best is the candidate of a family with the lowest mean bits per byte of the
// trained languages on the validation half, over seeds. Candidates that have
// finished for fewer seeds than another are not eligible. ok is false where
// none has finished.
func (c *choice) best(family string) (best Config, candidates int, ok bool) {
	most, low := 1, math.Inf(1)
	for _, k := range c.configs {
		if slices.Contains(k.families(), family) {
			candidates++
			most = max(most, len(c.runs[k]))
		}
	}
	for _, k := range c.configs {
		if !slices.Contains(k.families(), family) || len(c.runs[k]) < most {
			continue
		}
		if v := float64(c.valid(k).Mean); v < low || !ok {
			best, low, ok = k, v, true
		}
	}
	return best, candidates, ok
}

// valid is what choices are made by.
func (c *choice) valid(k Config) Spread {
	return newSpread(each(c.runs[k], func(r Result) float64 { return average(r.Valid, true) }))
}

// reference is the family that gains are measured from, "" where nothing but
// learning rates was tuned.
func reference(g Grid) string {
	switch {
	case g.StaticSweep && len(g.Temperatures) > 0:
		return familyTuned
	case g.StaticSweep:
		return familyStatic
	case len(g.Temperatures) > 0:
		return familyTemperature
	}
	return ""
}

// families are the rows of the report, in order: mean, what was tuned, the
// methods.
func (c *choice) families(g Grid) []string {
	out := []string{familyMean}
	if g.StaticSweep {
		out = append(out, familyStatic)
	}
	if len(g.Temperatures) > 0 {
		out = append(out, familyTemperature)
	}
	if ref := reference(g); ref != "" {
		out = append(out, ref)
	}
	for _, k := range c.configs {
		for _, f := range k.families() {
			if !slices.Contains([]string{familyMean, familyStatic, familyTemperature, familyTuned}, f) {
				out = append(out, f)
			}
		}
	}
	return unique(out)
}

func each(runs []Result, f func(Result) float64) []float64 {
	out := make([]float64, len(runs))
	for i, r := range runs {
		out[i] = f(r)
	}
	return out
}
