package compare

import (
	"math"
	"slices"

	"concord/internal/stats"
)

// choice is the results by configuration, and the choice of validation under the tuning
// seeds.
type choice struct {
	grid    Grid
	configs []Config
	tuning  map[Config][]Result // finished, by seed
	judging map[Config][]Result
	failed  map[Config]int
}

func newChoice(runs []Result, g Grid, configs []Config) *choice {
	c := &choice{grid: g, configs: configs, tuning: map[Config][]Result{}, judging: map[Config][]Result{}, failed: map[Config]int{}}
	for _, r := range runs {
		switch {
		case r.Error != "":
			c.failed[r.Config]++
		case g.judges(r.Seed):
			c.judging[r.Config] = append(c.judging[r.Config], r)
		default:
			c.tuning[r.Config] = append(c.tuning[r.Config], r)
		}
	}
	return c
}

// best is the candidate of a family with the lowest mean bits per byte on the validation
// half, over the tuning seeds. Candidates that have finished for fewer seeds than another
// are not eligible. ok is false where none has finished.
func (c *choice) best(family string) (best Config, candidates int, ok bool) {
	return c.bestOf(func(k Config) bool { return slices.Contains(k.families(), family) })
}

// matched is the best candidate of the reference at a configuration's temperature, under
// which both see the same batches.
func (c *choice) matched(to Config) (Config, bool) {
	k, _, ok := c.bestOf(func(k Config) bool {
		return k.Temperature == to.Temperature && slices.Contains(k.families(), c.reference())
	})
	return k, ok
}

func (c *choice) bestOf(eligible func(Config) bool) (best Config, candidates int, ok bool) {
	most, low := 1, math.Inf(1)
	for _, k := range c.configs {
		if eligible(k) {
			candidates++
			most = max(most, len(c.tuning[k]))
		}
	}
	for _, k := range c.configs {
		if !eligible(k) || len(c.tuning[k]) < most {
			continue
		}
		if v := float64(c.valid(k).Mean); v < low || !ok {
			best, low, ok = k, v, true
		}
	}
	return best, candidates, ok
}

// valid is the figure that choices are made by: the mean of the trained languages, or the one that
// is trained alone.
func (c *choice) valid(k Config) Spread {
	return stats.NewSpread(each(c.tuning[k], func(r Result) float64 {
		if k.Only != "" {
			return score(r.Valid, k.Only)
		}
		return average(r.Valid, true)
	}))
}

// reference is the family that gains are measured from.
func (c *choice) reference() string {
	if c.grid.StaticSweep {
		return familyTuned
	}
	return familyMean
}

// families are the rows of the report, in order: mean, plain fine-tuning, the reference,
// the methods; then each language alone.
func (c *choice) families() []string {
	out := []string{familyMean, familyPlain, c.reference()}
	for _, k := range c.configs {
		for _, f := range k.families() {
			if f != familyTuned {
				out = append(out, f)
			}
		}
	}
	return unique(out)
}

// chosen are the configurations that judging needs: the best of each family, and the
// reference and mean at each one's temperature.
func (c *choice) chosen() (out []Config) {
	for _, f := range c.families() {
		k, _, ok := c.best(f)
		if !ok {
			continue
		}
		out = append(out, k)
		if ref, ok := c.matched(k); ok && k.Only == "" {
			out = append(out, ref)
		}
		if mean, ok := c.meanAt(k); ok {
			out = append(out, mean)
		}
	}
	return unique(out)
}

// meanAt is the best candidate of mean at a configuration's temperature.
func (c *choice) meanAt(to Config) (Config, bool) {
	k, _, ok := c.bestOf(func(k Config) bool {
		return k.Temperature == to.Temperature && k.Only == "" && k.Mixing == "" && k.Method == familyMean
	})
	return k, ok
}

// differences are those of a measure between the judging runs of two configurations, over
// the seeds that both have; of the tuning runs where there are no judging ones yet.
func (c *choice) differences(a, b Config, measure func(Result) float64) []float64 {
	runs := c.judging
	if len(runs) == 0 {
		runs = c.tuning
	}
	var out []float64
	for _, r := range runs[a] {
		i := slices.IndexFunc(runs[b], func(o Result) bool { return o.Seed == r.Seed })
		if i >= 0 {
			out = append(out, measure(r)-measure(runs[b][i]))
		}
	}
	return out
}
