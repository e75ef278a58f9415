package compare

import (
	"runtime"

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

	Planned   int            `json:"runs_planned"` // as far as known
	Finished  int            `json:"runs_finished"`
	Tokens    int64          `json:"tokens"`             // of the first run; the others have as many, but for the rest that packing leaves
	Verdict   []string       `json:"verdict"`            // in plain language, from the intervals
	Problems  []string       `json:"problems,omitempty"` // why runs may not be compared; the verdict is then none
	Reference string         `json:"reference"`          // the family that gains are measured from
	Families  []Family       `json:"families"`
	Alone     []Interference `json:"alone,omitempty"`
	Tried     []Tried        `json:"tried"`    // every configuration
	Failures  []Failed       `json:"failures"` // runs
	Base      []Score        `json:"base"`     // the base model, test half
	Runs      []Result       `json:"runs"`
}

// Family is a row of the comparison: the configuration that the validation half
// chose among its candidates under the tuning seeds, measured on the test half under the
// judging seeds.
type Family struct {
	Name       string   `json:"name"`
	Chosen     Config   `json:"chosen"`
	Resolves   bool     `json:"resolves"` // gradients; the others are scalarisations
	Candidates int      `json:"candidates"`
	Seeds      []uint64 `json:"seeds"`     // that every figure here is over
	Reference  Config   `json:"reference"` // the best scalarisation at the same temperature: it sees the same batches
	Edge       bool     `json:"edge"`      // the chosen learning rate is the smallest or largest tried

	Seen      Spread `json:"seen"` // mean of the trained languages
	Unseen    Spread `json:"unseen"`
	Worst     Spread `json:"worst"` // of the trained languages
	WorstLang string `json:"worst_lang"`
	// Differences paired by seed at equal batches, with intervals that hold for all
	// families together.
	VsRef    Difference `json:"seen_vs_reference"`
	UnseenVs Difference `json:"unseen_vs_reference"`
	WorstVs  Difference `json:"worst_vs_reference"` // of the trained language with the most bits per byte in each run
	VsMean   Difference `json:"seen_vs_mean"`
	// AtEqualLoss is the unseen languages' difference from mean trained at the learning
	// rate at which its trained languages are as good, over the tuning seeds.
	AtEqualLoss Spread `json:"unseen_at_equal_seen"`

	Seconds     float64      `json:"seconds"`      // of training, mean over seeds
	StepSeconds float64      `json:"step_seconds"` // median step, mean over seeds
	PeakBytes   int64        `json:"peak_bytes"`   // the median seed's
	Conflict    report.Float `json:"conflict"`     // share of pairs with a negative inner product; NaN without Gram
	Languages   []Language   `json:"languages"`
	Curve       []Point      `json:"curve"` // mean over seeds
}

// Interference is the effect of the mixture on a trained language: its bits per byte by
// itself and in the mixture, at equal tokens of it, the learning rate tuned for each.
type Interference struct {
	Lang     string     `json:"lang"`
	Alone    Config     `json:"alone"`
	ByItself Spread     `json:"by_itself"`
	Mixture  Spread     `json:"mixture"`
	Effect   Difference `json:"effect"` // mixture − alone: below 0 the other languages help
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

// report takes together the runs so far.
func (r *runner) report(command string) (*Report, error) {
	out := &Report{Command: command, Version: r.lock.Version, CPUs: runtime.NumCPU(), Name: r.base.Run.Name, Grid: r.grid,
		Settings:  r.lock.Settings,
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
	c := newChoice(out.Runs, r.grid, r.configs())
	c.fill(out)
	out.Verdict = out.judge()
	return out, nil
}

func each(runs []Result, f func(Result) float64) []float64 {
	out := make([]float64, len(runs))
	for i, r := range runs {
		out[i] = f(r)
	}
	return out
}
