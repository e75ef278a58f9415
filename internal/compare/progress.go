package compare

import (
	"fmt"
	"slices"
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
	if r.settled {
		return 0
	}
	families := newChoice(nil, r.configs()).families(r.grid)
	return (r.grid.Seeds - r.grid.TuneSeeds) * len(families)
}

// total is the number of runs for people, about where it is not known yet.
func (r *runner) total() string {
	if n := r.later(); n > 0 {
		return fmt.Sprintf("~%d", len(r.specs)+n)
	}
	return fmt.Sprint(len(r.specs))
}

func (r *runner) configs() []Config { return r.grid.configs(r.facts.langs, r.temperature()) }

// tuning is the number of runs that choices are made from, which come first.
func (r *runner) tuning() int { return len(r.configs()) * r.grid.TuneSeeds }

// plan lists the runs to be made, as far as it is known: where only the first
// seeds tune, the other seeds' runs are those of what they have chosen, and
// nothing before that is settled.
func (r *runner) plan() []Spec {
	all := r.grid.specs(r.facts.langs, r.temperature())
	if r.settled = r.grid.TuneSeeds == 0; r.settled {
		return all
	}
	out := all[:r.tuning():r.tuning()]
	var runs []Result
	for _, s := range out {
		res := r.results[s.Slug()]
		if res == nil {
			return out
		}
		runs = append(runs, *res)
	}
	r.settled = true
	c := newChoice(runs, r.configs())
	var chosen []Config
	for _, f := range c.families(r.grid) {
		if k, _, ok := c.best(f); ok {
			chosen = append(chosen, k)
		}
	}
	for _, s := range all[len(out):] {
		if slices.Contains(chosen, s.Config) {
			out = append(out, s)
		}
	}
	return out
}
