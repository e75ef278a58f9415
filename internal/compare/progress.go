package compare

import (
	"fmt"
	"math"

	"concord/internal/stats"
)

// missing is the number of runs to be made.
func (r *runner) missing() int {
	n := 0
	for _, s := range r.specs {
		if !r.results[s.Slug()].done() {
			n++
		}
	}
	return n
}

// tried is the number of runs that are not missing.
func (r *runner) tried() int { return len(r.specs) - r.missing() }

// later is about how many runs come when the first seeds have chosen: 0 where
// that is known.
func (r *runner) later() int {
	if r.complete {
		return 0
	}
	return r.grid.Seeds * len(newChoice(nil, r.grid, r.configs()).families())
}

// total is the number of runs for people, about where it is not known yet.
func (r *runner) total() string {
	if n := r.later(); n > 0 {
		return fmt.Sprintf("~%d", len(r.specs)+n)
	}
	return fmt.Sprint(len(r.specs))
}

func (r *runner) configs() []Config { return r.grid.configs(r.facts.langs) }

// plan lists the runs to be made, as far as it is known: those that choices are made
// from, and once all of them are there, those of the configurations that they have chosen.
func (r *runner) plan() []Spec {
	out := r.grid.tuning(r.facts.langs)
	r.complete = false
	c, complete := r.choose()
	if !complete {
		return out
	}
	r.complete = true
	return append(out, r.grid.judging(c.chosen())...)
}

// choose is the choice by the runs that are there; complete where none is missing.
func (r *runner) choose() (c *choice, complete bool) {
	var runs []Result
	complete = true
	for _, s := range r.grid.tuning(r.facts.langs) {
		if res := r.results[s.Slug()]; res != nil {
			runs = append(runs, *res)
		} else {
			complete = false
		}
	}
	return newChoice(runs, r.grid, r.configs()), complete
}

// foretell says, before the judging runs are made, which differences they can tell from
// chance, as far as the tuning seeds let expect.
func (r *runner) foretell() {
	if !r.complete || r.grid.TuneSeeds < 2 {
		return
	}
	c, _ := r.choose()
	var differences [][]float64
	for _, f := range c.families() {
		k, _, ok := c.best(f)
		ref, found := c.matched(k)
		if ok && found && ref != k && k.Only == "" {
			differences = append(differences, c.differences(k, ref, seenTest))
		}
	}
	sd, degrees := stats.Moderated(differences)
	worst := 0.0
	for i := range sd {
		error := sd[i] / math.Sqrt(float64(r.grid.Seeds))
		whole := max(1, math.Floor(degrees[i]))
		d := stats.Interval(0, error, stats.Critical(stats.Confidence, len(sd), whole), whole, 0)
		if v := float64(d.Detectable); v > worst { // not where it is not known
			worst = v
		}
	}
	if worst > 0 {
		r.printf(" %s will tell differences of %s bits per byte or more (80 %% power, the worst of %s; from %d tuning seeds)",
			count(r.grid.Seeds, "judging seed"), decimal(worst, 4), count(len(sd), "comparison"), r.grid.TuneSeeds)
	}
}
