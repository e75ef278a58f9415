package compare

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// sameLoss is how far the losses of the first batch may differ, relative to
// them, between runs that start from the same weights: kernels that sum in
// another order.
const sameLoss = 1e-3

// fewestSeeds is the least number of seeds that a verdict is given for: of two,
// the deviation of the differences says next to nothing.
const fewestSeeds = 3

// defaultMargin is the difference in bits per byte below which two configurations count
// as equivalent.
const defaultMargin = 5e-3

// problems are the differences that make finished runs not comparable: other numbers
// of tokens, other initial weights, another order of the batches, other devices.
func problems(runs []Result) []string {
	var out []string
	say := func(format string, args ...any) {
		if s := fmt.Sprintf(format, args...); !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	var whole []Result
	for _, r := range runs {
		if r.Error == "" {
			whole = append(whole, r)
		}
	}
	for i, r := range whole {
		a := whole[0]
		if r.Only != "" { // shorter on purpose
			continue
		}
		if r.Steps != a.Steps {
			say("%s made %d steps, %s %d", r.Slug, r.Steps, a.Slug, a.Steps)
		}
		if r.Machine != a.Machine {
			say("%s ran on %s, %s on %s: times do not compare", r.Slug, r.Machine.Device, a.Slug, a.Machine.Device)
		}
		j := slices.IndexFunc(whole[:i], func(o Result) bool {
			return o.Only == "" && o.Seed == r.Seed && o.Temperature == r.Temperature && o.Mixing == r.Mixing
		})
		if j < 0 {
			continue
		}
		if b := whole[j]; b.Tokens != r.Tokens {
			say("%s and %s have one seed and trained on %d and %d tokens", r.Slug, b.Slug, r.Tokens, b.Tokens)
		} else if b.Batches != r.Batches {
			say("%s and %s have one seed and saw different batches", r.Slug, b.Slug)
		} else if lang := differ(r, b); lang != "" {
			say("%s and %s began with different losses of %s: not the same initial model", r.Slug, b.Slug, lang)
		}
	}
	return out
}

// differ is a language whose first losses under two runs are not the same, "" if
// there is none.
func differ(a, b Result) string {
	for _, lang := range sortedKeys(a.First) {
		x, y := float64(a.First[lang]), float64(b.First[lang])
		if math.Abs(x-y) > sameLoss*math.Abs(y) {
			return lang
		}
	}
	return ""
}

// judge says in plain language as much as the intervals allow. A gain is a gain
// over the tuned reference: against untuned training alone nothing is claimed.
func (r *Report) judge() (out []string) {
	if n := r.Planned - r.Finished - len(r.Failures); n > 0 {
		out = append(out, fmt.Sprintf("Not finished: %d of %d runs are missing. What follows may change.", n, r.Planned))
	}
	if n := len(r.Failures); n > 0 {
		out = append(out, fmt.Sprintf("%s failed and %s left out; see Failures.", count(n, "run"),
			map[bool]string{true: "is", false: "are"}[n == 1]))
	}
	if len(r.Problems) > 0 {
		return append(out, "These runs do not compare, so there is no verdict: "+strings.Join(r.Problems, "; ")+".")
	}
	var others []Family
	for _, f := range r.Families {
		if f.Chosen != f.Reference {
			others = append(others, f)
		}
	}
	ref := r.family(r.Reference)
	switch {
	case ref == nil:
		return append(out, "The tuned baseline has not finished a run: no gain is claimed.")
	case len(ref.Seeds) == 0:
		return append(out, "No judging seed has finished: there is no verdict yet.")
	case len(ref.Seeds) < fewestSeeds:
		return append(out, fmt.Sprintf("%s: too few to tell a difference from the spread over seeds, so there is no verdict. Take --seeds %d "+
			"or more.", count(len(ref.Seeds), "judging seed"), fewestSeeds))
	case len(others) == 0:
		return append(out, "No method has finished a run: there is nothing to judge.")
	}
	out = append(out, r.sentences("trained languages", r.Grid.Margin, others, func(f Family) Difference { return f.VsRef })...)
	out = append(out, r.sentences(worstLanguage, 2*r.Grid.Margin, others, func(f Family) Difference { return f.WorstVs })...)
	if !math.IsNaN(float64(ref.Unseen.Mean)) {
		out = append(out, r.sentences("unseen languages", r.Grid.Margin, others, func(f Family) Difference { return f.UnseenVs })...)
	}
	return append(append(out, r.interference()...), r.cautions()...)
}

// worstLanguage is the outcome that one language makes, in which the spread is larger: its
// margin is twice that of a mean.
const worstLanguage = "worst trained language"

// sentences judge one mean of languages, family by family.
func (r *Report) sentences(what string, margin float64, families []Family, of func(Family) Difference) (out []string) {
	groups, wide := map[string][]string{}, []string(nil)
	what = subject(what)
	for _, f := range families {
		d := of(f)
		text := func(word string) string {
			return fmt.Sprintf("%s: %s is %s than %s by %s bits per byte (interval %s)", what, f.Name, word, r.Reference,
				decimal(math.Abs(float64(d.Mean)), 4), span(d))
		}
		switch {
		case math.IsNaN(float64(d.Lo)):
			groups["unknown"] = append(groups["unknown"], f.Name)
		case d.Better():
			s := text("better") + ", at " + r.price(f)
			if strings.HasSuffix(what, "unseen languages") {
				s += equalLoss(f)
			}
			out = append(out, s+".")
		case d.Worse():
			out = append(out, text("worse")+".")
		case d.Equivalent(margin):
			groups["even"] = append(groups["even"], f.Name)
		default:
			if float64(d.Hi-d.Lo)/2 >= margin {
				wide = append(wide, f.Name)
			}
			groups["open"] = append(groups["open"],
				fmt.Sprintf("%s (a gain of more than %s is excluded, one of %s or more would show in 4 of 5 such comparisons)", f.Name,
					decimal(max(0, -float64(d.Lo)), 4), decimal(float64(d.Detectable), 4)))
		}
	}
	if list := groups["even"]; len(list) > 0 {
		out = append(out, fmt.Sprintf("%s: equivalent to %s within ±%s bits per byte: %s.", what, r.Reference, number(margin),
			strings.Join(list, ", ")))
	}
	if list := groups["open"]; len(list) > 0 {
		out = append(out, fmt.Sprintf("%s: not distinguishable from %s: %s.", what, r.Reference, strings.Join(list, "; ")))
	}
	if len(wide) > 0 {
		out = append(out, fmt.Sprintf("%s: for %s equivalence within ±%s bits per byte could not have been shown: half the interval is as wide. "+
			"More seeds or held-out examples make it narrower.", what, strings.Join(wide, ", "), number(margin)))
	}
	if list := groups["unknown"]; len(list) > 0 {
		out = append(out, fmt.Sprintf("%s: too few seeds to judge %s.", what, strings.Join(list, ", ")))
	}
	return append(out, fmt.Sprintf("(%s: intervals of differences paired by seed at equal batches, for %s at 95 %% together.)",
		what, count(len(families), "comparison")))
}

// subject begins a sentence about an outcome.
func subject(what string) string {
	if what != worstLanguage {
		return "Mean of the " + what
	}
	return strings.ToUpper(what[:1]) + what[1:]
}

// equalLoss says how much of a gain on unseen languages is left at equal loss on the trained.
func equalLoss(f Family) string {
	if f.AtEqualLoss.N == 0 {
		return "; how much of it comes from learning the trained languages less is not known (no learning rate of mean comes to the same loss)"
	}
	return fmt.Sprintf("; against mean at equal loss on the trained languages by %s (%s)", signed(float64(f.AtEqualLoss.Mean), 4),
		count(f.AtEqualLoss.N, "tuning seed"))
}

// interference says which languages the mixture helps and hurts.
func (r *Report) interference() (out []string) {
	var hurt, helped, open []string
	for _, l := range r.Alone {
		text := fmt.Sprintf("%s %s", l.Lang, l.Effect)
		switch {
		case math.IsNaN(float64(l.Effect.Lo)):
		case l.Effect.Worse():
			hurt = append(hurt, text)
		case l.Effect.Better():
			helped = append(helped, text)
		default:
			open = append(open, text)
		}
	}
	for _, g := range []struct {
		what string
		list []string
	}{{"hurt by the others", hurt}, {"helped by the others", helped}, {"not distinguishable from training alone", open}} {
		if len(g.list) > 0 {
			out = append(out, fmt.Sprintf("Languages in the mixture (mean), %s, in bits per byte against training alone on as many tokens of "+
				"them: %s.", g.what, strings.Join(g.list, ", ")))
		}
	}
	return out
}

// cautions are the limits of the choices that a reader should know.
func (r *Report) cautions() (out []string) {
	var edge []string
	least, most := math.MaxInt, 0
	for _, f := range r.Families {
		least, most = min(least, f.Candidates), max(most, f.Candidates)
		if f.Edge {
			edge = append(edge, f.Name)
		}
	}
	if len(edge) > 0 {
		out = append(out, fmt.Sprintf("The best learning rate was the smallest or largest tried for %s: a better one may lie beyond (--lrs).",
			strings.Join(edge, ", ")))
	}
	if least != most {
		out = append(out, fmt.Sprintf("Families had %d to %d candidates to choose from: the table says how many each.", least, most))
	}
	return out
}

// price is the cost of the family next to the reference.
func (r *Report) price(f Family) string {
	ref := r.family(r.Reference)
	return fmt.Sprintf("%s× its time a step and %s× its memory", decimal(f.StepSeconds/ref.StepSeconds, 2),
		decimal(float64(f.PeakBytes)/float64(ref.PeakBytes), 2))
}

// family is the named row, nil if there is none.
func (r *Report) family(name string) *Family {
	for i := range r.Families {
		if r.Families[i].Name == name {
			return &r.Families[i]
		}
	}
	return nil
}
