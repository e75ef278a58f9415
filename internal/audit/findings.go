package audit

import (
	"cmp"
	"math"
	"slices"

	"concord/internal/report"
	"concord/internal/stats"
)

// Verdict is the statement that the interval of an effect allows.
type Verdict string

// Verdicts on a language in the mixture, against training it alone.
const (
	Hurt    Verdict = "hurt"
	Helped  Verdict = "helped"
	Even    Verdict = "even"   // within the margin, in either direction
	Slowed  Verdict = "slowed" // hurt, but much less after twice the steps
	Open    Verdict = "not distinguishable"
	Unknown Verdict = "too few seeds"
)

// verdictOf says it. Below zero is better.
func verdictOf(d stats.Difference, margin float64) Verdict {
	switch {
	case d.N < fewestSeeds:
		return Unknown
	case d.Worse() && float64(d.Mean) >= margin:
		return Hurt
	case d.Better() && float64(d.Mean) <= -margin:
		return Helped
	case d.Equivalent(margin):
		return Even
	}
	return Open
}

// Interference is the effect of the mixture on one language.
type Interference struct {
	Lang    string           `json:"lang"`
	Verdict Verdict          `json:"verdict"`
	Alone   stats.Spread     `json:"alone"`
	Mixture stats.Spread     `json:"mixture"`
	Base    report.Float     `json:"base"`   // before training
	Effect  stats.Difference `json:"effect"` // mixture − alone, bits per byte: above 0 it is hurt
	Longer  stats.Difference `json:"longer"` // the mixture of twice the steps − alone, where there is one
	LR      float64          `json:"lr_alone"`
	Edge    bool             `json:"edge"`         // of the rates tried, for either
	Tokens  report.Float     `json:"tokens_ratio"` // supervised tokens of it, mixture over alone
}

// interference is that of every trained language of some data; the intervals hold together.
func (a *audit) interference(data string) (out []Interference) {
	var effects [][]float64
	var examples []float64
	mixture, mixEdge := a.rate(armMixture, "", data)
	for _, l := range a.langsOf(data) {
		lr, edge := a.rate(armAlone, l, data)
		alone, mixed := a.judged(Spec{Arm: armAlone, Only: l, LR: lr, Data: data}), a.judged(Spec{Arm: armMixture, LR: mixture, Data: data})
		of := func(r *Result) float64 { return r.Bits[l] }
		f := Interference{Lang: l, LR: lr, Edge: edge || mixEdge, Alone: stats.NewSpread(each(alone, of)), Mixture: stats.NewSpread(each(mixed,
			of)), Base: report.Float(math.NaN())}
		if b := a.results[a.tuning("")[0].Slug()]; b != nil && data == "" {
			f.Base = report.Float(b.Base[l])
		}
		if len(alone) > 0 && len(mixed) > 0 {
			f.Tokens = report.Float(float64(mixed[0].ByLang[l]) / float64(alone[0].ByLang[l]))
		}
		effects, examples = append(effects, a.effects(l, data)), append(examples, exampleVariance(mixed, alone, []string{l}))
		out = append(out, f)
	}
	var longer [][]float64
	for _, f := range out {
		longer = append(longer, a.pairs(Spec{Arm: armLonger, LR: mixture, Data: data}, Spec{Arm: armAlone, Only: f.Lang, LR: f.LR, Data: data},
			[]string{f.Lang}))
	}
	after := stats.Together(longer, nil)
	for i, d := range stats.Together(effects, examples) {
		out[i].Effect, out[i].Longer, out[i].Verdict = d, after[i], verdictOf(d, a.o.Margin)
		if out[i].Verdict == Hurt && a.goes(d, after[i]) {
			out[i].Verdict = Slowed
		}
	}
	return out
}

// goes says that after twice the steps the language is not found to be hurt any more, and
// that the rest is surely below the margin, or below half of the first effect. Not to be
// distinguishable is not enough.
func (a *audit) goes(effect, longer stats.Difference) bool {
	return longer.N >= fewestSeeds && verdictOf(longer, a.o.Margin) != Hurt && float64(longer.Hi) < max(a.o.Margin, float64(effect.Mean)/2)
}

// effects are a language's differences, mixture − alone, by judging seed.
func (a *audit) effects(lang, data string) []float64 {
	mixture, _ := a.rate(armMixture, "", data)
	alone, _ := a.rate(armAlone, lang, data)
	return a.pairs(Spec{Arm: armMixture, LR: mixture, Data: data}, Spec{Arm: armAlone, Only: lang, LR: alone, Data: data}, []string{lang})
}

// judged are an arm's results under the judging seeds.
func (a *audit) judged(s Spec) []*Result {
	return slices.DeleteFunc(a.of(s), func(r *Result) bool { return r.Seed == a.seed })
}

// pairs are the differences of the mean over some languages between two arms, by judging
// seed.
func (a *audit) pairs(x, y Spec, langs []string) (out []float64) {
	for _, r := range a.judged(x) {
		y.Seed = r.Seed
		if o := a.results[y.Slug()]; o != nil && o.Error == "" {
			if d := mean(r, langs) - mean(o, langs); !math.IsNaN(d) {
				out = append(out, d)
			}
		}
	}
	return out
}

// hurt are the languages that are hurt.
func (a *audit) hurt() (out []string) {
	for _, f := range a.interference("") {
		if f.Verdict == Hurt {
			out = append(out, f.Lang)
		}
	}
	return out
}

// Help is the effect of a remedy.
type Help struct {
	Name    string           `json:"name"`
	What    string           `json:"what"`
	Gain    stats.Difference `json:"gain"`   // of the languages in question: remedy − mixture, below 0 is better
	Others  stats.Difference `json:"others"` // the other trained languages
	Unseen  stats.Difference `json:"unseen"` // languages that are only measured: above 0 more is forgotten
	Cost    float64          `json:"cost"`   // a step's time, in the mixture's
	Run     float64          `json:"run"`    // a run's steps, in the mixture's
	Verdict Verdict          `json:"verdict"`
	Error   string           `json:"error,omitempty"`
}

// PerCost is the gain for the time that it takes.
func (h Help) PerCost() float64 { return -float64(h.Gain.Mean) / max(h.Cost*h.Run, 0.01) }

// helps are the remedies that were tried, the best first: those that help by gain for
// their cost, then those that cannot be told from the mixture, then those that hurt.
func (a *audit) helps() (out []Help) {
	lr, _ := a.rate(armMixture, "", "")
	mix := Spec{Arm: armMixture, LR: lr}
	var others []string
	for _, l := range a.langs {
		if !slices.Contains(a.plan.Hurt, l) {
			others = append(others, l)
		}
	}
	var gains, rest, unseen [][]float64
	var examples []float64
	for _, r := range a.remedies() {
		s := Spec{Arm: r.name, LR: lr}
		runs, mixed := a.judged(s), a.judged(mix)
		h := Help{Name: r.name, What: r.what}
		if first := a.results[a.at(r.name, "", "", 0).Slug()]; first == nil {
			continue
		} else if first.Error != "" {
			h.Error = first.Error
		}
		if len(runs) > 0 && len(mixed) > 0 {
			h.Cost = median(runs) / median(mixed)
			h.Run = float64(runs[0].Steps) / float64(mixed[0].Steps)
		}
		gains, examples = append(gains, a.pairs(s, mix, a.plan.Hurt)), append(examples, exampleVariance(runs, mixed, a.plan.Hurt))
		rest, unseen = append(rest, a.someOf(s, mix, others)), append(unseen, a.someOf(s, mix, a.unseen))
		out = append(out, h)
	}
	g, o, u := stats.Together(gains, examples), stats.Together(rest, nil), stats.Together(unseen, nil)
	for i := range out {
		out[i].Gain, out[i].Others, out[i].Unseen = g[i], o[i], u[i]
		out[i].Verdict = verdictOf(g[i], stats.Smallest)
	}
	rank := map[Verdict]int{Helped: 0, Open: 1, Even: 1, Hurt: 2, Unknown: 3}
	slices.SortStableFunc(out, func(x, y Help) int {
		return cmp.Or(cmp.Compare(rank[x.Verdict], rank[y.Verdict]), cmp.Compare(y.PerCost(), x.PerCost()))
	})
	return out
}

// someOf is pairs, none where there are no such languages.
func (a *audit) someOf(x, y Spec, langs []string) []float64 {
	if len(langs) == 0 {
		return nil
	}
	return a.pairs(x, y, langs)
}

// Forgotten is the effect of the mixture on a language that is only measured.
type Forgotten struct {
	Lang   string           `json:"lang"`
	Base   report.Float     `json:"base"`
	After  stats.Spread     `json:"after"`
	Change stats.Difference `json:"change"` // after − before: above 0 it is forgotten
}

// forgetting is that of every unseen language.
func (a *audit) forgetting() (out []Forgotten) {
	lr, _ := a.rate(armMixture, "", "")
	first := a.results[a.tuning("")[0].Slug()]
	if first == nil || first.Base == nil {
		return nil
	}
	var changes [][]float64
	runs := a.judged(Spec{Arm: armMixture, LR: lr})
	for _, l := range a.unseen {
		of := func(r *Result) float64 { return r.Bits[l] }
		out = append(out, Forgotten{Lang: l, Base: report.Float(first.Base[l]), After: stats.NewSpread(each(runs, of))})
		changes = append(changes, each(runs, func(r *Result) float64 { return r.Bits[l] - first.Base[l] }))
	}
	for i, d := range stats.Together(changes, nil) {
		out[i].Change = d
	}
	return out
}

// exampleVariance is the variance, from the choice of the held-out examples, of the
// difference of the mean over some languages between two arms.
func exampleVariance(x, y []*Result, langs []string) float64 {
	sum := 0.0
	for _, l := range langs {
		var bits, bytes []float64
		pairs := 0.0
		for _, r := range x {
			i := slices.IndexFunc(y, func(o *Result) bool { return o.Seed == r.Seed })
			if i < 0 || len(r.Docs[l]) == 0 || len(r.Docs[l]) != len(y[i].Docs[l]) {
				continue
			}
			if bits == nil {
				bits, bytes = make([]float64, len(r.Docs[l])), make([]float64, len(r.Docs[l]))
			}
			pairs++
			for k, d := range r.Docs[l] {
				bits[k] += d.Bits - y[i].Docs[l][k].Bits
				bytes[k] = float64(d.Bytes)
			}
		}
		for k := range bits {
			bits[k] /= pairs
		}
		sum += stats.RatioVariance(bits, bytes)
	}
	return sum / float64(max(1, len(langs)*len(langs)))
}

func each(runs []*Result, f func(*Result) float64) []float64 {
	out := make([]float64, len(runs))
	for i, r := range runs {
		out[i] = f(r)
	}
	return out
}

// median is that of the runs' times of a step.
func median(runs []*Result) float64 {
	return stats.Median(each(runs, func(r *Result) float64 { return r.Step }))
}
