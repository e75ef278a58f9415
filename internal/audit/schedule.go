package audit

import (
	"math"
	"slices"

	"concord/internal/stats"
)

// The order of an audit's runs. Which run is next follows from the results that are there,
// so a call goes on where the last one ended.
//
//  1. Under the run file's seed: the mixture, and each language alone, at half, once and
//     twice the run file's learning rate, and further where the best lies at the edge. The
//     best of each is taken.
//  2. Under further seeds: both at their rates, three seeds at first, then as many as the
//     spread asks for to see differences as large as the margin.
//  3. The gradients of every language, once.
//  4. Controls, where asked for.
//  5. Where a language is hurt, the mixture for twice the steps: where the difference goes,
//     the mixture only learns more slowly.
//  6. Remedies, where a language is still hurt: each under the first three of these seeds,
//     and those that may help under the others.

// rates are the learning rates that are tried at first, relative to the run file's; where
// the best is the smallest or the largest, moreRates further ones beyond it are.
var rates = []float64{1, 0.5, 2}

const moreRates = 2

// next is the run to make; false where nothing is left to do.
func (a *audit) next() (Spec, bool) {
	var todo []Spec
	todo = append(todo, a.tuning("")...)
	if s, ok := a.missing(todo); ok {
		return s, true
	}
	if s, ok := a.missing(a.judging("", 0, 1)); ok {
		return s, true
	}
	todo = append(a.judging("", 0, fewestSeeds), a.gradients()...)
	if s, ok := a.missing(todo); ok {
		return s, true
	}
	if a.o.Controls {
		if s, ok := a.nextControl(); ok {
			return s, true
		}
	}
	if s, ok := a.missing(a.judging("", fewestSeeds, a.wanted())); ok {
		return s, true
	}
	if len(a.hurt()) > 0 {
		var longer []Spec
		for i := range fewestSeeds {
			longer = append(longer, a.at(armLonger, "", "", i))
		}
		if s, ok := a.missing(longer); ok {
			return s, true
		}
	}
	return a.nextRemedy()
}

// missing is the first of some runs that has not been made.
func (a *audit) missing(specs []Spec) (Spec, bool) {
	i := slices.IndexFunc(specs, func(s Spec) bool { return a.results[s.Slug()] == nil })
	if i < 0 {
		return Spec{}, false
	}
	return specs[i], true
}

// tuning are the runs that learning rates are chosen by, as far as known.
func (a *audit) tuning(data string) (out []Spec) {
	out = a.tuningOf(armMixture, "", data)
	for _, l := range a.langsOf(data) {
		out = append(out, a.tuningOf(armAlone, l, data)...)
	}
	return out
}

// tuningOf are those of one arm.
func (a *audit) tuningOf(arm, only, data string) (out []Spec) {
	for _, r := range a.rateList(arm, only, data) {
		out = append(out, Spec{Arm: arm, Only: only, LR: r * a.lr, Seed: a.seed, Data: data})
	}
	return out
}

// rateList are the rates that are tried for an arm.
func (a *audit) rateList(arm, only, data string) []float64 {
	list := slices.Clone(rates)
	for range moreRates {
		best, whole := a.bestRate(list, arm, only, data)
		switch {
		case whole && best == slices.Max(list):
			list = append(list, 2*best)
		case whole && best == slices.Min(list):
			list = append(list, best/2)
		default:
			return list
		}
	}
	return list
}

// bestRate is the rate with the fewest bits per byte under the tuning seed; whole where
// every one has been tried.
func (a *audit) bestRate(list []float64, arm, only, data string) (best float64, whole bool) {
	best, low := 1.0, math.Inf(1)
	whole = true
	for _, r := range list {
		x := a.results[Spec{Arm: arm, Only: only, LR: r * a.lr, Seed: a.seed, Data: data}.Slug()]
		if x == nil {
			whole = false
			continue
		}
		langs := a.langsOf(data)
		if only != "" {
			langs = []string{only}
		}
		if bits := mean(x, langs); x.Error == "" && bits < low {
			best, low = r, bits
		}
	}
	return best, whole
}

// judging are the runs of the mixture and of each language alone under the judging seeds
// from … to−1.
func (a *audit) judging(data string, from, to int) (out []Spec) {
	for i := from; i < to; i++ {
		out = append(out, a.at(armMixture, "", data, i))
		for _, l := range a.langsOf(data) {
			out = append(out, a.at(armAlone, l, data, i))
		}
	}
	return out
}

// at is an arm's run under a judging seed. Remedies have the mixture's learning rate.
func (a *audit) at(arm, only, data string, seed int) Spec {
	tuned := arm
	if arm != armAlone {
		tuned = armMixture
	}
	lr, _ := a.rate(tuned, only, data)
	return Spec{Arm: arm, Only: only, LR: lr, Seed: a.seed + 1 + uint64(seed), Data: data}
}

// gradients is the run that measures them.
func (a *audit) gradients() []Spec { return []Spec{a.at(armGradients, "", "", 0)} }

// rate is the best learning rate of an arm, by its tuning runs, and whether it is the
// smallest or largest of those tried.
func (a *audit) rate(arm, only, data string) (lr float64, edge bool) {
	list := a.rateList(arm, only, data)
	best, _ := a.bestRate(list, arm, only, data)
	return best * a.lr, best == slices.Max(list) || best == slices.Min(list)
}

// mean is the mean bits per byte of some languages, NaN where one is missing.
func mean(r *Result, langs []string) float64 {
	sum := 0.0
	for _, l := range langs {
		v, ok := r.Bits[l]
		if !ok {
			return math.NaN()
		}
		sum += v / float64(len(langs))
	}
	return sum
}

// wanted is how many judging seeds are made: as many as tell a difference of the margin
// in every language with the usual power, by the spread so far, within the bounds. The power is by a
// normal approximation, as when the rules were frozen (docs/results/plan.md).
func (a *audit) wanted() int {
	var differences [][]float64
	for _, l := range a.langs {
		differences = append(differences, a.effects(l, ""))
	}
	if len(differences) == 0 || len(differences[0]) < fewestSeeds {
		return fewestSeeds
	}
	sd, degrees := stats.Moderated(differences)
	for n := fewestSeeds; n < a.o.Seeds; n++ {
		enough := true
		for i := range sd {
			critical := stats.Critical(stats.Confidence, len(sd), max(1, math.Floor(degrees[i])))
			d := stats.Interval(0, sd[i]/math.Sqrt(float64(n)), critical, math.Inf(1), n)
			enough = enough && float64(d.Detectable) <= a.o.Margin
		}
		if enough {
			return n
		}
	}
	return a.o.Seeds
}

// nextRemedy is the next run of a remedy.
func (a *audit) nextRemedy() (Spec, bool) {
	if !a.needsRemedies() {
		return Spec{}, false
	}
	seeds := len(a.judged(a.at(armMixture, "", "", 0)))
	for i := range seeds {
		for _, r := range a.remedies() {
			s := a.at(r.name, "", "", i)
			if a.results[s.Slug()] != nil || i >= fewestSeeds && a.excluded(r.name) {
				continue
			}
			return s, true
		}
	}
	return Spec{}, false
}

// needsRemedies says that some language is hurt, or that remedies are asked for, and fixes
// their languages.
func (a *audit) needsRemedies() bool {
	switch {
	case a.o.Remedies == RemediesNone:
		return false
	case len(a.plan.Hurt) > 0:
		return true
	}
	if a.plan.Hurt = a.hurt(); len(a.plan.Hurt) == 0 && a.o.Remedies == RemediesAll {
		a.plan.Hurt = slices.Clone(a.langs)
	}
	return len(a.plan.Hurt) > 0
}

// excluded says that a remedy gives no gain, by its first seeds.
func (a *audit) excluded(name string) bool {
	for _, r := range a.helps() {
		if r.Name == name {
			return r.Gain.N < fewestSeeds || float64(r.Gain.Lo) > -stats.Smallest
		}
	}
	return true // it failed
}

// share is a language's part of the mixture's tokens.
func (a *audit) share(s Spec) float64 {
	if s.Data != "" {
		return 1 / float64(len(a.langsOf(s.Data)))
	}
	if a.base.Data.Align != "" {
		return 1 / float64(len(a.langs))
	}
	sum, own := 0.0, 0.0
	for i, l := range a.langs {
		w := math.Pow(a.tokens[i], 1/a.base.Data.Temperature)
		if sum += w; l == s.Only {
			own = w
		}
	}
	return own / sum
}
