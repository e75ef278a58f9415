package compare

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"concord/internal/report"
	"concord/internal/stats"
)

// fill writes families and configurations into the report.
func (c *choice) fill(out *Report) {
	out.Reference = c.reference()
	chosen := map[Config][]string{}
	for _, name := range c.families() {
		k, candidates, ok := c.best(name)
		if !ok {
			continue
		}
		chosen[k] = append(chosen[k], name)
		if k.Only != "" {
			continue
		}
		f := c.family(name, k)
		f.Candidates = candidates
		out.Families = append(out.Families, f)
	}
	c.compareFamilies(out)
	out.Alone = c.alone()
	for _, k := range c.configs {
		runs := c.tuning[k]
		out.Tried = append(out.Tried, Tried{Config: k, Name: k.String(), Families: k.families(), ChosenFor: chosen[k], Valid: c.valid(k),
			Test: stats.NewSpread(each(runs, seenTest)), Unseen: stats.NewSpread(each(runs, unseenTest)), Failed: c.failed[k]})
	}
}

// compareFamilies fills in the differences from the reference and from mean: the
// intervals of a column hold together.
func (c *choice) compareFamilies(out *Report) {
	var seen, unseen, mean, worstOf [][]float64
	var seenEx, unseenEx, meanEx, worstEx []float64
	for i := range out.Families {
		f := &out.Families[i]
		if ref, ok := c.matched(f.Chosen); ok {
			f.Reference = ref
		}
		m, _ := c.meanAt(f.Chosen)
		seen = append(seen, c.judged(f.Chosen, f.Reference, seenTest))
		unseen = append(unseen, c.judged(f.Chosen, f.Reference, unseenTest))
		mean = append(mean, c.judged(f.Chosen, m, seenTest))
		worstOf = append(worstOf, c.judged(f.Chosen, f.Reference, worstTest))
		runs, ref := c.judging[f.Chosen], c.judging[f.Reference]
		seenEx, unseenEx, meanEx = append(seenEx, exampleVariance(runs, ref, true, "")), append(unseenEx, exampleVariance(runs, ref, false, "")),
			append(meanEx, exampleVariance(runs, c.judging[m], true, ""))
		worstEx = append(worstEx, exampleVariance(runs, ref, true, f.WorstLang))
	}
	a, b, d := stats.Together(seen, seenEx), stats.Together(unseen, unseenEx), stats.Together(mean, meanEx)
	for i, w := range stats.Together(worstOf, worstEx) {
		out.Families[i].WorstVs = w
		out.Families[i].VsRef, out.Families[i].UnseenVs, out.Families[i].VsMean = a[i], b[i], d[i]
	}
}

// judged are the differences between the judging runs of two configurations; none for
// one from itself.
func (c *choice) judged(a, b Config, measure func(Result) float64) []float64 {
	if a == b || len(c.judging) == 0 {
		return nil
	}
	return c.differences(a, b, measure)
}

// alone compares each language by itself with mean's mixture at the same temperature.
func (c *choice) alone() (out []Interference) {
	var effects [][]float64
	var examples []float64
	for _, k := range c.configs {
		best, _, ok := c.best(k.Name())
		if k.Only == "" || !ok || best != k {
			continue
		}
		mean, _ := c.meanAt(k)
		of := func(r Result) float64 { return score(r.Test, k.Only) }
		out = append(out, Interference{Lang: k.Only, Alone: k, ByItself: stats.NewSpread(each(c.judging[k], of)),
			Mixture: stats.NewSpread(each(c.judging[mean], of))})
		effects = append(effects, c.judged(mean, k, of))
		examples = append(examples, exampleVariance(c.judging[mean], c.judging[k], true, k.Only))
	}
	for i, d := range stats.Together(effects, examples) {
		out[i].Effect = d
	}
	return out
}

func seenTest(r Result) float64   { return average(r.Test, true) }
func unseenTest(r Result) float64 { return average(r.Test, false) }
func worstTest(r Result) float64  { v, _ := worst(r.Test); return v }

// family is the row of the configuration k.
func (c *choice) family(name string, k Config) Family {
	runs := c.judging[k]
	f := Family{Name: name, Chosen: k, Resolves: resolves(k.Method), Edge: c.edge(k.LR), AtEqualLoss: c.atEqualLoss(k)}
	var negative, pairs int64
	f.PeakBytes = int64(stats.Median(each(runs, func(r Result) float64 { return float64(r.PeakBytes) })))
	for _, r := range runs {
		n := float64(len(runs))
		f.Seeds = append(f.Seeds, r.Seed)
		f.Seconds, f.StepSeconds = f.Seconds+r.Seconds/n, f.StepSeconds+r.StepSeconds/n
		negative, pairs = negative+r.Negative, pairs+r.Pairs
	}
	f.Conflict = report.Float(float64(negative) / float64(pairs)) // NaN without pairs
	f.Seen, f.Unseen = stats.NewSpread(each(runs, seenTest)), stats.NewSpread(each(runs, unseenTest))
	f.Worst = stats.NewSpread(each(runs, worstTest))
	mean, _ := c.meanAt(k)
	f.Languages, f.Curve = languages(runs, c.judging[mean]), meanCurve(runs)
	high := math.Inf(-1)
	for _, l := range f.Languages {
		if v := float64(l.Test.Mean); l.Seen && v > high {
			high, f.WorstLang = v, l.Lang
		}
	}
	return f
}

// edge says that a learning rate is the smallest or the largest of several tried: a
// better one may lie beyond.
func (c *choice) edge(lr float64) bool {
	return len(c.grid.LRs) > 1 && (lr == slices.Min(c.grid.LRs) || lr == slices.Max(c.grid.LRs))
}

// atEqualLoss is how the unseen languages of k differ from those of mean at the same
// temperature, trained at the learning rate at which its trained languages come to the
// same: a method that learns less also forgets less. Rates in between are interpolated;
// beyond those tried there is no figure.
func (c *choice) atEqualLoss(k Config) Spread {
	var out []float64
	for _, r := range c.tuning[k] {
		var frontier [][2]float64 // seen, unseen by learning rate
		for _, m := range c.configs {
			if m.Method != familyMean || m.Only != "" || m.Temperature != k.Temperature {
				continue
			}
			for _, o := range c.tuning[m] {
				if o.Seed == r.Seed {
					frontier = append(frontier, [2]float64{seenTest(o), unseenTest(o)})
				}
			}
		}
		if at := interpolate(frontier, seenTest(r)); k.Method != familyMean && !math.IsNaN(at) {
			out = append(out, unseenTest(r)-at)
		}
	}
	return stats.NewSpread(out)
}

// interpolate is the value at x of a curve through points, NaN outside of them.
func interpolate(points [][2]float64, x float64) float64 {
	slices.SortFunc(points, func(a, b [2]float64) int { return cmp.Compare(a[0], b[0]) })
	for i := 1; i < len(points); i++ {
		a, b := points[i-1], points[i]
		if a[0] <= x && x <= b[0] && b[0] > a[0] {
			return a[1] + (b[1]-a[1])*(x-a[0])/(b[0]-a[0])
		}
	}
	return math.NaN()
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
	return stats.Paired(x, y, level)
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
			out = append(out, Language{s.Lang, seen, stats.NewSpread(each(runs, of)), versus(runs, mean, stats.Confidence, of)})
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

// unmark divides the scores that marked has put together.
func unmark(base []Score) (valid, test []Score) {
	for _, s := range base {
		lang, isTest := strings.CutSuffix(s.Lang, TestSuffix)
		if s.Lang = lang; isTest {
			test = append(test, s)
		} else {
			valid = append(valid, s)
		}
	}
	return valid, test
}
