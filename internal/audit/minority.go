package audit

import (
	"fmt"
	"math"
	"path/filepath"
	"strings"

	"concord/internal/safetensors"
	"concord/internal/stats"
	"concord/internal/train"
)

// The remedy control: M languages with the same prompts, one answer in all but the last of
// them, another in the last, and nothing that tells them apart. All a model can choose is
// the odds of the two answers.
//
//   - The mean's minimum has probability 1/M for the last language's answer: its loss is
//     log M. That follows from convexity in the logits, whatever the learning rate.
//   - mgda sees one vector for the M−1 that agree, however many they are: with g = p − e_a
//     of the first answer a and h = p − e_b of the other b, the point of least norm between
//     them is p − w e_a − (1−w) e_b with w = ½ + (p_a − p_b)/2, which moves both logits
//     alike. The base model's odds of a and b stay as they were; from even odds the last
//     language's loss is log 2.
//
// pcgrad and upgrad begin as the mean does and stop where the gradients are opposite, in
// between; moo's TestOneAgainstSeven has all of it in float64.
//
// stch, which minimises a smooth maximum of the losses relative to their start, goes to about even
// odds from any.
//
// So resolving must lower the worst language's loss by up to log(M/2), if it does in
// training as it does on paper. It does at small learning rates: where the gradients are
// opposite, every odds are Pareto-stationary, and mgda and pcgrad stay where noise and
// momentum have brought them. Each method has a rate of its own, therefore. Static weights that give the last language half of the
// total do the same: the control shows that a method finds them, not that none could.

// resolving are the methods that are tried on it. One scope for all of the model is the
// setting in which the argument holds.
var resolving = []remedy{method("mgda", train.ScopeGlobal), method("pcgrad", train.ScopeGlobal), {
	name: "stch", change: func(c *train.Varied) {
		c.Objective.Method, c.Objective.Options = "stch", map[string]any{"mu": 0.1, "warmup": 2.0}
	},
}}

const (
	fewestAgainst, mostAgainst = 3, 8 // languages of the remedy control
	deviations                 = 5.0  // standard deviations that a gain must have
)

// against is how many languages the remedy control has: as many as divide the rows of a
// step, so that every prompt's answers are in one; 0 where no number does.
func against(rows int) int {
	for m := mostAgainst; m >= fewestAgainst; m-- {
		if rows%m == 0 {
			return m
		}
	}
	return 0
}

// makeMinority makes the data; nil where the rows of a step do not divide.
func (a *audit) makeMinority(dir string) (*control, error) {
	m := against(a.base.Batch.Rows * a.base.Batch.Accumulate)
	if m == 0 {
		return nil, nil
	}
	c := &control{base: a.base, aligned: true}
	c.base.Data.Sources = nil
	for i := range m {
		lang, answer := fmt.Sprintf("agrees %d", i+1), " w"
		if i == m-1 {
			lang, answer = "differs", " s"
		}
		for name, part := range map[string][2]int{"train": {0, 400}, "heldout": {400, 440}} {
			path := filepath.Join(dir, lang+"."+name+".jsonl")
			if err := safetensors.WriteFile(path, pairs(part[0], part[1], answer)); err != nil {
				return nil, train.DataError(err)
			}
		}
		src := fileSource(dir, lang)
		src.Key = "key"
		c.langs, c.base.Data.Sources = append(c.langs, lang), append(c.base.Data.Sources, src)
	}
	return c, nil
}

// nextMinority is the next run of the remedy control: the mean and every method at several
// rates, then each at its best under the judging seeds.
func (a *audit) nextMinority() (Spec, bool) {
	if a.controls[remedial] == nil {
		return Spec{}, false
	}
	arms := []string{armMixture}
	for _, r := range resolving {
		arms = append(arms, r.name)
	}
	for _, arm := range arms {
		if s, ok := a.missing(a.tuningOf(arm, "", remedial)); ok {
			return s, true
		}
	}
	var todo []Spec
	for i := range fewestSeeds {
		for _, arm := range arms {
			todo = append(todo, a.tuned(arm, i))
		}
	}
	return a.missing(todo)
}

// tuned is an arm's run of the remedy control under a judging seed, at its own best rate.
func (a *audit) tuned(arm string, seed int) Spec {
	lr, _ := a.rate(arm, "", remedial)
	return Spec{Arm: arm, LR: lr, Seed: a.seed + 1 + uint64(seed), Data: remedial}
}

// gains are a method's differences from the mean in the worst language, by judging seed.
func (a *audit) gains(name string) (out []float64) {
	for i := range fewestSeeds {
		m, r := a.results[a.tuned(armMixture, i).Slug()], a.results[a.tuned(name, i).Slug()]
		if m != nil && r != nil && m.Error == "" && r.Error == "" {
			out = append(out, a.worst(r)-a.worst(m))
		}
	}
	return out
}

// failed names the fault of a judging run of a method or the mean that has failed, "" if
// none has: the same command does not make it again.
func (a *audit) failed(name string) string {
	for i := range fewestSeeds {
		for _, arm := range []string{armMixture, name} {
			if r := a.results[a.tuned(arm, i).Slug()]; r != nil && r.Error != "" {
				first, _, _ := strings.Cut(r.Error, "\n")
				return fmt.Sprintf("; %s under seed %d failed: %s", arm, r.Seed, first)
			}
		}
	}
	return ""
}

// worst is the most bits per byte of a language of the remedy control.
func (a *audit) worst(r *Result) float64 {
	high := math.Inf(-1)
	for _, l := range a.langsOf(remedial) {
		high = max(high, r.Bits[l])
	}
	return high
}

// remedyControl tells the outcome: at least one method must lower the worst language's
// bits per byte by more than so many standard deviations over seeds.
func (a *audit) remedyControl() Control {
	c := Control{Name: remedial}
	if a.controls[remedial] == nil {
		c.Text = fmt.Sprintf("not made: it needs batch.rows × batch.accumulate that %d to %d divide, not %d", fewestAgainst, mostAgainst,
			a.base.Batch.Rows*a.base.Batch.Accumulate)
		return c
	}
	var all [][]float64
	for _, r := range resolving {
		all = append(all, a.gains(r.name))
		if n := len(all[len(all)-1]); n < fewestSeeds {
			c.Text = fmt.Sprintf("not finished: %d of %d seeds of %s%s", n, fewestSeeds, r.name, a.failed(r.name))
			return c
		}
	}
	pass, parts := enough(all)
	c.Pass = &pass
	c.Text = fmt.Sprintf("where one of %d languages contradicts the others, a method must help the worst language by more than %g standard "+
		"deviations (n = %d seeds; the differing language at half of all weight would do as well): method − mean, each at its best learning "+
		"rate, in bits per byte, %s", len(a.langsOf(remedial)), deviations, fewestSeeds, parts)
	if !pass {
		c.Text += "; where the audit finds no gain from a method, these runs may be too short to show one"
	}
	return c
}

// enough says whether a method's gain is large enough, and tells each.
func enough(all [][]float64) (pass bool, told string) {
	sd, _ := stats.Moderated(all)
	var parts []string
	for i, r := range resolving {
		mean, _ := stats.MeanSD(all[i])
		parts = append(parts, fmt.Sprintf("%s %s (%.1f standard deviations)", r.name, stats.Signed(mean, 3), mean/sd[i]))
		pass = pass || mean < -deviations*sd[i]
	}
	return pass, strings.Join(parts, ", ")
}
