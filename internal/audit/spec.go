package audit

import (
	"fmt"
	"hash/fnv"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"concord/bucket"
	"concord/internal/compare"
	"concord/internal/objective"
	"concord/internal/study"
	"concord/internal/train"
)

// Arms that are no remedies.
const (
	armMixture   = "mixture" // all languages, mean over their losses
	armAlone     = "alone"   // one language by itself
	armLonger    = "twice the steps"
	armGradients = "gradients" // the mixture again, with every language's gradients measured
)

// Spec is one run.
type Spec struct {
	Arm  string  `json:"arm"`
	Only string  `json:"only,omitempty"` // of armAlone
	LR   float64 `json:"lr"`
	Seed uint64  `json:"seed"`
	Data string  `json:"data,omitempty"` // a control's; "" is the user's
}

// Slug names the run's folder.
func (s Spec) Slug() string {
	parts := []string{study.Slug(s.Arm)}
	if s.Data != "" {
		parts = append([]string{study.Slug(s.Data)}, parts...)
	}
	if s.Only != "" {
		h := fnv.New32a()
		h.Write([]byte(s.Only))
		parts = append(parts, fmt.Sprintf("%s-%08x", study.Slug(s.Only), h.Sum32()))
	}
	return strings.Join(append(parts, "lr"+study.Slug(strconv.FormatFloat(s.LR, 'g', -1, 64)), "s"+strconv.FormatUint(s.Seed, 10)), "-")
}

// plain is the run file with the plain mixture as its objective: everything else an audit
// varies itself.
func plain(run train.Varied) train.Varied {
	c := run.Plain()
	c.Objective.Preferences, c.Objective.Gram = run.Objective.Preferences, run.Objective.Gram
	c.Checkpoint = train.CheckpointSettings{Keep: 1}
	c.Eval = train.EvalSettings{Rows: fewRows(run.Eval.Rows), Last: true, SampleTokens: run.Eval.SampleTokens, Seed: run.Eval.Seed}
	return c
}

// evalRows is the most held-out examples of each half that are measured.
const evalRows = 64

func fewRows(n int) int {
	if n == 0 {
		return evalRows
	}
	return min(n, evalRows)
}

// shape is the rows of a step and the steps of a run.
type shape struct{ rows, accumulate, steps int }

// run makes the run.
func (a *audit) run(s Spec) train.Varied {
	c := a.baseOf(s)
	warmup := c.Schedule.Warmup
	if warmup >= 1 { // steps of the run file's run: the same share of this one
		warmup = min(0.5, warmup/float64(a.plan.RunSteps))
	}
	c.Run.Dir, c.Run.Name, c.Run.Seed = filepath.Join(a.out, "runs"), s.Slug(), s.Seed
	c.LR = s.LR
	c.Schedule.Steps, c.Schedule.Epochs, c.Schedule.Tokens, c.Schedule.Warmup = a.plan.Steps, 0, 0, warmup
	c.Data.Sources = slices.Clone(c.Data.Sources)
	switch r, ok := a.remedy(s.Arm); {
	case s.Arm == armAlone:
		s.alone(&c, a.share(s))
	case s.Arm == armGradients:
		a.measureGradients(&c)
	case ok:
		r.change(&c)
	}
	return c
}

// alone leaves one language, with as many rows of it in a step as the mixture has, or as
// near as whole rows come, and as many rows in all.
func (s Spec) alone(c *train.Varied, share float64) {
	n := shapeOf(share, c.Batch.Rows, c.Batch.Accumulate, c.Schedule.Steps)
	c.Batch.Rows, c.Batch.Accumulate, c.Schedule.Steps = n.rows, n.accumulate, n.steps
	c.Data.Align, c.Objective.Preferences = "", nil
	c.Data.Sources = slices.DeleteFunc(c.Data.Sources, func(src train.Source) bool {
		return src.Lang != s.Only &&
			src.Lang != s.Only+compare.TestSuffix
	})
}

// shapeOf is that of one language's part of a batch of rows × accumulate rows.
func shapeOf(share float64, rows, accumulate, steps int) shape {
	all := share * float64(rows*accumulate)
	whole := max(1, int(math.Round(all)))
	n := shape{rows: whole, accumulate: 1, steps: max(1, int(math.Round(all*float64(steps)/float64(whole))))}
	for n.rows > rows { // no more at one time than the run file allows
		n.accumulate++
		n.rows = (whole + n.accumulate - 1) / n.accumulate
	}
	return n
}

// measureGradients makes of the mixture a run with the same updates whose gradients by
// language are recorded: CAGrad with c = 0 is the mean. Halves of each language's rows tell
// the noise.
func (a *audit) measureGradients(c *train.Varied) {
	c.Objective.Method, c.Objective.Options = "cagrad", map[string]any{"c": 0.0}
	c.Objective.Scope, c.Objective.AdamMetric = train.ScopeLayer, c.SecondMoments()
	if c.Objective.AdamMetric {
		c.Objective.Gram = objective.GramAuto // "ghost" knows no single values, which the metric weighs
	}
	c.Objective.Halves = 2*len(a.langs) <= mostHalves
	c.GramEvery = max(1, a.plan.Steps/snapshots)
	c.Eval.First, c.Eval.Last = false, false
	c.Data.Sources = slices.DeleteFunc(c.Data.Sources, func(src train.Source) bool { return !src.Train })
	for i := range c.Data.Sources {
		c.Data.Sources[i].Heldout = nil
	}
}

// productsMetric is that of the gradients' products: the optimizer's, in which a step's
// first-order effect is, where it has second moments of f32; else the Euclidean one.
func productsMetric(c train.Varied) metric {
	if c.SecondMoments() {
		return metricAdam
	}
	return metricEuclidean
}

// metric is that of gradients' products, as the report has it.
type metric string

const (
	metricAdam      metric = "adam"
	metricEuclidean metric = "euclidean"
)

// mostHalves is the most half-languages whose products a run computes.
const mostHalves = bucket.MaxObjectives

// snapshots is about how many times the gradients are recorded in a run.
const snapshots = 24

// mixing says how batches are drawn, for people.
func mixing(c train.Varied) string {
	switch {
	case c.Data.Align != "":
		return "translations of the same examples in each step"
	case c.Data.IID:
		return "rows drawn independently"
	}
	return "languages divided evenly over the steps"
}
