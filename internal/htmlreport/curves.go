package htmlreport

import (
	"cmp"
	"iter"
	"math"
	"slices"
	"time"

	"concord/internal/report"
)

// point holds the values of a step by the names of their curves.
type point struct {
	at     time.Time
	step   int
	values map[string]float64
}

// points are the run's curves, step by step. Times are those of the steps' own seconds
// after began, as records have no clock. Values that do not exist may be NaN.
func (r *Run) points(began time.Time) iter.Seq[point] {
	return func(yield func(point) bool) {
		evals := slices.SortedStableFunc(slices.Values(r.Evals), func(a, b report.Eval) int { return cmp.Compare(a.Step, b.Step) })
		now := began
		// upTo yields the evaluations before a step, each a point of its own.
		upTo := func(step int) bool {
			for len(evals) > 0 && evals[0].Step < step {
				p := point{now, evals[0].Step, map[string]float64{}}
				if evals = p.evaluated(evals); !yield(p) {
					return false
				}
			}
			return true
		}
		for _, s := range r.Steps {
			if !upTo(s.Step) {
				return
			}
			now = now.Add(time.Duration(s.Seconds * float64(time.Second)))
			p := point{now, s.Step, r.trained(s)}
			if evals = p.evaluated(evals); !yield(p) {
				return
			}
		}
		upTo(math.MaxInt)
	}
}

// trained are the values of a training step.
func (r *Run) trained(s report.Step) map[string]float64 {
	v := map[string]float64{
		"train/loss": float64(s.Loss), "train/grad_norm": float64(s.GradNorm), "train/learning_rate": float64(s.LR),
		"train/clip_scale": float64(s.ClipScale), "train/seconds": s.Seconds,
	}
	if s.Pairs > 0 {
		v["conflict/negative_share"] = float64(s.NegativePairs) / float64(s.Pairs)
	}
	for _, lang := range r.Header.Languages {
		if x, ok := s.LossByLang[lang]; ok {
			v["loss/"+lang] = float64(x)
		}
	}
	return v
}

// evaluated adds the held-out values of the step, and returns the evaluations after it.
func (p *point) evaluated(evals []report.Eval) []report.Eval {
	for ; len(evals) > 0 && evals[0].Step == p.step; evals = evals[1:] {
		e := evals[0]
		for _, row := range e.Rows {
			p.values["bits_per_byte/"+row.Lang] = float64(row.BitsPerByte)
			if row.Interval != nil {
				p.values["bits_per_byte_error/"+row.Lang] = row.Interval.Half()
			}
		}
		for _, seen := range []bool{true, false} {
			if slices.ContainsFunc(e.Rows, func(x report.EvalRow) bool { return x.Seen == seen }) {
				p.values[map[bool]string{true: "bits_per_byte/mean_seen", false: "bits_per_byte/mean_unseen"}[seen]] = e.Mean(seen)
			}
		}
	}
	return evals
}
