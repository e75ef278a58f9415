package audit

import (
	"encoding/json"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"concord/internal/safetensors"
	"concord/internal/stats"
	"concord/internal/train"
)

// Report is an audit's outcome; report.json holds it. Figures are bits per byte of the
// held-out examples, means over the judging seeds.
type Report struct {
	Command      string          `json:"command"`
	Version      string          `json:"version"`
	Name         string          `json:"name"`
	Model        string          `json:"model"`
	Machine      string          `json:"machine"`
	Mixing       string          `json:"mixing"`
	Steps        int             `json:"steps"`
	RunSteps     int             `json:"run_steps"`
	Seeds        int             `json:"seeds"`        // that judge
	SeedsWanted  int             `json:"seeds_wanted"` // to tell differences of the margin, at most as many as asked for
	Margin       float64         `json:"margin"`
	Runs         int             `json:"runs"`
	Tokens       int64           `json:"tokens"`
	Seconds      float64         `json:"seconds"`
	Unfinished   string          `json:"unfinished,omitempty"`
	Verdict      []string        `json:"verdict"`
	Interference []Interference  `json:"interference"`
	Transfer     *Transfer       `json:"transfer,omitempty"`
	Remedies     []Help          `json:"remedies,omitempty"`
	For          []string        `json:"remedies_for,omitempty"` // languages
	Forgetting   []Forgotten     `json:"forgetting,omitempty"`
	Controls     []Control       `json:"controls,omitempty"`
	Failures     []string        `json:"failures,omitempty"`
	Learned      map[string]bool `json:"learned,omitempty"` // by language: training alone lowers its loss
}

// report takes together the results so far.
func (a *audit) report() *Report {
	r := &Report{Command: a.o.Command, Version: a.plan.Version, Name: a.base.Run.Name, Mixing: mixing(a.base), Steps: a.plan.Steps,
		RunSteps: a.plan.RunSteps, Margin: a.o.Margin,
		Interference: a.interference(""), Transfer: a.transfer(), Forgetting: a.forgetting(), Controls: a.controlFindings(), Unfinished: a.why,
		Runs: len(a.results), SeedsWanted: a.wanted()}
	if a.needsRemedies() {
		r.Remedies, r.For = a.helps(), a.plan.Hurt
	}
	for _, x := range a.results {
		r.Tokens, r.Seconds = r.Tokens+x.Tokens, r.Seconds+x.Seconds
		if x.Error != "" {
			line, _, _ := strings.Cut(x.Error, "\n")
			r.Failures = append(r.Failures, fmt.Sprintf("%s: %s", x.Slug(), line))
		}
		if x.Model != "" {
			r.Model, r.Machine = x.Model, x.Machine
		}
	}
	slices.Sort(r.Failures)
	for _, f := range r.Interference {
		r.Seeds = max(r.Seeds, f.Effect.N)
	}
	r.Verdict = r.judge()
	return r
}

// write stores the report in three forms in dir.
func (r *Report) write(dir string) error {
	asJSON, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	page, err := r.html()
	if err != nil {
		return err
	}
	for name, text := range map[string][]byte{"report.json": append(asJSON, '\n'), "report.txt": []byte(r.Text()), "report.html": page} {
		if err := safetensors.WriteFile(filepath.Join(dir, name), text); err != nil {
			return train.DataError(err)
		}
	}
	return nil
}

// judge says in plain words the statements that the intervals allow.
func (r *Report) judge() (out []string) {
	if r.Seeds < fewestSeeds {
		return append(out, fmt.Sprintf("Not finished: %d of at least %d judging seeds are there, so there is no verdict "+
			"yet. The same command goes on.", r.Seeds, fewestSeeds))
	}
	by := map[Verdict][]string{}
	least, most := math.Inf(1), 0.0
	for _, f := range r.Interference {
		by[f.Verdict] = append(by[f.Verdict], fmt.Sprintf("%s (%s)", f.Lang, effectText(f)))
		if d := float64(f.Effect.Detectable); !math.IsNaN(d) {
			least, most = min(least, d), max(most, d)
		}
	}
	if n := len(by[Hurt]); n > 0 {
		out = append(out, fmt.Sprintf("Training together hurts %d of %d languages: %s.", n, len(r.Interference), strings.Join(by[Hurt], ", ")))
	} else {
		out = append(out, fmt.Sprintf("No language is found to be hurt by training together by %s bits per byte or more.", number(r.Margin)))
	}
	for _, g := range []struct {
		v    Verdict
		text string
	}{{Slowed, "It slows %s: with twice the steps they are not found to be hurt any more, so longer training may be the remedy."},
		{Helped, "It helps %s."}, {Even, "It makes no difference beyond the margin to %s."},
		{Open, "Not distinguishable from training alone: %s."}, {Unknown, "Not known, for want of runs: %s."}} {
		if len(by[g.v]) > 0 {
			out = append(out, fmt.Sprintf(g.text, strings.Join(by[g.v], ", ")))
		}
	}
	out = append(out, fmt.Sprintf("With %d seeds the audit finds differences of %s to %s bits per byte, by language, in 4 of 5 such audits.",
		r.Seeds, stats.Decimal(least, 4), stats.Decimal(most, 4)))
	out = append(out, r.remedyText()...)
	out = append(out, r.cautions()...)
	return out
}

// effectText is an effect in words.
func effectText(f Interference) string {
	return fmt.Sprintf("%s bits per byte, interval %s", stats.Signed(float64(f.Effect.Mean), 4), f.Effect.Span(" … "))
}

func number(v float64) string { return fmt.Sprintf("%g", v) }

// remedyText names the remedies that help.
func (r *Report) remedyText() (out []string) {
	open := slices.ContainsFunc(r.Interference, func(f Interference) bool { return f.Verdict == Open || f.Verdict == Unknown })
	switch {
	case len(r.For) == 0 && slices.ContainsFunc(r.Interference, func(f Interference) bool { return f.Verdict == Hurt }):
		return append(r.separately(), "No remedy was tried.")
	case len(r.For) == 0 && open:
		return []string{"No remedy was tried. What is not distinguishable may still be hurt by less than could be seen: a " +
			"larger budget, --steps or --seeds tells; --remedies all tries them all the same."}
	case len(r.For) == 0:
		return []string{"So plain mixing is the advice: there is nothing for a method to resolve. --remedies all tries them all the same."}
	}
	var better, even, worse []string
	for _, h := range r.Remedies {
		switch h.Verdict {
		case Helped:
			better = append(better, fmt.Sprintf("%s by %s (%s× the time of a step)", h.Name, stats.Decimal(-float64(h.Gain.Mean), 4),
				stats.Decimal(h.Cost, 1)))
		case Open, Even:
			even = append(even, h.Name)
		case Hurt:
			worse = append(worse, h.Name)
		}
	}
	whom := strings.Join(r.For, ", ")
	if len(better) > 0 {
		out = append(out, fmt.Sprintf("What helps %s, by gain for its cost: %s.", whom, strings.Join(better, "; ")))
	} else if len(even) > 0 {
		out = append(out, fmt.Sprintf("Nothing that was tried is found to help %s.", whom))
	}
	out = append(out, r.separately()...)
	if len(even) > 0 {
		out = append(out, fmt.Sprintf("Not distinguishable from the plain mixture for %s: %s.", whom, strings.Join(even, ", ")))
	}
	if len(worse) > 0 {
		out = append(out, fmt.Sprintf("Worse than the plain mixture for %s: %s.", whom, strings.Join(worse, ", ")))
	}
	return out
}

// separately says how much a model of their own gives to the languages that are hurt.
func (r *Report) separately() []string {
	sum, n := 0.0, 0.0
	for _, f := range r.Interference {
		if f.Verdict == Hurt {
			sum, n = sum+float64(f.Effect.Mean), n+1
		}
	}
	if n == 0 {
		return nil
	}
	return []string{fmt.Sprintf("A model of its own for each language that is hurt gains %s bits per byte, their mean: "+
		"the most that a remedy is measured against.", stats.Decimal(sum/n, 4))}
}

// unequal is the difference in tokens, as a share, that is said.
const unequal = 0.1

// cautions are the things that a reader should know.
func (r *Report) cautions() (out []string) {
	var edge, idle, uneven []string
	for _, f := range r.Interference {
		if f.Edge {
			edge = append(edge, f.Lang)
		}
		if float64(f.Alone.Mean) >= float64(f.Base) {
			idle = append(idle, f.Lang)
		}
	}
	for _, f := range r.Interference {
		if x := float64(f.Tokens); math.Abs(x-1) > unequal {
			uneven = append(uneven, fmt.Sprintf("%s %.2f", f.Lang, x))
		}
	}
	if len(uneven) > 0 {
		out = append(out, fmt.Sprintf("Not quite at equal tokens: the mixture trained on so many times the tokens of the "+
			"language alone: %s.", strings.Join(uneven, ", ")))
	}
	if len(idle) > 0 {
		out = append(out, fmt.Sprintf("Runs this short teach nothing measurable of %s: the audit says little about it (--steps, --budget).",
			strings.Join(idle, ", ")))
	}
	if len(edge) > 0 {
		out = append(out, fmt.Sprintf("The best of the learning rates tried was the smallest or largest for %s or its "+
			"mixture: a better one may lie beyond.", strings.Join(edge, ", ")))
	}
	if r.Steps < r.RunSteps {
		out = append(out, fmt.Sprintf("Runs had %d steps, the run file has %d: what shows only later is not seen.", r.Steps, r.RunSteps))
	}
	for _, c := range r.Controls {
		word := "is not finished"
		if c.Pass != nil {
			word = map[bool]string{true: "came out as it must", false: "did NOT come out as it must"}[*c.Pass]
		}
		out = append(out, fmt.Sprintf("The %s %s: %s.", c.Name, word, c.Text))
	}
	if len(r.Controls) == 0 {
		out = append(out, "Controls were not run: --controls says whether runs like these could have seen anything.")
	}
	if r.Unfinished != "" {
		out = append(out, "Not finished: "+r.Unfinished+".")
	}
	if len(r.Failures) > 0 {
		out = append(out, fmt.Sprintf("%d runs failed and are left out: %s.", len(r.Failures), strings.Join(r.Failures, "; ")))
	}
	return out
}
