package compare

import (
	"math"
	"slices"
	"strings"

	"concord/internal/report"
)

// fill writes families and configurations into the report.
func (c *choice) fill(out *Report, g Grid) {
	out.Reference = reference(g)
	mean, _, haveMean := c.best(familyMean)
	ref, _, haveRef := c.best(out.Reference)
	if !haveMean {
		mean = Config{Method: "none"}
	}
	if !haveRef {
		ref = Config{Method: "none"}
	}
	chosen := map[Config][]string{}
	methods := 0
	for _, name := range c.families(g) {
		k, candidates, ok := c.best(name)
		if !ok {
			continue
		}
		chosen[k] = append(chosen[k], name)
		f := c.family(name, k, c.runs[mean], c.runs[ref])
		f.Candidates = candidates
		if f.Resolves {
			methods++
		}
		out.Families = append(out.Families, f)
	}
	level := 1 - (1-confidence)/float64(max(methods, 1))
	for i := range out.Families {
		f := &out.Families[i]
		f.JudgedSeen = versus(c.runs[f.Chosen], c.runs[ref], level, seenTest)
		f.JudgedUnseen = versus(c.runs[f.Chosen], c.runs[ref], level, unseenTest)
	}
	for _, k := range c.configs {
		runs := c.runs[k]
		out.Tried = append(out.Tried, Tried{Config: k, Name: k.String(), Families: k.families(), ChosenFor: chosen[k], Valid: c.valid(k),
			Test: newSpread(each(runs, seenTest)), Unseen: newSpread(each(runs, unseenTest)), Failed: c.failed[k]})
	}
}

func seenTest(r Result) float64   { return average(r.Test, true) }
func unseenTest(r Result) float64 { return average(r.Test, false) }

// family is the row of the configuration k, next to the runs of mean and of the
// reference.
func (c *choice) family(name string, k Config, mean, ref []Result) Family {
	runs := c.runs[k]
	f := Family{Name: name, Chosen: k, Resolves: resolves(k.Method)}
	var negative, pairs int64
	f.PeakBytes = int64(median(each(runs, func(r Result) float64 { return float64(r.PeakBytes) })))
	for _, r := range runs {
		n := float64(len(runs))
		f.Seeds = append(f.Seeds, r.Seed)
		f.Seconds, f.StepSeconds = f.Seconds+r.Seconds/n, f.StepSeconds+r.StepSeconds/n
		negative, pairs = negative+r.Negative, pairs+r.Pairs
	}
	f.Conflict = report.Float(float64(negative) / float64(pairs)) // NaN without pairs
	f.Seen, f.Unseen = newSpread(each(runs, seenTest)), newSpread(each(runs, unseenTest))
	f.Worst = newSpread(each(runs, func(r Result) float64 { v, _ := worst(r.Test); return v }))
	f.VsMean, f.VsTuned = versus(runs, mean, confidence, seenTest), versus(runs, ref, confidence, seenTest)
	f.UnseenVs = versus(runs, ref, confidence, unseenTest)
	f.Languages, f.Curve = languages(runs, mean), meanCurve(runs)
	high := math.Inf(-1)
	for _, l := range f.Languages {
		if v := float64(l.Test.Mean); l.Seen && v > high {
			high, f.WorstLang = v, l.Lang
		}
	}
	return f
}

// worst is the trained language with the most bits per byte.
func worst(scores []Score) (float64, string) {
	high, lang := math.NaN(), ""
	for _, s := range scores {
		if v := float64(s.BitsPerByte); s.Seen && !(v <= high) {
			high, lang = v, s.Lang
		}
	}
	return high, lang
}

// versus is the difference of a measure between runs of two configurations,
// over the seeds that both have.
func versus(a, b []Result, level float64, measure func(Result) float64) Difference {
	var x, y []float64
	for _, r := range a {
		i := slices.IndexFunc(b, func(o Result) bool { return o.Seed == r.Seed })
		if i >= 0 {
			x, y = append(x, measure(r)), append(y, measure(b[i]))
		}
	}
	return paired(x, y, level)
}

// languages are a family's rows by language, trained ones first.
func languages(runs, mean []Result) []Language {
	if len(runs) == 0 {
		return nil
	}
	var out []Language
	for _, seen := range []bool{true, false} {
		for _, s := range runs[0].Test {
			if s.Seen != seen {
				continue
			}
			of := func(r Result) float64 { return score(r.Test, s.Lang) }
			out = append(out, Language{s.Lang, seen, newSpread(each(runs, of)), versus(runs, mean, confidence, of)})
		}
	}
	return out
}

// score is a language's bits per byte, NaN where it was not measured.
func score(scores []Score, lang string) float64 {
	for _, s := range scores {
		if s.Lang == lang {
			return float64(s.BitsPerByte)
		}
	}
	return math.NaN()
}

// meanCurve averages the runs' curves, which have the same steps.
func meanCurve(runs []Result) []Point {
	out := []Point{}
	for i := range runs {
		for j, p := range runs[i].Curve {
			if j == len(out) {
				out = append(out, Point{Step: p.Step})
			}
			out[j].Loss += p.Loss / report.Float(len(runs))
		}
	}
	return out
}

// unmark divides what marked has put together.
func unmark(base []Score) (valid, test []Score) {
	for _, s := range base {
		lang, isTest := strings.CutSuffix(s.Lang, testSuffix)
		if s.Lang = lang; isTest {
			test = append(test, s)
		} else {
			valid = append(valid, s)
		}
	}
	return valid, test
}
