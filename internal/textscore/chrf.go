// Package textscore compares answers with the ones that were wanted: exact matches and
// chrF, each with an interval.
package textscore

import (
	"math"
	"strings"
	"unicode"

	"gonum.org/v1/gonum/stat/distuv"
)

// Score is a figure with its 95 % confidence interval over n answers; the bounds are
// NaN where there are too few.
type Score struct {
	Value, Low, High float64
	N                int
}

// Exact is the share of the answers that are the wanted ones but for white space at
// the ends, in 0 … 1, with Wilson's interval (Wilson, JASA 1927). Both lists have the
// same length; without answers the value is NaN.
func Exact(answers, wanted []string) Score {
	hits := 0.0
	for i := range answers {
		if strings.TrimSpace(answers[i]) == strings.TrimSpace(wanted[i]) {
			hits++
		}
	}
	n := float64(len(answers))
	z := distuv.UnitNormal.Quantile(0.975)
	p := hits / n
	middle, half := (p+z*z/(2*n))/(1+z*z/n), z/(1+z*z/n)*math.Sqrt(p*(1-p)/n+z*z/(4*n*n))
	s := Score{p, max(0, middle-half), min(1, middle+half), len(answers)}
	if len(answers) == 0 {
		s.Low, s.High = math.NaN(), math.NaN()
	}
	return s
}

// chrF's settings: those of chrF2, the usual one.
const (
	order = 6 // longest n-gram
	beta2 = 4 // recall counts β = 2 times as much as precision
)

// counts are, for each length of n-grams, how many an answer has, how many the wanted
// one has, and how many they share.
type counts [order]struct{ answer, wanted, both float64 }

// ChrF is chrF2 of all answers together, in 0 … 100 (Popović, WMT 2015; the counts of
// all answers are added up first, as sacrebleu's corpus score does). Its interval is by
// the jackknife over the answers. Both lists have the same length.
func ChrF(answers, wanted []string) Score {
	all := make([]counts, len(answers))
	var sum counts
	for i := range answers {
		all[i] = compare(answers[i], wanted[i])
		sum.add(all[i], 1)
	}
	s := Score{sum.f(), math.NaN(), math.NaN(), len(answers)}
	n := float64(len(answers))
	if len(answers) == 0 {
		s.Value = math.NaN()
	}
	if len(answers) < 2 {
		return s
	}
	mean, without := 0.0, make([]float64, len(all))
	for i, c := range all {
		rest := sum
		rest.add(c, -1)
		without[i] = rest.f()
		mean += without[i] / n
	}
	square := 0.0
	for _, v := range without {
		square += (v - mean) * (v - mean)
	}
	half := math.Sqrt((n-1)/n*square) * distuv.StudentsT{Sigma: 1, Nu: n - 1}.Quantile(0.975)
	s.Low, s.High = max(0, s.Value-half), min(100, s.Value+half)
	return s
}

func (c *counts) add(o counts, sign float64) {
	for k := range c {
		c[k].answer += sign * o[k].answer
		c[k].wanted += sign * o[k].wanted
		c[k].both += sign * o[k].both
	}
}

// f is the F-score of the mean precision and the mean recall over the lengths that
// both sides have.
func (c *counts) f() float64 {
	precision, recall, n := 0.0, 0.0, 0.0
	for _, k := range c {
		if k.answer > 0 && k.wanted > 0 {
			precision, recall, n = precision+k.both/k.answer, recall+k.both/k.wanted, n+1
		}
	}
	if precision+recall == 0 {
		return 0
	}
	precision, recall = precision/n, recall/n
	return 100 * (1 + beta2) * precision * recall / (beta2*precision + recall)
}

// compare counts the n-grams of characters, white space left out. Those of an answer
// count only where the wanted one is as long.
func compare(answer, wanted string) (c counts) {
	a, w := letters(answer), letters(wanted)
	for n := 1; n <= order; n++ {
		have, want := grams(a, n), grams(w, n)
		k := &c[n-1]
		k.wanted = float64(max(0, len(w)-n+1))
		if len(want) > 0 {
			k.answer = float64(max(0, len(a)-n+1))
		}
		for g, times := range have {
			k.both += float64(min(times, want[g]))
		}
	}
	return c
}

// letters are the text's characters without white space.
func letters(text string) []rune {
	return []rune(strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || r >= 0x1c && r <= 0x1f {
			return -1
		}
		return r
	}, text))
}

func grams(text []rune, n int) map[string]int {
	out := map[string]int{}
	for i := 0; i+n <= len(text); i++ {
		out[string(text[i:i+n])]++
	}
	return out
}
