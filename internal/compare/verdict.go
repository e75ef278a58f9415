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

// smallest is the least difference in bits per byte that counts as one, however
// alike the seeds are.
const smallest = 5e-4

// better reports whether the interval is below zero, and the mean by an amount
// that counts.
func (d Difference) better() bool { return d.Hi < 0 && d.Mean <= -smallest }

// worse is better's opposite.
func (d Difference) worse() bool { return d.Lo > 0 && d.Mean >= smallest }

// problems are what makes runs that have finished not comparable: other numbers
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
		if r.Tokens != a.Tokens || r.Steps != a.Steps {
			say("%s trained on %d tokens in %d steps, %s on %d in %d", r.Slug, r.Tokens, r.Steps, a.Slug, a.Tokens, a.Steps)
		}
		if r.Machine != a.Machine {
			say("%s ran on %s, %s on %s: times do not compare", r.Slug, r.Machine.Device, a.Slug, a.Machine.Device)
		}
		j := slices.IndexFunc(whole[:i], func(o Result) bool { return o.Seed == r.Seed && o.Temperature == r.Temperature })
		if j < 0 {
			continue
		}
		if b := whole[j]; b.Batches != r.Batches {
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

// judge says in plain language what the intervals allow to say. A gain is a gain
// over what was tuned: against untuned training alone nothing is claimed.
func (r *Report) judge() []string {
	var out []string
	if n := r.Planned - r.Finished - len(r.Failures); n > 0 {
		out = append(out, fmt.Sprintf("Not finished: %d of %d runs are missing. What follows may change.", n, r.Planned))
	}
	if n := len(r.Failures); n > 0 {
		out = append(out, fmt.Sprintf("%s failed and %s left out; see Failures.", count(n, "run"), map[bool]string{true: "is", false: "are"}[n == 1]))
	}
	if len(r.Problems) > 0 {
		return append(out, "These runs do not compare, so there is no verdict: "+strings.Join(r.Problems, "; ")+".")
	}
	var methods []Family
	for _, f := range r.Families {
		if f.Resolves {
			methods = append(methods, f)
		}
	}
	ref := r.family(r.Reference)
	switch {
	case len(methods) == 0:
		return append(out, "No method that resolves gradients has finished a run: there is nothing to judge.")
	case r.Reference == "":
		return append(out, "No tuned scalarisation was run (--static-sweep, --temperatures), so no gain is claimed: differences from untuned mean, in the table, are not evidence that a method is worth its place.")
	case ref == nil:
		return append(out, "The tuned baseline has not finished a run: no gain is claimed.")
	case len(ref.Seeds) < fewestSeeds:
		return append(out, fmt.Sprintf("%s: too few to tell a difference from the spread over seeds, so there is no verdict. Take --seeds %d or more.", count(len(ref.Seeds), "seed"), fewestSeeds))
	}
	out = append(out, r.sentences("trained languages", methods, func(f Family) Difference { return f.JudgedSeen })...)
	if !math.IsNaN(float64(ref.Unseen.Mean)) {
		out = append(out, r.sentences("unseen languages", methods, func(f Family) Difference { return f.JudgedUnseen })...)
	}
	if len(ref.Seeds) < 5 {
		out = append(out, fmt.Sprintf("With %d seeds only large differences show; that none does is not evidence that there is none.", len(ref.Seeds)))
	}
	return out
}

// sentences judge one mean of languages, method by method.
func (r *Report) sentences(what string, methods []Family, of func(Family) Difference) []string {
	var out, even, unknown []string
	for _, f := range methods {
		d := of(f)
		text := func(word string) string {
			return fmt.Sprintf("Mean of the %s: %s is %s than %s by %s bits per byte (interval %s)", what, f.Name, word, r.Reference, decimal(math.Abs(float64(d.Mean)), 4), interval(d))
		}
		switch {
		case math.IsNaN(float64(d.Lo)):
			unknown = append(unknown, f.Name)
		case d.better():
			out = append(out, text("better")+", at "+r.price(f)+".")
		case d.worse():
			out = append(out, text("worse")+".")
		default:
			even = append(even, f.Name)
		}
	}
	level := 100 * (1 - (1-confidence)/float64(len(methods)))
	how := fmt.Sprintf("(%.3g %% intervals of the difference paired by seed, for %s at 95 %% together)", level, count(len(methods), "comparison"))
	switch {
	case len(even) == len(methods):
		out = append(out, fmt.Sprintf("Mean of the %s: no method differs from %s beyond the spread over seeds %s.", what, r.Reference, how))
	case len(even) > 0:
		out = append(out, fmt.Sprintf("Mean of the %s: not different from %s beyond the spread over seeds: %s %s.", what, r.Reference, strings.Join(even, ", "), how))
	}
	if len(unknown) > 0 {
		out = append(out, fmt.Sprintf("Mean of the %s: too few seeds to judge %s.", what, strings.Join(unknown, ", ")))
	}
	return out
}

// price is what the family costs next to the reference.
func (r *Report) price(f Family) string {
	ref := r.family(r.Reference)
	return fmt.Sprintf("%s× its time a step and %s× its memory", decimal(f.StepSeconds/ref.StepSeconds, 2), decimal(float64(f.PeakBytes)/float64(ref.PeakBytes), 2))
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
